//! Producers: they publish, repeat what they have had no answer for, and make mistakes.

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::sender::Refused;
use postrider_core::time::UnixTime;

use crate::observe::{Refusal, SECOND, Seen, Submission, Told, Wish};
use crate::profile::Class;

use super::content::content;
use super::node::now;
use super::{Caller, Happening, Offer, World};

/// Times that a producer offers an event before it gives up.
const TRIES: u16 = 400;

/// Events that were offered in vain and are offered again, beyond which producers make no new ones.
const BACKLOG: u32 = 256;

impl World {
    /// A producer has a new event, and will have the next some time later.
    pub(super) fn produce(&mut self) {
        if self.now.0 >= self.profile.workload || self.next_event >= self.profile.events {
            return;
        }
        let gap = self.streams.workload.about(self.profile.gap);
        self.schedule.at(self.now.after(gap), Happening::Produce);
        if self.backlog >= BACKLOG {
            return;
        }
        let burst = if self.classes_now(Class::Bursts) && self.streams.workload.once_in(500) {
            self.injected.count(Class::Bursts);
            self.streams.workload.between(10, 300)
        } else {
            1
        };
        for _ in 0..burst {
            let offer = Offer { event: self.next_event, born: self.now, tries: 0, other_content: false };
            self.next_event += 1;
            self.offer_or_wait(offer);
        }
    }

    fn offer_or_wait(&mut self, offer: Offer) {
        match self.nodes[self.node_of_event(offer.event) as usize].frozen {
            Some(later) => self.schedule.at(later.after(1), Happening::Offer(offer)),
            None => self.offer(offer),
        }
    }

    /// Whether a class strikes at this time at all.
    pub(super) fn classes_now(&self, class: Class) -> bool {
        !self.healed && self.profile.classes.has(class)
    }

    /// A producer offers an event to its node.
    pub(super) fn offer(&mut self, offer: Offer) {
        self.backlog -= u32::from(offer.tries > 0);
        let node = self.node_of_event(offer.event);
        let clocks = self.clocks(node);
        if self.nodes[node as usize].up.is_none() {
            return self.offer_again(offer);
        }
        let content = content(&self.profile, &offer);
        let (event_type, tenant) = (content.event_type, content.tenant);
        let payload = Bytes::from(content.payload);
        self.calls += 1;
        let call = self.calls;
        let submission = Submission {
            event: offer.event,
            tenant,
            event_type,
            payload: &payload,
            expires: content.expires,
            idempotency: content.idempotency,
            key: content.key,
            replay: None,
        };
        self.see(&Seen::Asked { call, node, clocks, wish: Wish::Publish(submission) });
        let event = Event::json_bytes(event_type, payload).expect("made as JSON");
        let mut event = event.id(named(b'e', offer.event)).tenant(named(b't', u64::from(tenant)));
        if let Some(at) = content.expires {
            event = event.expires(UnixTime::from_millis(at));
        }
        if let Some(key) = content.idempotency {
            event = event.idempotency_key(named(b'k', key));
        }
        if let Some(key) = content.key {
            event = event.key(named(b'o', u64::from(key)));
        }
        let process = self.nodes[node as usize].up.as_mut().expect("it was just there");
        let caller = Caller::Producer(offer);
        match process.sender.publish(now(clocks), event) {
            Ok(receipt) => self.await_record(node, receipt.seq, call, receipt.fresh, caller),
            Err(refused) => {
                let why = refusal(&refused);
                if self.classes_now(Class::Poison) && why == Refusal::TooLarge {
                    self.injected.count(Class::Poison);
                }
                if offer.other_content {
                    self.injected.count(Class::Conflicts);
                }
                self.answer(call, Told::Refused(why), caller);
                self.drain(node);
            }
        }
    }

    /// A producer learns what became of its offer.
    pub(super) fn offer_answered(&mut self, offer: Offer, told: Told) {
        match told {
            Told::Ok { fresh } => {
                self.counts.accepted += u64::from(fresh);
                self.follow_up(offer, fresh);
            }
            Told::Lost => self.offer_again(offer),
            Told::Refused(Refusal::Overloaded | Refusal::Full | Refusal::Unsettled | Refusal::Stopped)
                if !offer.other_content =>
            {
                self.offer_again(offer);
            }
            Told::Refused(_) => {}
        }
    }

    /// Tries again a little later, and every time later than before.
    fn offer_again(&mut self, offer: Offer) {
        if offer.tries >= TRIES {
            return;
        }
        let longest = if self.healed { 20 } else { 600 };
        let wait = self.streams.workload.about((SECOND << offer.tries.min(9)).min(longest * SECOND));
        self.backlog += 1;
        self.schedule.at(self.now.after(wait), Happening::Offer(Offer { tries: offer.tries + 1, ..offer }));
    }

    /// What producers do with an event that is accepted.
    fn follow_up(&mut self, offer: Offer, fresh: bool) {
        if !fresh || offer.other_content {
            return;
        }
        let offer = Offer { tries: 0, ..offer };
        if self.classes_now(Class::Repeats) && self.streams.workload.once_in(16) {
            self.injected.count(Class::Repeats);
            let wait = self.streams.workload.about(60 * SECOND);
            self.schedule.at(self.now.after(wait), Happening::Offer(offer));
        }
        // A short time, within which nobody has forgotten the first.
        if self.classes_now(Class::Conflicts) && !self.profile.classes.has(Class::Tight) {
            let strikes = self.streams.workload.once_in(32);
            if strikes && content(&self.profile, &offer).payload.len() < 1000 {
                let wait = self.streams.workload.about(10 * SECOND);
                let other = Offer { other_content: true, ..offer };
                self.schedule.at(self.now.after(wait), Happening::Offer(other));
            }
        }
    }
}

/// A name such as `e17`.
struct Named {
    text: [u8; 21],
    begin: usize,
}

fn named(kind: u8, number: u64) -> Named {
    let mut named = Named { text: [0; 21], begin: 21 };
    let mut rest = number;
    loop {
        named.begin -= 1;
        named.text[named.begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    named.begin -= 1;
    named.text[named.begin] = kind;
    named
}

impl AsRef<str> for Named {
    fn as_ref(&self) -> &str {
        str::from_utf8(&self.text[self.begin..]).expect("a letter and digits")
    }
}

pub(super) fn refusal(refused: &Refused) -> Refusal {
    match refused {
        Refused::TooLarge(..) => Refusal::TooLarge,
        Refused::Conflict(_) => Refusal::Conflict,
        Refused::Unsettled(_) => Refusal::Unsettled,
        Refused::Overloaded(_) => Refusal::Overloaded,
        Refused::Full(_) => Refusal::Full,
        Refused::Closed(_) | Refused::Fenced(_) => Refusal::Stopped,
        Refused::Invalid(..) | Refused::NoId(_) => Refusal::Invalid,
        _ => Refusal::Other,
    }
}
