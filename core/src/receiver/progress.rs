//! What becomes of a delivery between its claim and its end.
//!
//! ```text
//!   claimed here ─┬─(asks a store)──granted─┬─(in order)──its turn─┬─> ready ──> with the application ─┐
//!                 │        │                │       │              │                                   │
//!                 └────────┼── no store ────┘       └─ no place ───┘                                   │
//!       over, held, error ─┘                                     wanted again: free <─────────────────┤
//!                                              over <──committed── (tells the store) <── for good ─────┘
//! ```

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use super::claim::{Claim, ClaimError, Claimed, Commit, Ending, Release};
use super::claims::Ended;
use super::config::{self, Acknowledge};
use super::contract::{DeliveryId, NotStored, Processed, RecvOutput};
use super::delivery::Delivery;
use super::lines::{Gap, Lines, Offered, Step};
use super::notice::RecvNotice;
use super::response::Reason;
use super::{Life, Receiver};
use crate::time::UnixTime;

/// Deliveries on their way, all of them in progress as far as the claims know, and what the store of claims is asked.
#[derive(Debug)]
pub(super) struct Progress {
    /// Those whose claim the store has not answered; without a delivery those that were given up meanwhile.
    asked: BTreeMap<DeliveryId, Asked>,
    /// Those that wait for their turn.
    held: BTreeMap<DeliveryId, Delivery>,
    /// Those that the application has not got yet.
    ready: Ready,
    /// Those that have ended, which the store has not acknowledged.
    ending: BTreeMap<DeliveryId, (Ending, Reason)>,
    /// Those of [`asked`](Self::asked) that were given up.
    abandoned: usize,
    lines: Option<Lines>,
    /// What the store of claims is to be asked and told, in order.
    wishes: VecDeque<Wish>,
}

#[derive(Debug)]
struct Asked {
    key: Arc<str>,
    delivery: Option<Delivery>,
}

/// Deliveries in order of their numbers. The first lies apart from the others, who seldom are there.
#[derive(Debug, Default)]
struct Ready {
    first: Option<Delivery>,
    others: BTreeMap<DeliveryId, Delivery>,
}

#[derive(Debug)]
enum Wish {
    Claim(Claim),
    Commit(Commit),
    Release(Release),
}

impl Ready {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn contains_key(&self, delivery: &DeliveryId) -> bool {
        self.first.as_ref().is_some_and(|first| first.id() == *delivery) || self.others.contains_key(delivery)
    }

    fn insert(&mut self, delivery: Delivery) {
        let other = match &mut self.first {
            Some(first) if first.id() < delivery.id() => delivery,
            first => match first.replace(delivery) {
                Some(other) => other,
                None => return,
            },
        };
        self.others.insert(other.id(), other);
    }

    fn pop_first(&mut self) -> Option<Delivery> {
        let first = self.first.take()?;
        if let Some((_, next)) = self.others.pop_first() {
            self.first = Some(next);
        }
        Some(first)
    }

    fn remove(&mut self, delivery: &DeliveryId) -> Option<Delivery> {
        if self.first.as_ref().is_some_and(|first| first.id() == *delivery) {
            return self.pop_first();
        }
        self.others.remove(delivery)
    }
}

impl Progress {
    pub(super) fn new(lines: Option<Lines>) -> Self {
        Self {
            asked: BTreeMap::new(),
            held: BTreeMap::new(),
            ready: Ready::default(),
            ending: BTreeMap::new(),
            abandoned: 0,
            lines,
            wishes: VecDeque::new(),
        }
    }

    /// Whether there is something to ask or tell the store of claims, or an answer of its to wait for that nobody else waits
    /// for.
    pub(super) fn owes_the_store(&self) -> bool {
        !self.wishes.is_empty() || self.abandoned > 0
    }

    /// The next thing to ask or tell the store of claims.
    pub(super) fn wish(&mut self) -> Option<RecvOutput> {
        self.wishes.pop_front().map(|wish| match wish {
            Wish::Claim(claim) => RecvOutput::Claim(claim),
            Wish::Commit(commit) => RecvOutput::Commit(commit),
            Wish::Release(release) => RecvOutput::Release(release),
        })
    }

    /// Whether [`wish`](Self::wish) has one.
    pub(super) fn has_wish(&self) -> bool {
        !self.wishes.is_empty()
    }

    /// Deliveries that take none of the application's room, less those that take it although nobody waits for them.
    pub(super) fn idle(&self) -> usize {
        self.held.len().saturating_sub(self.abandoned)
    }

    /// Deliveries in progress that the application has not got, or has ended with.
    pub(super) fn elsewhere(&self) -> usize {
        self.asked.len() - self.abandoned + self.held.len() + self.ready.len() + self.ending.len()
    }

    /// Whether a delivery waits to be given to the application.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When somebody will have been held long enough.
    pub(super) fn wake(&self) -> Option<crate::time::Instant> {
        self.lines.as_ref().and_then(Lines::wake)
    }

    /// Whether the application has this one, or had it when its time was over.
    fn is_with_application(&self, delivery: DeliveryId) -> bool {
        !self.asked.contains_key(&delivery)
            && !self.held.contains_key(&delivery)
            && !self.ready.contains_key(&delivery)
            && !self.ending.contains_key(&delivery)
    }
}

/// The beginning: a claim, a turn.
impl Receiver {
    /// A delivery was claimed here. It is claimed in the store too, where there is one.
    pub(super) fn begin(&mut self, delivery: Delivery, signed: UnixTime) {
        let id = delivery.id();
        let place = self.config.order.as_ref().and_then(|order| order.place(&delivery));
        let line = place.as_ref().map(|place| Arc::clone(&place.line));
        if let Some(place) = place {
            self.claims.seat(id, place);
        }
        let Some(lease) = self.config.claims else { return self.line_up(delivery, None) };
        let name = self.claims.name(id);
        let (key, said, replay_of) = (name.key(), name.said(), name.replay_of());
        let claim = Claim { delivery: id, key: Arc::clone(&key), said, replay_of, signed, lease, line };
        self.progress.wishes.push_back(Wish::Claim(claim));
        self.progress.asked.insert(id, Asked { key, delivery: Some(delivery) });
    }

    /// The store has answered a claim.
    pub(super) fn claimed(&mut self, id: DeliveryId, result: Result<Claimed, ClaimError>) {
        let Some(Asked { key, delivery }) = self.progress.asked.remove(&id) else {
            self.stats.stale += 1;
            return;
        };
        let Some(delivery) = delivery else {
            self.progress.abandoned -= 1;
            if let Ok(Claimed::Granted { token, .. }) = result {
                self.progress.wishes.push_back(Wish::Release(Release { key, token }));
            }
            return;
        };
        #[cfg(postrider_planted)]
        if crate::planted::breaks(83) {
            return self.line_up(delivery, None);
        }
        match result {
            Ok(Claimed::Granted { token, place }) => {
                self.claims.granted(id, token);
                self.line_up(delivery, place);
            }
            Ok(Claimed::Held { .. }) => self.free(id, Reason::Elsewhere),
            Ok(Claimed::Over(ending)) => {
                self.stats.duplicates += 1;
                self.conclude(id, ending, repeat(ending));
            }
            Err(why) => {
                let webhook_id = Arc::from(delivery.webhook_id());
                self.tell(RecvNotice::NotClaimed { delivery: id, webhook_id, ended: false, why });
                self.free(id, Reason::NoClaim);
            }
        }
    }

    /// A delivery is this machine's: it waits for its turn, where it has one. `last` is the last place of its line that the
    /// store knows.
    fn line_up(&mut self, delivery: Delivery, last: Option<u64>) {
        let (id, now) = (delivery.id(), self.now.mono);
        let place = self.claims.place(id).cloned();
        let (Some(lines), Some(place)) = (&mut self.progress.lines, place) else { return self.ready(delivery) };
        match lines.offer(now, id, place, last) {
            Offered::Goes => self.ready(delivery),
            Offered::Held => {
                let time = lines.hold().saturating_add(self.config.limits.processing);
                self.claims.hold(id, now.saturating_add(time));
                self.progress.held.insert(id, delivery);
            }
            Offered::Late => {
                self.stats.out_of_order += 1;
                self.finish(id, Ending::Done, Reason::Late);
            }
            Offered::Full => self.free(id, Reason::TooManyHeld),
        }
    }

    fn ready(&mut self, delivery: Delivery) {
        self.stats.accepted += 1;
        self.progress.ready.insert(delivery);
    }

    /// The first delivery that waits to be given to the application.
    pub(super) fn next_ready(&mut self) -> Option<Delivery> {
        let mut delivery = self.progress.ready.pop_first()?;
        let (lines, place) = (self.progress.lines.as_ref(), self.claims.place(delivery.id()));
        let late = lines.zip(place).is_some_and(|(lines, place)| lines.is_late(place));
        self.stats.out_of_order += u64::from(late);
        delivery.set_late(late);
        Some(delivery)
    }

    /// One step of those who are held: one whose turn it is, or one who is not to wait any longer because the machine closes.
    /// Says whether there was something to do.
    pub(super) fn step_lines(&mut self) -> bool {
        let Some(lines) = &mut self.progress.lines else { return false };
        if self.life == Life::Closing
            && let Some(id) = lines.first_held()
        {
            self.progress.held.remove(&id);
            self.free(id, Reason::Closing);
            return true;
        }
        let Some(step) = lines.step(self.now.mono) else { return false };
        match step {
            None => {}
            Some(Step::Goes { delivery: id, gap }) => {
                let delivery = self.progress.held.remove(&id).expect("whoever waits in a line is held");
                self.claims.renew(id, self.now.mono.saturating_add(self.config.limits.processing));
                if let Some(Gap { line, last, at }) = gap {
                    self.stats.gaps += 1;
                    let webhook_id = Arc::from(delivery.webhook_id());
                    #[cfg(postrider_planted)]
                    if crate::planted::breaks(85) {
                        self.ready(delivery);
                        return true;
                    }
                    #[cfg(postrider_planted)]
                    if crate::planted::breaks(86) {
                        return true;
                    }
                    self.tell(RecvNotice::Gap { line, webhook_id, last, place: at });
                }
                self.ready(delivery);
            }
            Some(Step::Late(id)) => {
                self.progress.held.remove(&id);
                self.stats.out_of_order += 1;
                self.finish(id, Ending::Done, Reason::Late);
            }
        }
        true
    }

    /// Whether [`step_lines`](Self::step_lines) would do something.
    pub(super) fn lines_stir(&self) -> bool {
        let closing = self.life == Life::Closing;
        let stir = |lines: &Lines| lines.is_stirred(self.now.mono) || closing && lines.held() > 0;
        self.progress.lines.as_ref().is_some_and(stir)
    }
}

/// The end.
impl Receiver {
    pub(super) fn processed(&mut self, id: DeliveryId, result: Processed) {
        if self.config.acknowledge != Acknowledge::Processed {
            self.stats.stale += 1;
            return;
        }
        match result {
            Processed::Done => self.ended(id, Ending::Done, Reason::Processed),
            Processed::Queued => self.ended(id, Ending::Queued, Reason::Queued),
            Processed::Refuse => self.ended(id, Ending::Refused, Reason::Refused),
            Processed::Unsubscribed => self.ended(id, Ending::Unsubscribed, Reason::Unsubscribed),
            Processed::Later { after } => self.wanted_again(id, after),
        }
    }

    pub(super) fn stored(&mut self, id: DeliveryId, result: Result<(), NotStored>) {
        if self.config.acknowledge != Acknowledge::Stored {
            self.stats.stale += 1;
            return;
        }
        match result {
            Ok(()) => self.ended(id, Ending::Queued, Reason::Queued),
            Err(NotStored { after }) => self.wanted_again(id, after),
        }
    }

    /// The application has finished with a delivery for good.
    fn ended(&mut self, id: DeliveryId, ending: Ending, reason: Reason) {
        if self.progress.is_with_application(id) {
            self.finish(id, ending, reason);
        } else {
            // One that has not left cannot have ended: this is of another machine, or said twice.
            self.stats.stale += 1;
        }
    }

    /// The application wants a delivery again.
    fn wanted_again(&mut self, id: DeliveryId, after: Option<Duration>) {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(84) {
            return self.ended(id, Ending::Done, Reason::Processed);
        }
        if self.progress.is_with_application(id) {
            self.free(id, Reason::Later { after: after.unwrap_or(config::RETRY_AFTER) });
        } else {
            self.stats.stale += 1;
        }
    }

    /// A delivery has ended for good; the store is told first, where there is one.
    fn finish(&mut self, id: DeliveryId, ending: Ending, reason: Reason) {
        let place = self.claims.place(id).map(|place| (Arc::clone(&place.line), place.at));
        let Some((key, token)) = self.claims.take_token(id) else { return self.conclude(id, ending, reason) };
        #[cfg(postrider_planted)]
        if crate::planted::breaks(82) {
            return self.conclude(id, ending, reason);
        }
        self.progress.wishes.push_back(Wish::Commit(Commit { delivery: id, key, token, ending, place }));
        if self.claims.is_in_progress(id) {
            self.claims.renew(id, self.now.mono.saturating_add(self.config.limits.processing));
            self.progress.ending.insert(id, (ending, reason));
        } else {
            self.conclude(id, ending, reason);
        }
    }

    /// The store has answered a commit.
    pub(super) fn committed(&mut self, id: DeliveryId, result: Result<(), ClaimError>) {
        let ended = self.progress.ending.remove(&id);
        if let Err(why) = result {
            let webhook_id = self.claims.label(id).unwrap_or_default();
            self.tell(RecvNotice::NotClaimed { delivery: id, webhook_id, ended: true, why });
        }
        // Of one that ended late, or whose answer was not waited for any longer, there is no more to say.
        if let Some((ending, reason)) = ended {
            self.conclude(id, ending, reason);
        }
    }

    /// A delivery is over, and whoever waits for it is answered.
    fn conclude(&mut self, id: DeliveryId, ending: Ending, reason: Reason) {
        let place = self.claims.place(id).cloned();
        let ended = self.claims.commit(id, ending, self.now.mono);
        if let (Some(lines), Some(place)) = (&mut self.progress.lines, place) {
            match &ended {
                Ended::InTime(_) | Ended::Late(_) => {
                    lines.ended(id, true);
                    lines.ended_elsewhere(&place);
                }
                Ended::Freed | Ended::Stale => {}
            }
        }
        self.told(id, ended, reason);
    }

    /// A delivery has had no effect, and its event is free.
    fn free(&mut self, id: DeliveryId, reason: Reason) {
        if let Some((key, token)) = self.claims.take_token(id) {
            self.progress.wishes.push_back(Wish::Release(Release { key, token }));
        }
        if let Some(lines) = &mut self.progress.lines {
            lines.ended(id, false);
        }
        let ended = self.claims.abort(id, self.now.mono);
        self.told(id, ended, reason);
    }

    fn told(&mut self, delivery: DeliveryId, ended: Ended, reason: Reason) {
        match ended {
            Ended::InTime(waiters) => self.answer_all(waiters, reason),
            Ended::Late(webhook_id) => {
                self.stats.late += 1;
                self.tell(RecvNotice::Late { delivery, webhook_id });
            }
            Ended::Freed => {}
            Ended::Stale => self.stats.stale += 1,
        }
        self.forget();
    }

    /// Gives up one delivery that has taken too long. What the application never got cannot end late. One that it has
    /// finished with, of which the store does not answer, is over.
    pub(super) fn expire(&mut self) -> bool {
        let Some(id) = self.claims.due(self.now.mono) else { return false };
        if self.progress.ending.contains_key(&id) {
            let why = ClaimError::Unavailable { why: "it does not answer".into() };
            self.committed(id, Err(why));
            return true;
        }
        let webhook_id = self.claims.label(id).unwrap_or_default();
        self.stats.timed_out += 1;
        self.tell(RecvNotice::TimedOut { delivery: id, webhook_id });
        let is_asked = self.progress.asked.get_mut(&id).is_some_and(|asked| asked.delivery.take().is_some());
        self.progress.abandoned += usize::from(is_asked);
        let left = self.progress.held.remove(&id).is_none() && self.progress.ready.remove(&id).is_none();
        if is_asked || !left {
            self.free(id, Reason::TimedOut);
            return true;
        }
        if let Some(lines) = &mut self.progress.lines {
            lines.ended(id, false);
        }
        let waiters = self.claims.expire(id, self.now.mono);
        self.answer_all(waiters, Reason::TimedOut);
        self.forget();
        true
    }
}

/// What a repeat of an event is answered that ended so.
pub(super) fn repeat(ending: Ending) -> Reason {
    match ending {
        Ending::Done => Reason::Repeat,
        Ending::Queued => Reason::Queued,
        Ending::Refused => Reason::Refused,
        Ending::Unsubscribed => Reason::Unsubscribed,
    }
}
