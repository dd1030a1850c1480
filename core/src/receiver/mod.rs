//! The receiving machine: who signed it, has it been seen, what to answer.
//!
//! The same three verbs and the same laws as the sender's. The adapter says what arrived and asks what to do; the
//! application takes deliveries and says what came of them. Whoever wants no more than to check a signature needs no
//! machine: [`Verifier`].
//!
//! ```text
//!   Head ──405, 413, 415, 503──> Respond
//!    └─> ReadBody ─> Body ──400, 401──> Respond
//!                     └─ verified ──over before──> Respond (as before)
//!                          ├─ in progress ──> waits for that delivery, or 503
//!                          ├─ too many ──429, 503──> Respond
//!                          └─ unseen ─> (Claim) ─> (its turn) ─> Deliver ─> Processed ─> (Commit) ──> Respond to everybody
//!                                                            or Store ─> Stored                         who waits
//! ```
//!
//! **At most one delivery of an event at a time, and none after one that was done.** The event is claimed before the
//! application gets it and committed when it says [`Processed::Done`], never before: an event whose processing
//! fails or is lost comes again. A success is answered only after that, so the sender keeps what has had no effect.
//! What the machine remembers is lost with it, but for what a store of claims keeps ([`ReceiverConfig::claims`]). Either way
//! an application whose effect must happen once deduplicates by [`Delivery::dedup_key`] in the transaction of that effect.
//!
//! **Three things can be asked for besides.** Claims in a store, so that several instances, or one before and after a
//! restart, deliver an event once between them: [`ReceiverConfig::claims`]. An answer as soon as the delivery is durable, and
//! processing later: [`ReceiverConfig::acknowledge`]. And an order: [`ReceiverConfig::order`].
//!
//! **What one event is.** Where the scheme's signature covers an id, the id tells. Where it does not (GitHub, Shopify),
//! anyone who has seen a request can send it again under another id, so the id never stands in for the digest of what was
//! signed: an event is new if both are unseen. What was delivered and failed is owed when its content comes again, whatever
//! came under its id meanwhile, so that nobody can have an event taken for a repeat by giving its id to something else that
//! he has captured. Where there is no id, the digest alone tells: then two events of the same content are one, and a
//! sender that signs the time of each attempt has its repeats delivered.
//!
//! **Nobody is heard before he has signed.** Until a body is verified its exchange costs its head and at most
//! [`ReceiverLimits::body`] bytes, takes none of the application's credit, and learns from the answer no more than
//! that it was not accepted.
//!
//! **Memory** is at most [`ReceiverLimits::exchanges`] heads, one body for each delivery that waits for credit, for a store of
//! claims or for its turn (as many as the credit, and those that the order lets be held), and an
//! id of at most 256 bytes and about 250 more for each of [`ReceiverLimits::ids`] and of the deliveries in progress,
//! of which there are at most as many as the largest credit given; and what the driver has not drained. An id that is not
//! covered costs about 100 bytes more for each other content that came under it, 16 at most.
//! **Cost**: verifying hashes the body once for each key, on the thread that calls, and once more where no id is covered or
//! the time is wrong; all else is O(log n).
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderMap, HeaderValue, Method};
//! use postrider_core::receiver::{ExchangeId, Processed, Receiver, ReceiverConfig, RecvInput, RecvOutput, RequestHead};
//! use postrider_core::secret::Secret;
//! use postrider_core::signing::{SigningKey, standard};
//! use postrider_core::time::{Instant, Now, UnixTime};
//!
//! let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_700_000_000) };
//! let mut receiver = Receiver::new(ReceiverConfig::new(standard::Verifier::new([&secret])?), now);
//!
//! // A request arrives.
//! let mut headers = HeaderMap::new();
//! headers.insert(standard::ID, HeaderValue::from_static("msg_1"));
//! headers.insert(standard::TIMESTAMP, HeaderValue::from(1_700_000_000));
//! let signature = standard::sign([&SigningKey::from(&secret)], "msg_1", 1_700_000_000, b"{}");
//! headers.insert(standard::SIGNATURE, HeaderValue::try_from(signature)?);
//! let exchange = ExchangeId::new(1);
//! receiver.handle(now, RecvInput::Head { exchange, head: RequestHead::new(Method::POST, headers) });
//!
//! // The loop, here with a network and an application that never wait.
//! loop {
//!     match receiver.poll_output() {
//!         RecvOutput::ReadBody { exchange, .. } => {
//!             receiver.handle(now, RecvInput::Body { exchange, body: Bytes::from_static(b"{}") });
//!         }
//!         RecvOutput::Deliver(delivery) => {
//!             assert_eq!((delivery.webhook_id(), &delivery.body()[..]), ("msg_1", &b"{}"[..]));
//!             receiver.handle(now, RecvInput::Processed { delivery: delivery.id(), result: Processed::Done });
//!         }
//!         RecvOutput::Store(_) | RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
//!             unreachable!("nothing of this was asked for")
//!         }
//!         RecvOutput::Respond(response) => assert_eq!(response.status(), 204),
//!         RecvOutput::Notice(notice) => println!("{notice}"),
//!         RecvOutput::Wait(_) => break,
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod book;
mod claim;
mod claims;
mod config;
mod contract;
mod decode;
mod delivery;
mod drain;
mod exchanges;
mod lines;
mod notice;
mod order;
mod progress;
mod public_url;
mod response;
mod skew;
mod stats;

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

use bytes::Bytes;
use http::Method;

pub use crate::wake::Wake;
pub use claim::{Claim, ClaimError, ClaimToken, Claimed, Commit, Ending, Release};
pub use config::{Acknowledge, ReceiverConfig, ReceiverLimits, Success};
pub use contract::{DeliveryId, ExchangeId, NotStored, Processed, RecvInput, RecvOutput, RequestHead};
pub use decode::{DecodeError, ReceivedEvent};
pub use delivery::{Delivery, STORED_TYPE, StoredError};
pub use notice::RecvNotice;
pub use order::Order;
pub use public_url::{PublicUrl, PublicUrlError};
pub use response::{Reason, Response};
pub use skew::ClockSkew;
pub use stats::{ReceiverStats, Refusals};

use crate::limits;
use crate::retry::{Gcra, Pace, Rate};
use crate::signing::{Received, Verifier, VerifyError};
use crate::time::Now;
use claims::{Claims, Known, Waiters};
use delivery::{Places, Proof};
use exchanges::{Exchanges, Stage};
use lines::Lines;
use progress::Progress;
use response::Signer;
use skew::Skew;

/// The receiving machine.
///
/// # Commands
/// [`close`](Self::close): a wish.
/// # Facts
/// [`handle`](Self::handle): what has happened.
/// # Effects
/// [`poll_output`](Self::poll_output): what is to be done.
/// # Getters
/// Everything else; none of them changes anything.
///
/// It is `Send` and has no thread of its own: one thread at a time drives it.
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    /// The verifier, comparing no time: whether a request that is out of time was signed at all.
    timeless: Verifier,
    places: Arc<Places>,
    signs_url: bool,
    paces: BTreeMap<u32, Gcra>,
    skew: Skew,
    now: Now,
    life: Life,
    credit: u32,
    exchanges: Exchanges,
    claims: Claims,
    progress: Progress,
    notices: Notices,
    budget: u32,
    stats: ReceiverStats,
}

/// Where a machine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Life {
    /// It works.
    Running,
    /// It was told to close and has not finished.
    Closing,
    /// It is closed.
    Closed,
}

/// Notices on their way out.
#[derive(Debug, Default)]
struct Notices {
    queue: VecDeque<RecvNotice>,
    folded: u64,
}

impl Receiver {
    /// A machine that has seen nothing.
    pub fn new(config: ReceiverConfig, now: Now) -> Self {
        Self {
            timeless: config.verifier.clone().any_time(),
            places: Arc::new(Places::of(&config.verifier)),
            signs_url: config.verifier.signs_url(),
            paces: BTreeMap::new(),
            skew: Skew::default(),
            progress: Progress::new(config.order.as_ref().map(|order| Lines::new(order.bounds()))),
            config,
            now,
            life: Life::Running,
            credit: config::CREDIT,
            exchanges: Exchanges::default(),
            claims: Claims::default(),
            notices: Notices::default(),
            budget: limits::DRAIN_BUDGET,
            stats: ReceiverStats::default(),
        }
    }

    /// Takes note of something that has happened. Never refused: what is stale is counted and dropped, and after the
    /// machine's end nothing has an effect.
    ///
    /// A head is answered 503 while the machine closes, 405 when its method is not POST, 413 when its body is declared
    /// longer than the cap, 415 when it is of a type that is not read, and 503 when there are too many exchanges or the application can take nothing; else its
    /// body is asked for.
    ///
    /// A delivery that ends late, after its time has passed, still counts as done or refused if its event has not been
    /// delivered again since, for as long as its id would be remembered: then a repeat is not delivered a second time.
    pub fn handle(&mut self, now: Now, input: RecvInput) {
        if self.life == Life::Closed {
            return;
        }
        self.clock(now);
        match input {
            RecvInput::Tick => {}
            RecvInput::Head { exchange, head } => self.head(exchange, head),
            RecvInput::Body { exchange, body } => self.body(exchange, body),
            RecvInput::BodyTooLarge { exchange } => {
                if let Some((at, _)) = self.stop_reading(exchange) {
                    self.answer(at, Reason::TooLarge);
                }
            }
            RecvInput::Processed { delivery, result } => self.processed(delivery, result),
            RecvInput::Stored { delivery, result } => self.stored(delivery, result),
            RecvInput::Claimed { delivery, result } => self.claimed(delivery, result),
            RecvInput::Committed { delivery, result } => self.committed(delivery, result),
            RecvInput::Dropped(exchange) => self.dropped(exchange),
            RecvInput::Credit(deliveries) => self.credit = deliveries,
        }
    }

    /// Stops: new exchanges are answered 503, those that there are go their way. When the last is answered and no
    /// delivery is in progress, [`Wake::Closed`] says so; then nothing is answered any more, and the adapter has to
    /// refuse connections itself. Closing again changes nothing.
    pub fn close(&mut self, now: Now) {
        match self.life {
            Life::Running => {
                self.clock(now);
                self.life = Life::Closing;
            }
            Life::Closing => self.clock(now),
            Life::Closed => {}
        }
    }

    /// Where the machine is in its life.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Counters.
    pub fn stats(&self) -> ReceiverStats {
        self.stats
    }

    /// The time that it was last told, with the monotonic clock held where it went back.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Exchanges that have no answer yet.
    pub fn exchanges(&self) -> usize {
        self.exchanges.unanswered()
    }

    /// Deliveries in progress, those included that wait for credit, for their turn, or for the store of claims.
    pub fn in_progress(&self) -> usize {
        self.claims.in_progress()
    }

    /// Deliveries that the application has and that have not timed out.
    pub fn with_application(&self) -> usize {
        self.claims.in_progress() - self.progress.elsewhere()
    }

    /// Events remembered whose deliveries have ended.
    pub fn remembered(&self) -> usize {
        self.claims.remembered()
    }

    fn head(&mut self, exchange: ExchangeId, head: RequestHead) {
        if self.exchanges.find(exchange).is_some() {
            self.stats.stale += 1;
            return;
        }
        let refused = self.refused(&head);
        let at = self.exchanges.begin(exchange);
        match refused {
            Some(reason) => self.answer(at, reason),
            None => self.exchanges.ask(at, head),
        }
    }

    /// Why the body of a new exchange is not read.
    fn refused(&self, head: &RequestHead) -> Option<Reason> {
        let too_large = |bytes: u64| usize::try_from(bytes).map_or(true, |bytes| bytes > self.config.limits.body);
        if self.life == Life::Closing {
            Some(Reason::Closing)
        } else if head.method != Method::POST {
            Some(Reason::Method)
        } else if head.declared_length.is_some_and(too_large) {
            Some(Reason::TooLarge)
        } else if !self.reads_type_of(head) {
            Some(Reason::MediaType)
        } else if self.exchanges() >= self.config.limits.exchanges {
            Some(Reason::TooManyExchanges)
        } else {
            (!self.has_credit()).then_some(Reason::NoCredit)
        }
    }

    fn body(&mut self, exchange: ExchangeId, body: Bytes) {
        let Some((at, head)) = self.stop_reading(exchange) else { return };
        if body.len() > self.config.limits.body {
            return self.answer(at, Reason::TooLarge);
        }
        let (proof, key) = match self.verify(&head, &body) {
            Ok(verified) => verified,
            Err(why) => return self.refuse((at, exchange), &head, &body, why),
        };
        let Proof { name, seen } = proof;
        if seen.timestamp.is_some() {
            self.skew.fits();
        }
        let window = self.config.limits.window;
        match self.claims.find(&name, self.config.claims.is_none(), (self.now.mono, window)) {
            Known::Over(ending) => {
                self.stats.duplicates += 1;
                self.answer_to(at, progress::repeat(ending), Some(key));
            }
            Known::InProgress(delivery) => {
                self.stats.duplicates += 1;
                if self.claims.join(delivery, at, self.config.limits.waiters) {
                    self.exchanges.wait(at, delivery, key);
                } else {
                    self.answer_to(at, Reason::TooManyWaiters, Some(key));
                }
            }
            Known::Free if !self.has_credit() => self.answer_to(at, Reason::NoCredit, Some(key)),
            Known::Free => {
                if let Pace::At(then) = self.pace(name.scope) {
                    let after = then.saturating_since(self.now.mono);
                    return self.answer_to(at, Reason::OverRate { after }, Some(key));
                }
                let deadline = self.now.mono.saturating_add(self.config.limits.processing);
                let signed = name.signed;
                let claimed = self.claims.claim(name, (at, deadline), (self.now.mono, window));
                self.exchanges.wait(at, claimed.delivery, key);
                self.begin(Delivery::new(claimed, seen, &self.places, body, head), signed);
            }
        }
    }

    /// Verifies a request, and takes what is needed of it.
    fn verify(&self, head: &RequestHead, body: &Bytes) -> Result<(Proof, Signer), VerifyError> {
        let url = self.url(head);
        let received = Received { method: head.method.as_str(), url: &url, headers: &head.headers, body };
        let verified = self.config.verifier.verify(&received, self.now.wall)?;
        let scope = self.config.scopes.iter().find(|(key, _)| *key == verified.key()).map_or(0, |(_, scope)| *scope);
        let replay = if self.config.replays { head.replay() } else { None };
        let receipt = if self.config.receipts { self.config.verifier.receipt(&verified) } else { None };
        Ok((Proof::of(&verified, scope, replay), Signer { key: verified.key(), receipt }))
    }

    /// Answers what is not verified. Where only its time is wrong, a known key has signed it all the same, and the clocks
    /// may differ.
    fn refuse(&mut self, (at, exchange): (u32, ExchangeId), head: &RequestHead, body: &Bytes, why: VerifyError) {
        self.tell(RecvNotice::Unverified { exchange, why });
        if matches!(why, VerifyError::TooOld { .. } | VerifyError::TooNew { .. }) {
            let url = self.url(head);
            let received = Received { method: head.method.as_str(), url: &url, headers: &head.headers, body };
            let signed = self.timeless.verify(&received, self.now.wall).ok().and_then(|verified| verified.timestamp());
            if let Some((skew, requests)) = signed.and_then(|signed| self.skew.is_off(signed, self.now.wall)) {
                self.tell(RecvNotice::ClockSkew { skew, requests });
            }
        }
        let malformed = why.status_hint() == 400;
        self.answer(at, if malformed { Reason::Malformed } else { Reason::Unverified });
    }

    fn dropped(&mut self, exchange: ExchangeId) {
        let Some(at) = self.exchanges.find(exchange) else {
            self.stats.stale += 1;
            return;
        };
        self.stats.dropped += 1;
        match self.exchanges.end(at) {
            Stage::Waiting(delivery, _) => self.claims.leave(delivery, at),
            Stage::Reading(_) | Stage::Read | Stage::Answered(..) => {}
        }
    }

    /// Takes the head of an exchange whose body is awaited, and says where it is. For any other the fact is stale.
    fn stop_reading(&mut self, exchange: ExchangeId) -> Option<(u32, RequestHead)> {
        let at = self.exchanges.find(exchange);
        let found = at.and_then(|at| Some((at, self.exchanges.take_head(at)?)));
        self.stats.stale += u64::from(found.is_none());
        found
    }
}

/// Helpers of the above: answers, notices, time.
impl Receiver {
    /// Whether the application can take another delivery.
    fn has_credit(&self) -> bool {
        self.claims.in_progress() < (self.credit as usize).saturating_add(self.progress.idle())
    }

    /// Whether bodies of this type are read.
    fn reads_type_of(&self, head: &RequestHead) -> bool {
        let types = &self.config.media_types;
        let named = |said: &str| types.iter().any(|known| known.eq_ignore_ascii_case(said));
        types.is_empty() || head.media_type().is_some_and(named)
    }

    /// Takes room for a new event of a scope, of which there are at most as many as keys and one.
    fn pace(&mut self, scope: u32) -> Pace {
        let full = |rate: Rate| self.paces.entry(scope).or_insert_with(|| Gcra::full(rate)).take(self.now.mono);
        self.config.limits.rate.map_or(Pace::Ready, full)
    }

    /// The URL of a request, where its signature covers it.
    fn url<'h>(&'h self, head: &'h RequestHead) -> Cow<'h, str> {
        if self.signs_url { public_url::url(self.config.public_url.as_ref(), head) } else { Cow::Borrowed("") }
    }

    /// Answers everybody who waited for a delivery: at most [`ReceiverLimits::waiters`].
    fn answer_all(&mut self, waiters: Waiters, reason: Reason) {
        for at in waiters {
            self.answer(at, reason);
        }
    }

    /// Answers an exchange; one that waits for a delivery is told which key it was signed with.
    fn answer(&mut self, at: u32, reason: Reason) {
        self.answer_to(at, reason, self.exchanges.signer(at));
    }

    fn answer_to(&mut self, at: u32, reason: Reason, signer: Option<Signer>) {
        self.stats.refused.count(reason);
        self.exchanges.answer(at, reason, signer);
    }

    fn forget(&mut self) {
        let (window, ids) = (self.config.limits.window, self.config.limits.ids);
        for age in self.claims.forget(self.now.mono, window, ids) {
            self.stats.forgotten_early += 1;
            self.tell(RecvNotice::WindowShrunk { age });
        }
    }

    /// Lets time pass. The monotonic clock is held where it goes back.
    fn clock(&mut self, now: Now) {
        if now.mono < self.now.mono {
            self.stats.clock_regressions += 1;
            let by = self.now.mono.saturating_since(now.mono);
            self.now.wall = now.wall;
            self.tell(RecvNotice::ClockWentBack { by });
        } else {
            self.now = now;
        }
    }

    fn tell(&mut self, notice: RecvNotice) {
        if self.notices.queue.len() < limits::NOTICES {
            self.notices.queue.push_back(notice);
        } else {
            self.notices.folded += 1;
        }
    }
}

impl Notices {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.folded == 0
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Receiver>();
    is_send::<RecvOutput>();
};

#[cfg(test)]
mod tests;
