//! Asking the owners of endpoints for consent: when, with what, and what comes of it.
//!
//! An ask is recorded before it leaves, with the digest of its token, so that a callback works after a restart. The token
//! itself is made of the store's seed and the number of that record, whenever it is needed.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use super::Sender;
use super::commands::CommandError;
use super::contract::Output;
use super::drain::Step;
use super::notice::Notice;
use super::signed::Signed;
use super::tables::{Attempt, Flight, Gate, NO_EVENT, Slot};
use super::transmit::{Prepared, Purposed, Transmit};
use crate::encoding::Payload;
use crate::id::{EventId, JournalSeq};
use crate::journal::{AskRecord, ConsentRecord, Record};
use crate::limits;
use crate::matching::EventType;
use crate::registration::consent::{
    CHALLENGE_TYPE, Callback, Consent, ConsentBy, ConsentReason, ConsentRule, Decline, Kept, KeptStage, Question,
    Stage, Token, TokenDigest, challenge_data, read_echo,
};
use crate::registration::lifecycle::Event;
use crate::registration::{Ask, State};
use crate::response::Outcome;
use crate::time::{Instant, Now};

/// What could not be done when it was due is looked at again after this.
const LATER: Duration = Duration::from_secs(1);

/// Where the consent of an endpoint's owner stands.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) consent: Consent,
    /// The record of the last ask.
    asked: JournalSeq,
}

/// A request that came to a callback URL, as [`Sender::called_back`] takes it.
///
/// `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Called {
    token: String,
    method: String,
    lines: Vec<(String, Vec<u8>)>,
}

/// Header lines of a callback that are looked at, and bytes of each.
const LINES: usize = 8;
const LINE_BYTES: usize = 256;

impl Called {
    /// A request by this method to this path, whose last segment is the token and whose query is left out.
    pub fn new(method: &str, path: &str) -> Self {
        let token = Callback::token_of(path).chars().take(LINE_BYTES).collect();
        Self { token, method: method.chars().take(LINE_BYTES).collect(), lines: Vec::new() }
    }

    /// With its header lines, in order, of which only those of the handshake are kept; takes an `&http::HeaderMap` and any
    /// list of pairs.
    pub fn headers<N: AsRef<str>, V: AsRef<[u8]>>(mut self, lines: impl IntoIterator<Item = (N, V)>) -> Self {
        for (name, value) in lines {
            let name = name.as_ref().to_ascii_lowercase();
            if name.starts_with("webhook-allowed-") && name.len() <= LINE_BYTES && self.lines.len() < LINES {
                self.lines.push((name, value.as_ref().iter().copied().take(LINE_BYTES).collect()));
            }
        }
        self
    }

    /// Its parts, for a trace.
    pub(super) fn parts(&self) -> (&str, &str, &[(String, Vec<u8>)]) {
        (&self.token, &self.method, &self.lines)
    }
}

impl fmt::Debug for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.lines.iter().map(|(name, _)| name).collect();
        f.debug_struct("Called").field("method", &self.method).field("headers", &names).finish_non_exhaustive()
    }
}

impl Asking {
    pub(super) fn new(ask: Ask) -> Self {
        Self { consent: Consent::new(ask.by, ask.rate), asked: JournalSeq::ZERO }
    }

    /// The consent of a record, if it was asked for as it is now.
    pub(super) fn of(record: &ConsentRecord, ask: Ask, now: Now) -> Option<Self> {
        let kept = Kept {
            by: ConsentBy::from_wire(record.ask.by)?,
            rate: record.ask.rate.and_then(NonZeroU32::new),
            stage: KeptStage::from_wire(record.stage, record.since, record.detail)?,
            asks: record.asks,
            tokens: record.tokens.iter().map(|(digest, ends)| (TokenDigest::from_bytes(*digest), *ends)).collect(),
        };
        let same = Ask { by: kept.by, rate: kept.rate } == ask;
        same.then(|| Self { consent: Consent::restore(now, &kept), asked: JournalSeq::ZERO })
    }
}

impl Slot {
    /// Whether deliveries may be made: consent is not needed, or was given.
    pub(crate) fn has_consent(&self) -> bool {
        self.consent.as_ref().is_none_or(|asking| asking.consent.is_given())
    }

    /// Whether its owner is being asked, or is to be: in another state what is under way is ignored.
    fn is_asked(&self) -> bool {
        match self.life.admin {
            State::Unverified { .. } | State::Paused { .. } => !self.removed,
            State::Active | State::Disabled { .. } | State::Gone { .. } | State::Removed { .. } => false,
        }
    }

    /// When something about its consent is due.
    pub(crate) fn consent_due(&self) -> Option<Instant> {
        self.consent.as_ref().filter(|_| self.is_asked()).and_then(|asking| asking.consent.due())
    }

    fn callbacks(&self) -> Vec<TokenDigest> {
        self.consent.iter().flat_map(|asking| asking.consent.callbacks()).collect()
    }
}

impl Sender {
    /// The owner of an endpoint called a callback URL, and may have given consent by that.
    ///
    /// What came of it is the answer: only [`GrantedByCallback`](ConsentRule::GrantedByCallback) is consent, and whatever
    /// else is answered has changed nothing. The caller answers the request with 2xx for that, and with 404 else, so that
    /// nobody learns which tokens there are. What is granted holds when the record is durable.
    pub fn called_back(&mut self, now: Now, called: &Called) -> Result<ConsentReason, CommandError> {
        self.running(now)?;
        let (token, method, lines) = called.parts();
        let found = self.callbacks.get(&TokenDigest::of_text(token.as_bytes()).to_bytes()).copied();
        let Some(at) = found.filter(|at| self.endpoints.slab.get(*at).is_some_and(Slot::is_asked)) else {
            return Err(CommandError::UnknownCallback);
        };
        let (now, slot) = (self.now, &mut self.endpoints.slab[at]);
        let before = slot.callbacks();
        let Some(asking) = slot.consent.as_mut() else { return Err(CommandError::UnknownCallback) };
        let reason = asking.consent.called_back(now, token.as_bytes(), method, lines);
        self.consent_said(at, &before, reason);
        Ok(reason)
    }

    /// Begins to ask anew.
    pub(super) fn begin_consent(&mut self, at: u32) {
        let (now, slot) = (self.now, &mut self.endpoints.slab[at]);
        let (before, ask) = (slot.callbacks(), slot.wire.config.consent);
        let reason = slot.consent.get_or_insert_with(|| Box::new(Asking::new(ask))).consent.begin(now);
        self.consent_said(at, &before, reason);
    }

    /// Forgets what was agreed: from now on something else is asked for, or somebody else is asked.
    pub(super) fn void_consent(&mut self, at: u32) {
        let slot = &mut self.endpoints.slab[at];
        let (before, ask) = (slot.callbacks(), slot.wire.config.consent);
        slot.consent = (!ask.is_needless()).then(|| Box::new(Asking::new(ask)));
        self.list_callbacks(at, &before);
        self.record_consent(at);
    }

    /// Does what is due about an endpoint's consent, if anything is.
    pub(super) fn see_to_consent(&mut self, at: u32) {
        let now = self.now;
        let idle = self.phase != super::Stage::Running || self.is_far_behind();
        let due = self.endpoints.slab[at].consent_due().is_some_and(|due| due <= now.mono);
        if idle || !due {
            return;
        }
        let seq = self.outbox.last().next();
        let token = self.token(at, seq);
        let slot = &mut self.endpoints.slab[at];
        let before = slot.callbacks();
        let Some(asking) = slot.consent.as_mut() else { return };
        match asking.consent.stage() {
            Stage::Due { .. } => {
                asking.consent.ask(now, &token);
                asking.asked = seq;
                self.list_callbacks(at, &before);
                let recorded = self.record_consent(at);
                debug_assert_eq!(recorded, seq, "the token is made of this number");
                self.hold(seq, Gate::Ask(at));
            }
            Stage::Asking { .. } | Stage::Waiting { .. } => {
                let reason = asking.consent.tick(now);
                self.consent_said(at, &before, reason);
            }
            Stage::NotNeeded | Stage::Granted { .. } | Stage::Declined { .. } => {}
        }
    }

    /// When an endpoint's timer is to look at its consent again, where what was due could not be done.
    pub(super) fn later(&self) -> Instant {
        self.now.mono.saturating_add(LATER)
    }

    /// The record of an ask is durable: it may leave.
    pub(super) fn ask_durable(&mut self, at: u32, seq: JournalSeq) {
        self.queues.asks.push_back((at, seq));
    }

    /// The next ask that may leave.
    pub(super) fn next_ask(&mut self) -> Step {
        let Some((at, seq)) = self.queues.asks.pop_front() else { return Step::Nothing };
        if self.asked(at, seq).is_none() {
            return Step::Worked;
        }
        let Some(purpose) = self.purpose(at, seq) else {
            // Its owner is to be asked under a name, and this sender has none.
            let (now, slot) = (self.now, &mut self.endpoints.slab[at]);
            let before = slot.callbacks();
            if let Some(asking) = slot.consent.as_mut() {
                let reason = asking.consent.unreachable(now);
                self.consent_said(at, &before, reason);
            }
            return Step::Worked;
        };
        let event = Arc::new(self.challenge(at, seq));
        // It is no delivery: it neither takes up the endpoint's window nor waits for it.
        let slot = &self.endpoints.slab[at];
        let wire = slot.wire.clone();
        let number = slot.consent.as_ref().map_or(1, |asking| u16::from(asking.consent.asks()));
        let (started, signed) = (self.now, Signed::default());
        let deadline = started.mono.saturating_add(wire.config.timeout);
        let ends = deadline.saturating_add(limits::OVERDUE_GRACE);
        let flight = Flight {
            event: NO_EVENT,
            seq,
            endpoint: at,
            subscription: 0,
            delivery: None,
            number,
            is_probe: false,
            host: None,
            lane: None,
            signed: signed.clone(),
        };
        let attempt = self.attempts.begin(self.incarnation, flight, started.mono, ends);
        self.stats.asks += 1;
        Step::Effect(Output::Transmit(Transmit {
            attempt,
            number,
            started,
            deadline,
            wire,
            event,
            tag: None,
            signed,
            purpose,
        }))
    }

    /// The consent that an ask is about, while it is still of interest.
    fn asked(&mut self, at: u32, seq: JournalSeq) -> Option<&mut Consent> {
        let slot = self.endpoints.slab.get_mut(at).filter(|slot| slot.is_asked())?;
        let asking = slot.consent.as_mut().filter(|asking| asking.asked == seq)?;
        matches!(asking.consent.stage(), Stage::Asking { .. }).then_some(&mut asking.consent)
    }

    /// An ask ended: with an answer, or without one.
    pub(super) fn ask_ended(&mut self, attempt: &Attempt, outcome: &Outcome) {
        let (at, seq, now) = (attempt.endpoint, attempt.seq, self.now);
        let (token, question) = (self.token(at, seq), self.question(at, seq));
        let before = self.endpoints.slab.get(at).map(Slot::callbacks).unwrap_or_default();
        let Some(consent) = self.asked(at, seq) else {
            self.stats.stale += u64::from(outcome.is_ok());
            return;
        };
        let reason = match (outcome, consent.by(), question) {
            (Ok(reply), ConsentBy::CloudEvents, Some(question)) => {
                let answer = question.read(reply.kept());
                consent.answered(now, answer, reply.status())
            }
            #[cfg(postrider_planted)]
            (Ok(reply), ConsentBy::Challenge, _) if crate::planted::breaks(59) && reply.status() < 300 => {
                consent.echoed(now, Ok(()))
            }
            (Ok(reply), ConsentBy::Challenge, _) => {
                let body = reply.body().map(AsRef::as_ref).unwrap_or_default();
                consent.echoed(now, read_echo(&token, reply.status(), body))
            }
            (Ok(_), ConsentBy::None | ConsentBy::CloudEvents, _) | (Err(_), _, _) => consent.unreachable(now),
        };
        self.consent_said(at, &before, reason);
    }

    /// Records what a call did to a consent and lets it have its effects. `before` are the callbacks that worked before.
    fn consent_said(&mut self, at: u32, before: &[TokenDigest], reason: ConsentReason) {
        let gate = if reason.is_change() {
            self.list_callbacks(at, before);
            self.record_consent(at)
        } else {
            JournalSeq::ZERO
        };
        let endpoint = self.endpoints.slab[at].key.clone();
        let told = Notice::Consent { endpoint, reason };
        match reason.rule {
            ConsentRule::Granted(_) | ConsentRule::GrantedByCallback(_) => {
                self.tell(gate, told);
                self.happens(at, Event::Agreed);
            }
            ConsentRule::Declined(why) => {
                self.tell(gate, told);
                let event = if why == Decline::Gone { Event::Gone } else { Event::Declined };
                self.happens(at, event);
            }
            ConsentRule::WaitsForCallback | ConsentRule::TriesAgain(_) | ConsentRule::BadCallback(_) => {
                self.tell(gate, told);
            }
            ConsentRule::NotNeeded
            | ConsentRule::Begun
            | ConsentRule::Asked
            | ConsentRule::UnknownCallback
            | ConsentRule::Stale => {}
        }
        self.retime(at);
    }

    /// Lets the callbacks be found that work now, in place of those that worked before.
    fn list_callbacks(&mut self, at: u32, before: &[TokenDigest]) {
        for digest in before {
            self.callbacks.remove(&digest.to_bytes());
        }
        let now = self.endpoints.slab[at].callbacks();
        self.callbacks.extend(now.into_iter().map(|digest| (digest.to_bytes(), at)));
    }

    /// Lets no callback of an endpoint work any more, and forgets its consent.
    pub(super) fn forget_consent(&mut self, at: u32) {
        let slot = &mut self.endpoints.slab[at];
        let before = slot.callbacks();
        slot.consent = None;
        self.list_callbacks(at, &before);
    }

    fn record_consent(&mut self, at: u32) -> JournalSeq {
        match self.consent_record(at) {
            Some(record) => self.record(&record),
            None => JournalSeq::ZERO,
        }
    }

    /// Where an endpoint's consent stands, for the journal.
    pub(super) fn consent_record(&self, at: u32) -> Option<Record> {
        let slot = &self.endpoints.slab[at];
        let Kept { by, rate, stage, asks, tokens } = slot.consent.as_ref()?.consent.keep(self.now);
        let (stage, since, detail) = stage.to_wire();
        Some(Record::Consent(Box::new(ConsentRecord {
            endpoint: slot.key.clone(),
            ask: AskRecord { by: by.to_wire(), rate: rate.map(NonZeroU32::get) },
            stage,
            since,
            detail,
            asks,
            tokens: tokens.into_iter().map(|(digest, ends)| (digest.to_bytes(), ends)).collect(),
            at: self.now.wall,
        })))
    }

    /// After a restart: what was being asked is asked again, and who was never asked is.
    pub(super) fn resume_consent(&mut self, at: u32) {
        self.list_callbacks(at, &[]);
        let slot = &self.endpoints.slab[at];
        let State::Unverified { .. } = slot.life.admin else { return };
        match slot.consent.as_ref().map(|asking| asking.consent.stage()) {
            Some(Stage::Due { .. } | Stage::Asking { .. } | Stage::Waiting { .. }) => {}
            Some(Stage::NotNeeded | Stage::Granted { .. } | Stage::Declined { .. }) => self.begin_consent(at),
            None => _ = self.happens(at, Event::Register { consent: true }),
        }
    }

    /// The token of the ask that this record is about.
    fn token(&self, at: u32, seq: JournalSeq) -> Token {
        let text = URL_SAFE_NO_PAD.encode(self.derived(b"consent token", at, seq));
        Token::new(&text).expect("43 characters of URL-safe base64 are a token")
    }

    fn derived(&self, what: &[u8], at: u32, seq: JournalSeq) -> [u8; 32] {
        let key = self.endpoints.slab.get(at).map(|slot| &slot.key);
        let (tenant, id) = key.map_or(("", ""), |key| (key.tenant.as_str(), key.id.as_str()));
        self.seed.derive(&[what, tenant.as_bytes(), id.as_bytes(), &seq.get().to_le_bytes()])
    }

    /// The event that a challenge is; a handshake is named like it where attempts are named by their events.
    fn challenge(&self, at: u32, seq: JournalSeq) -> Prepared {
        let name = self.derived(b"consent event", at, seq);
        let id = alloc::format!("verify_{}", URL_SAFE_NO_PAD.encode(&name[..16]));
        let id = EventId::new(id).expect("letters, digits, - and _ make an id");
        let event_type = EventType::new(CHALLENGE_TYPE).expect("it is one");
        let payload = Payload::json_bytes(challenge_data(&self.token(at, seq)).into()).expect("it is JSON");
        Prepared::new(id, event_type, self.now.wall, payload)
    }

    /// What an ask is; `None` where it cannot be made.
    fn purpose(&self, at: u32, seq: JournalSeq) -> Option<Purposed> {
        match self.endpoints.slab.get(at)?.wire.config.consent.by {
            ConsentBy::None | ConsentBy::Challenge => Some(Purposed::Challenge),
            ConsentBy::CloudEvents => Some(Purposed::Handshake(self.question(at, seq)?.lines().into())),
        }
    }

    /// The words of a handshake; `None` for a challenge, and for a sender without a name.
    fn question(&self, at: u32, seq: JournalSeq) -> Option<Question> {
        let ask = self.endpoints.slab.get(at)?.wire.config.consent;
        let origin = self.origin.clone().filter(|_| ask.by == ConsentBy::CloudEvents)?;
        let base = self.callback.as_ref();
        let mut question = Question::new(origin);
        question.callback = base.and_then(|base| Callback::new(base, &self.token(at, seq)).ok());
        question.rate = ask.rate;
        Some(question)
    }
}

#[cfg(test)]
pub(super) mod tests;
