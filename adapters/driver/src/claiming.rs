//! A receiver's store of claims, as its loop sees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::receiver::{Claim, ClaimError, Commit, ReceiverConfig, RecvInput, Release};
use postrider_journal::claims::{ClaimDone, ClaimStore};

/// Where the facts of a store go: from any thread, without waiting.
type Tell = Arc<dyn Fn(RecvInput) + Send + Sync>;

/// Asks a store of claims what a receiving machine wants to know, and brings each answer back as one fact. A store that
/// drops what it was to answer with is unavailable, and so is one that there is not.
pub struct Claiming {
    store: Option<Box<dyn ClaimStore>>,
    tell: Tell,
}

impl Claiming {
    /// With this store, if any, and with the place where its answers go. They come within a call, or later from any thread.
    pub fn new(store: Option<Box<dyn ClaimStore>>, tell: impl Fn(RecvInput) + Send + Sync + 'static) -> Self {
        Self { store, tell: Arc::new(tell) }
    }

    /// What a machine is to be made with that has this store: claims last for twice what
    /// [`processing`](postrider_core::receiver::ReceiverLimits::processing) may take and a minute, unless the configuration
    /// says how long.
    pub fn configure(&self, config: ReceiverConfig) -> ReceiverConfig {
        if self.store.is_none() || config.claims.is_some() {
            return config;
        }
        let lease = config.limits.processing.saturating_mul(2).saturating_add(Duration::from_secs(60));
        config.claims(lease)
    }

    /// Carries out [`RecvOutput::Claim`](postrider_core::receiver::RecvOutput::Claim).
    pub fn claim(&mut self, claim: Claim) {
        let delivery = claim.delivery;
        let done = self.answer(move |result| RecvInput::Claimed { delivery, result });
        match &mut self.store {
            Some(store) => store.claim(claim, done),
            None => done(Err(none())),
        }
    }

    /// Carries out [`RecvOutput::Commit`](postrider_core::receiver::RecvOutput::Commit).
    pub fn commit(&mut self, commit: Commit) {
        let delivery = commit.delivery;
        let done = self.answer(move |result| RecvInput::Committed { delivery, result });
        match &mut self.store {
            Some(store) => store.commit(commit, done),
            None => done(Err(none())),
        }
    }

    /// Carries out [`RecvOutput::Release`](postrider_core::receiver::RecvOutput::Release).
    pub fn release(&mut self, release: Release) {
        if let Some(store) = &mut self.store {
            store.release(release);
        }
    }

    fn answer<T: 'static>(&self, fact: impl FnOnce(Told<T>) -> RecvInput + Send + 'static) -> ClaimDone<T> {
        let mut answer = Answer { tell: Arc::clone(&self.tell), fact: Some(Box::new(fact)) };
        Box::new(move |result| answer.give(result))
    }
}

impl fmt::Debug for Claiming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claiming").field("store", &self.store.is_some()).finish_non_exhaustive()
    }
}

type Told<T> = Result<T, ClaimError>;

/// An answer that is given once, also by a store that loses it.
struct Answer<T> {
    tell: Tell,
    fact: Option<Box<dyn FnOnce(Told<T>) -> RecvInput + Send>>,
}

impl<T> Answer<T> {
    fn give(&mut self, result: Told<T>) {
        if let Some(fact) = self.fact.take() {
            (self.tell)(fact(result));
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.give(Err(ClaimError::Unavailable { why: "it gave no answer".into() }));
    }
}

fn none() -> ClaimError {
    ClaimError::Unavailable { why: "the receiver was given none".into() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use postrider_core::receiver::{ClaimToken, Claimed, Ending};
    use postrider_core::signing::standard::Verifier;
    use postrider_journal::claims::MemoryClaims;

    use super::*;

    /// It keeps claims, and loses commits.
    struct Forgetful(Option<ClaimDone<Claimed>>);

    impl ClaimStore for Forgetful {
        fn claim(&mut self, _: Claim, done: ClaimDone<Claimed>) {
            self.0 = Some(done);
        }

        fn commit(&mut self, _: Commit, _: ClaimDone<()>) {}

        fn release(&mut self, _: Release) {}
    }

    fn claiming(store: Option<Box<dyn ClaimStore>>) -> (Claiming, mpsc::Receiver<String>) {
        let (tell, told) = mpsc::channel();
        (Claiming::new(store, move |fact| tell.send(format!("{fact:?}")).unwrap()), told)
    }

    #[test]
    fn each_claim_and_each_commit_is_answered_once() {
        let claim = Claim::new("0/id/a", Duration::from_secs(1));
        let commit = claim.commit(ClaimToken::new(1), Ending::Done);
        for (store, first, second) in [
            (None, "given none", "given none"),
            (Some(Box::new(Forgetful(None)) as Box<dyn ClaimStore>), "", "gave no answer"),
            (Some(Box::new(MemoryClaims::default())), "Granted", "Ok(())"),
        ] {
            let (mut claiming, told) = claiming(store);
            claiming.claim(claim.clone());
            let answered = told.try_recv();
            assert_eq!(answered.is_ok(), !first.is_empty(), "it still has it");
            assert!(answered.unwrap_or_default().contains(first));
            claiming.commit(commit.clone());
            assert!(told.try_recv().unwrap().contains(second));
            drop(claiming);
            assert_eq!(told.try_recv().is_ok(), first.is_empty(), "it went without an answer");
            assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        }
    }

    #[test]
    fn a_lease_is_longer_than_processing_unless_it_is_set() {
        let secret = postrider_core::secret::Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let config = ReceiverConfig::new(Verifier::new([&secret]).unwrap());
        let (without, _told) = claiming(None);
        assert_eq!(without.configure(config.clone()).claims, None);
        let (with, _told) = claiming(Some(Box::new(MemoryClaims::default())));
        assert_eq!(with.configure(config.clone()).claims, Some(Duration::from_secs(120)));
        let set = Duration::from_secs(7);
        assert_eq!(with.configure(config.claims(set)).claims, Some(set));
    }
}
