//! Subscription numbers: what each stands for, and when an earlier one is forgotten.

use alloc::vec::Vec;

use super::Sender;
use super::tables::Retired;
use crate::matching::Subscription;

impl Sender {
    /// Whether two more subscription numbers can be given; they are never used again, and there are 2^32 of them.
    pub(super) fn has_numbers(&self) -> bool {
        self.next_subscription < u32::MAX - 2
    }

    /// Brings the index in line with an endpoint's subscription number.
    pub(super) fn resubscribe(&mut self, at: u32, old: Option<u32>, new: Option<u32>, wants: &Subscription) {
        if old == new || self.restoring {
            return;
        }
        let slot = &self.endpoints.slab[at];
        if let Some(number) = old {
            // Older fan-outs may still see it, with what was wanted then.
            let retired = slot.retired.iter().find(|retired| retired.number == number);
            let entry = |retired: &Retired| ((retired.at, number), (slot.tenant, retired.wanted.clone()));
            self.retired.extend(retired.map(entry));
        }
        if let Some(number) = new {
            self.tenants[slot.tenant].subscribe(number, wants);
            self.subscriptions.insert(number, at);
        }
    }

    /// Takes retired subscriptions out of the index that no fan-out can see any more; a few at a time.
    pub(super) fn purge_retired(&mut self) {
        for _ in 0..4 {
            let oldest = self.jobs.oldest_high_water();
            let seen = |at: u32| oldest.is_some_and(|high_water| high_water <= at);
            let Some(first) = self.retired.first_entry().filter(|first| !seen(first.key().0)) else { return };
            let ((_, number), (tenant, wanted)) = first.remove_entry();
            self.tenants[tenant].unsubscribe(number, &wanted);
            if let Some(at) = self.subscriptions.get(&number).copied() {
                self.tidy_retired(at);
            }
        }
    }

    /// Forgets earlier subscriptions of an endpoint that nothing can refer to any more: no fan-out sees them, and no
    /// delivery from their time waits, which the journal would name by them.
    pub(super) fn tidy_retired(&mut self, at: u32) {
        let Some(slot) = self.endpoints.slab.get_mut(at) else { return };
        if slot.retired.is_empty() || !slot.deliveries.is_empty() || slot.in_flight > 0 {
            return;
        }
        let oldest = self.jobs.oldest_high_water();
        let unseen = |retired: &mut Retired| oldest.is_none_or(|high_water| high_water > retired.at);
        let forgotten: Vec<_> = slot.retired.extract_if(.., unseen).collect();
        forgotten.iter().for_each(|retired| self.forget_retired(retired));
    }

    /// Forgets an earlier subscription, in the index too: at most [`limits::RETIRED`] of them at once.
    pub(super) fn forget_retired(&mut self, retired: &Retired) {
        self.subscriptions.remove(&retired.number);
        if let Some((tenant, wanted)) = self.retired.remove(&(retired.at, retired.number)) {
            self.tenants[tenant].unsubscribe(retired.number, &wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CommandError, Config, Input, Output, PutError, Sender};
    use crate::id::EndpointKey;
    use crate::registration::Endpoint;
    use crate::seed::Seed;
    use crate::time::Now;

    fn endpoint(pattern: &str) -> Endpoint {
        let endpoint = Endpoint::new("e", "https://hooks.acme.com/hooks").events([pattern]);
        endpoint.secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    }

    #[test]
    fn when_numbers_run_out_changes_are_refused() {
        let now = Now::default();
        let mut sender = Sender::new(Config::new(), Seed::from_bytes([1; 32]), now);
        sender.next_subscription = u32::MAX - 3;
        sender.put(now, endpoint("a")).unwrap();
        let changed = sender.put(now, endpoint("b"));
        assert!(matches!(changed, Err(PutError::TooManyChanges(_))), "{changed:?}");
        let key = EndpointKey::new("e").unwrap();
        sender.disable(now, &key).unwrap();
        while let Output::Persist(batch) = sender.poll_output() {
            sender.handle(now, Input::Persisted(batch.last()));
        }
        assert_eq!(sender.resume(now, &key), Err(CommandError::TooManyChanges));
        sender.remove(now, &key).unwrap();
        assert!(matches!(sender.put(now, endpoint("a")), Err(PutError::TooMany(_))));
    }
}
