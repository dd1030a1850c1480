//! What a seed draws.

use std::time::Duration;

use postrider_core::receiver::{Acknowledge, Delivery, Order, ReceiverConfig, ReceiverLimits};
use postrider_core::time::UnixTime;
use postrider_testkit::signed::Provider;

use crate::observe::SECOND;
use crate::rng::Rng;

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Who signs.
    pub provider: Provider,
    /// Receivers that share the messages.
    pub nodes: usize,
    /// Whether they share a store of claims.
    pub claims: bool,
    /// Whether success is answered as soon as a message is durable.
    pub stored: bool,
    /// In which order they deliver.
    pub order: Ordered,
    /// Whether late messages are dropped.
    pub drop_late: bool,
    /// Messages in all.
    pub messages: usize,
    /// Lines that they are in.
    pub lines: u64,
    /// Nanoseconds between two of them, in the mean.
    pub gap: u64,
    /// Nanoseconds on the way, in the mean.
    pub latency: u64,
    /// Nanoseconds that the application takes, in the mean.
    pub work: u64,
    /// Requests and answers lost, in millionths.
    pub loss: u32,
    /// Requests that arrive twice, in millionths.
    pub doubled: u32,
    /// Nanoseconds between two crashes of receivers, in the mean; 0 for none.
    pub crashes: u64,
    /// The same of the store of claims.
    pub shop_crashes: u64,
    /// Calls of the store of claims that fail, in millionths.
    pub shop_fails: u32,
    /// Deliveries that the application wants later, in millionths.
    pub later: u32,
    /// Whether the wall clocks of receivers are wrong at times.
    pub clocks: bool,
    /// Whether somebody sends again what he has captured, changed or not.
    pub attacker: bool,
    limits: ReceiverLimits,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// None.
    No,
    /// By a version.
    Version,
    /// By a number that counts by ones.
    Sequence,
}

/// When everything begins, in Unix milliseconds.
pub(super) const EPOCH: u64 = 1_767_225_600_000;

/// Nanoseconds of faults; as much comes after it without.
pub(super) const FAULTS: u64 = 1200 * SECOND;

impl Setting {
    /// What this seed draws.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::part(seed, "inbound");
        let providers: Vec<_> = Provider::all().collect();
        let provider = rng.pick(&providers).clone();
        let mut limits = ReceiverLimits::default();
        limits.processing = Duration::from_secs(*rng.pick(&[5, 10, 30]));
        limits.exchanges = *rng.pick(&[8, 64, 1024]);
        limits.waiters = *rng.pick(&[1, 3, 8]);
        let some = |rng: &mut Rng, value: u32| if rng.once_in(3) { 0 } else { value };
        Self {
            provider,
            nodes: 1 + rng.index(3),
            claims: rng.once_in(2),
            stored: rng.once_in(3),
            order: *rng.pick(&[Ordered::No, Ordered::No, Ordered::Version, Ordered::Sequence]),
            drop_late: rng.once_in(2),
            messages: 20 + rng.index(120),
            lines: 1 + rng.below(4),
            gap: *rng.pick(&[SECOND / 20, SECOND, 8 * SECOND]),
            latency: *rng.pick(&[SECOND / 1000, SECOND / 20, 2 * SECOND]),
            work: *rng.pick(&[SECOND / 100, SECOND / 2, 4 * SECOND]),
            loss: some(&mut rng, 100_000),
            doubled: some(&mut rng, 100_000),
            crashes: if rng.once_in(3) { 0 } else { *rng.pick(&[20, 200]) * SECOND },
            shop_crashes: if rng.once_in(2) { 0 } else { 100 * SECOND },
            shop_fails: some(&mut rng, 50_000),
            later: some(&mut rng, 150_000),
            clocks: rng.once_in(3),
            attacker: rng.once_in(2),
            limits,
        }
    }

    /// What its receivers are made with.
    pub fn config(&self) -> ReceiverConfig {
        let mut config = ReceiverConfig::new(self.provider.verifier().clone()).limits(self.limits.clone());
        if self.stored {
            config = config.acknowledge(Acknowledge::Stored);
        }
        if self.claims {
            config = config.claims(self.limits.processing + Duration::from_secs(30));
        }
        let of = |delivery: &Delivery| {
            let text = String::from_utf8_lossy(delivery.payload());
            Some((number(&text, "line_")?.to_string(), number(&text, "at_")?))
        };
        let order = match self.order {
            Ordered::No => return config,
            Ordered::Version => Order::by_version(of),
            Ordered::Sequence => Order::by_sequence(of),
        };
        config.order(if self.drop_late { order.drop_late() } else { order })
    }

    /// Nanoseconds that processing may take.
    pub fn processing(&self) -> u64 {
        u64::try_from(self.limits.processing.as_nanos()).expect("not so long")
    }

    /// Whether what has ended is remembered for certain.
    pub fn remembers(&self) -> bool {
        if self.claims { self.shop_fails == 0 && self.shop_crashes == 0 } else { self.nodes == 1 && self.crashes == 0 }
    }

    /// Whether two requests with one message, signed at different times, are known to be the same for certain: by an id that is
    /// signed, or because the same is signed. Where the time is signed and no id, each attempt is owed by itself once it has
    /// failed.
    pub fn dedupes(&self) -> bool {
        let [one, next] = [1, 2].map(|secs| {
            let at = UnixTime::from_secs(EPOCH / 1000 + secs);
            let request = self.provider.request("evt_1", &body(1, 1, 1), at);
            let received = postrider_core::signing::Received {
                method: "POST",
                url: &request.url,
                headers: &request.headers[..],
                body: &request.body,
            };
            let verified = self.provider.verifier().verify(&received, at).expect("what is signed is accepted");
            (verified.id().filter(|_| verified.covered().id).map(|id| id.into_owned()), verified.digest())
        });
        one.0.is_some() && one.0 == next.0 || one.1 == next.1
    }
}

/// The body of a message.
pub(super) fn body(number: usize, line: u64, at: u64) -> Vec<u8> {
    format!("{{\"id\":\"evt_{number}\",\"type\":\"a.b\",\"place\":\"line_{line} at_{at}\"}}").into_bytes()
}

/// The digits behind a word.
pub(super) fn number(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}
