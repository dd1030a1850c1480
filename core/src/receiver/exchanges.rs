//! Exchanges that have not ended, and their effects on the way out.

use super::contract::{DeliveryId, ExchangeId, RequestHead};
use super::response::{Reason, Signer};
use crate::retry::{Link, Links, List};
use crate::table::{Chains, Slab};

/// The exchanges, each known by its place for as long as it lasts.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    slab: Slab<Exchange>,
    /// By their numbers, which the adapter gives and nobody outside chooses.
    by_id: Chains,
    /// Those whose bodies are to be asked for, in order.
    reads: List,
    /// Those whose answers have not left, in order.
    answers: List,
}

#[derive(Debug)]
struct Exchange {
    id: ExchangeId,
    stage: Stage,
    /// Its place in one of the two.
    link: Link,
}

/// How far an exchange is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its body is awaited. While the effect that asks for it has not left, it is among the reads.
    Reading(RequestHead),
    /// Its head is being looked at.
    Read,
    /// It waits for a delivery, and was signed so.
    Waiting(DeliveryId, Signer),
    /// Its answer has not left; it is among the answers.
    Answered(Reason, Option<Signer>),
}

impl Links for Slab<Exchange> {
    fn link(&self, handle: u32) -> Link {
        self[handle].link
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].link
    }
}

impl Exchanges {
    /// Where an exchange is.
    pub(super) fn find(&self, id: ExchangeId) -> Option<u32> {
        self.by_id.chain(mix(id)).find(|at| self.slab[*at].id == id)
    }

    /// Those that have no answer yet.
    pub(super) fn unanswered(&self) -> usize {
        self.slab.len() - self.answers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    /// One that is new and at this stage, which is no effect.
    pub(super) fn begin(&mut self, id: ExchangeId) -> u32 {
        let at = self.slab.insert(Exchange { id, stage: Stage::Read, link: Link::FREE });
        let slab = &self.slab;
        self.by_id.insert(mix(id), at, |at| mix(slab[at].id));
        at
    }

    /// Has the body of one that has begun asked for.
    pub(super) fn ask(&mut self, at: u32, head: RequestHead) {
        self.slab[at].stage = Stage::Reading(head);
        self.reads.push_back(&mut self.slab, at);
    }

    /// Takes the head of one whose body is awaited, and that is not asked for any more.
    pub(super) fn take_head(&mut self, at: u32) -> Option<RequestHead> {
        let exchange = &mut self.slab[at];
        match core::mem::replace(&mut exchange.stage, Stage::Read) {
            Stage::Reading(head) => {
                if !exchange.link.is_free() {
                    self.reads.remove(&mut self.slab, at);
                }
                Some(head)
            }
            stage @ (Stage::Read | Stage::Waiting(..) | Stage::Answered(..)) => {
                exchange.stage = stage;
                None
            }
        }
    }

    /// Has one wait for a delivery.
    pub(super) fn wait(&mut self, at: u32, delivery: DeliveryId, signer: Signer) {
        self.slab[at].stage = Stage::Waiting(delivery, signer);
    }

    /// Who signed one that waits for a delivery.
    pub(super) fn signer(&self, at: u32) -> Option<Signer> {
        match &self.slab[at].stage {
            Stage::Waiting(_, signer) => Some(*signer),
            Stage::Reading(_) | Stage::Read | Stage::Answered(..) => None,
        }
    }

    /// Answers one that is among neither reads nor answers.
    pub(super) fn answer(&mut self, at: u32, reason: Reason, signer: Option<Signer>) {
        self.slab[at].stage = Stage::Answered(reason, signer);
        self.answers.push_back(&mut self.slab, at);
    }

    /// Whether a body is to be asked for.
    pub(super) fn has_read(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Whether an answer has not left.
    pub(super) fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The next whose body is to be asked for.
    pub(super) fn next_read(&mut self) -> Option<ExchangeId> {
        self.reads.pop_front(&mut self.slab).map(|at| self.slab[at].id)
    }

    /// The next that ends with its answer.
    pub(super) fn next_answer(&mut self) -> Option<(ExchangeId, Reason, Option<Signer>)> {
        let at = self.answers.pop_front(&mut self.slab)?;
        let Exchange { id, stage, .. } = self.take(at);
        match stage {
            Stage::Answered(reason, signer) => Some((id, reason, signer)),
            Stage::Reading(_) | Stage::Read | Stage::Waiting(..) => unreachable!("what is among the answers has one"),
        }
    }

    /// Ends one without an answer.
    pub(super) fn end(&mut self, at: u32) -> Stage {
        let exchange = &self.slab[at];
        match exchange.stage {
            Stage::Reading(_) if !exchange.link.is_free() => self.reads.remove(&mut self.slab, at),
            Stage::Answered(..) => self.answers.remove(&mut self.slab, at),
            Stage::Reading(_) | Stage::Read | Stage::Waiting(..) => {}
        }
        self.take(at).stage
    }

    fn take(&mut self, at: u32) -> Exchange {
        self.by_id.remove(mix(self.slab[at].id), at);
        self.slab.remove(at).expect("a number is only kept while its entry lives")
    }
}

/// A hash of a number that no stranger chooses.
const fn mix(id: ExchangeId) -> u64 {
    let number = id.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number ^ (number >> 32)
}
