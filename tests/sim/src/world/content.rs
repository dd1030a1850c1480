//! What events say and what endpoints are, as functions of their numbers.

use crate::observe::{Ask, Breaker, Filter, Form, Key, Pace, Place as Place_, Rate, SECOND, Scheme, SimTime, Spec};
use crate::profile::{Class, Profile};
use crate::rng::Rng;

use super::{Offer, World};

/// The beginning of every secret, to be looked for wherever none may be.
pub(super) const CANARY: &[u8; 15] = b"canary~secret~~";

/// An endpoint and what the operators know of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) node: u32,
    pub(super) spec: Spec,
    /// Every key that it ever had.
    pub(super) all_keys: Vec<Key>,
}

/// An event's content.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) tenant: u32,
    pub(super) event_type: &'static str,
    pub(super) payload: Vec<u8>,
    pub(super) expires: Option<u64>,
    pub(super) idempotency: Option<u64>,
    pub(super) key: Option<u32>,
}

const TYPES: [&str; 5] = ["order.paid", "order.shipped", "user.created", "invoice.line.added", "ping"];

const PATTERNS: [&[&str]; 6] =
    [&["**"], &["**"], &["order.*"], &["*.created", "ping"], &["invoice.**"], &["order.paid"]];

impl World {
    /// Makes the endpoints, which have yet to be registered.
    pub(super) fn make_places(&mut self) {
        let mut rng = Rng::part(self.profile.seed, "endpoints");
        let mut keeping = Rng::part(self.profile.seed, "answers");
        let mut order = Rng::part(self.profile.seed, "order");
        let mut pacing = Rng::part(self.profile.seed, "paces");
        let mut asking = Rng::part(self.profile.seed, "asks");
        for endpoint in 0..self.profile.endpoints {
            let tenant = endpoint % self.profile.tenants;
            let key = self.new_key();
            let spec = Spec {
                endpoint,
                tenant,
                host: match self.profile.host_bound < u32::MAX && pacing.once_in(2) {
                    true => "all.hooks.example.com".to_owned(),
                    false => format!("p{endpoint}.hooks.example.com"),
                },
                port: if rng.once_in(4) { 8443 } else { 443 },
                patterns: draw_patterns(&mut rng),
                filter: draw_filter(&mut rng, self.profile.gap),
                form: if rng.once_in(2) { Form::Envelope } else { Form::Data },
                schemes: draw_schemes(&mut rng),
                schedule: draw_schedule(&mut rng, self.profile.schedule),
                timeout: *rng.pick(&[1, 5, 20, 60]) * SECOND,
                concurrency: u16::try_from(*rng.pick(&[1, 2, 8, 8, 64])).expect("it is small"),
                keeps_answers: keeping.once_in(2) && !self.profile.wants_all,
                place: Place_::Anywhere,
                coalesce: false,
                pace: if self.profile.paces { draw_pace(&mut pacing, &self.profile) } else { Pace::default() },
                ask: match self.profile.consents {
                    true => *asking.pick(&[Ask::Nobody, Ask::Challenge, Ask::Handshake]),
                    false => Ask::Nobody,
                },
                keys: vec![key],
            };
            let place = *order.pick(&[Place_::Anywhere, Place_::Anywhere, Place_::Skip, Place_::Strict]);
            let coalesce = place != Place_::Anywhere && order.once_in(3);
            let spec = match self.profile.lanes {
                true => Spec { place, coalesce, ..spec },
                false => spec,
            };
            let spec = if self.profile.wants_all { calm(spec) } else { spec };
            self.peers[endpoint as usize].keys(self.now, &[key]);
            let node = tenant % self.profile.nodes;
            self.places.push(Place { node, spec, all_keys: vec![key] });
        }
    }

    pub(super) fn new_key(&mut self) -> Key {
        let number = self.next_key;
        self.next_key += 1;
        let mut secret = [0; 32];
        secret[..15].copy_from_slice(CANARY);
        secret[15..19].copy_from_slice(&number.to_le_bytes());
        secret[19..27].copy_from_slice(&self.profile.seed.to_le_bytes());
        Key { number, secret }
    }

    pub(super) fn node_of_event(&self, event: u64) -> u32 {
        self.tenant_of_event(event) % self.profile.nodes
    }

    /// Whose an event is: the first number of its content.
    pub(super) fn tenant_of_event(&self, event: u64) -> u32 {
        if let Some(tenant) = self.replays.tenant(event) {
            return tenant;
        }
        let tenant = Rng::new(self.profile.seed ^ event).below(self.profile.tenants.into());
        u32::try_from(tenant).expect("a tenant")
    }
}

/// What the event of an offer says: the same in every honest repeat.
pub(super) fn content(profile: &Profile, offer: &Offer) -> Content {
    let mut rng = Rng::new(profile.seed ^ offer.event);
    let tenant = u32::try_from(rng.below(profile.tenants.into())).expect("a tenant");
    let event_type = *rng.pick(&TYPES);
    let has = |class| profile.classes.has(class);
    let limit = usize::try_from(profile.payload).expect("a limit");
    let poisoned = has(Class::Poison) && rng.once_in(50);
    let payload = match rng.below(16) {
        0 if poisoned => b"0".to_vec(),
        1..4 if poisoned => b"\"\"".to_vec(),
        4 if poisoned => padded(offer.event, limit),
        5 if poisoned => padded(offer.event, limit + 1),
        6..9 if poisoned => "{\"\\u0000\":\"\\ud83d\\ude00 </script> \u{7f}\"}".into(),
        0 => padded(offer.event, rng.index(2048)),
        _ => padded(offer.event, rng.index(64)),
    };
    let payload = if offer.other_content { padded(offer.event, payload.len() + 7) } else { payload };
    let born = crate::clock::NodeClock::truth(offer.born);
    let expires = (has(Class::Expiry) && rng.once_in(8)).then(|| born + rng.about(1_800_000));
    let idempotency = rng.once_in(8).then_some(offer.event);
    // Of its own, so that older seeds stay as they were in all else.
    let mut rng = Rng::part(profile.seed ^ offer.event, "key");
    let key = (!profile.wants_all && !rng.once_in(3)).then(|| u32::try_from(rng.below(3)).expect("it is small"));
    Content { tenant, event_type, payload, expires, idempotency, key }
}

/// JSON that names the event and has so many bytes, or a few more if that is too few.
fn padded(event: u64, len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len.max(40));
    text.extend_from_slice(b"{\"n\":");
    let (mut digits, mut at, mut left) = ([0; 20], 20, event);
    while at == 20 || left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    text.extend_from_slice(&digits[at..]);
    text.extend_from_slice(b",\"p\":\"");
    text.resize(text.len().max(len.saturating_sub(2)), b'x');
    text.extend_from_slice(b"\"}");
    text
}

pub(super) fn draw_patterns(rng: &mut Rng) -> Vec<String> {
    rng.pick(&PATTERNS).iter().map(|pattern| (*pattern).to_owned()).collect()
}

/// An endpoint that wants everything, in the way that is usual.
fn calm(spec: Spec) -> Spec {
    Spec { patterns: vec!["**".to_owned()], filter: None, schemes: Vec::new(), ..spec }
}

/// A filter, or none. Events are numbered from 0 and come this far from each other.
pub(super) fn draw_filter(rng: &mut Rng, gap: u64) -> Option<Filter> {
    // As many as there are in a day, so that the bounds lie among the numbers that come.
    let most = 24 * 3600 * SECOND / gap.max(SECOND);
    Some(match rng.below(12) {
        0 | 1 => {
            let low = rng.below(most);
            Filter::Within(low, low + rng.about(most))
        }
        2 => Filter::Not([rng.below(most), rng.below(most)]),
        3 => Filter::NoNumber,
        4 => Filter::TextOr(rng.below(most)),
        5 => Filter::TypeEnds(["paid", "created", "added"][rng.index(3)]),
        _ => return None,
    })
}

/// Schemes beside Standard Webhooks.
pub(super) fn draw_schemes(rng: &mut Rng) -> Vec<Scheme> {
    if rng.once_in(2) {
        return Vec::new();
    }
    let all = [Scheme::Github, Scheme::Stripe, Scheme::Slack, Scheme::Described];
    all.into_iter().filter(|_| rng.once_in(3)).collect()
}

/// Rates are high enough for what has gathered after an outage to go out in the time that there is in the end.
pub(super) fn draw_pace(rng: &mut Rng, profile: &Profile) -> Pace {
    let calm = profile.gap >= 60 * SECOND && !profile.classes.has(Class::Bursts);
    let rate = |count, per: u64, burst| Some(Rate { count, nanos: per * SECOND, burst });
    let rates = [rate(10, 1, 1), rate(50, 1, 20), rate(1000, 60, 5), rate(100_000, 3600, 1)];
    let slow = [rate(1, 1, 1), rate(90, 60, 3), rate(3000, 3600, 10)];
    let usual = Pace::default();
    let breaker = |attempts, percent, window: u64, open: u64, longest: u64| {
        let (window, open, longest) = (window * SECOND, open * SECOND, longest * SECOND);
        Some(Breaker { attempts, percent, window, open, longest })
    };
    let breakers = [breaker(2, 50, 60, 10, 60), breaker(5, 100, 600, 60, 1800), breaker(20, 30, 3600, 5, 300), None];
    Pace {
        rate: match rng.below(4) {
            0 | 1 => None,
            2 if calm => *rng.pick(&slow),
            _ => *rng.pick(&rates),
        },
        breaker: if rng.once_in(3) { usual.breaker } else { *rng.pick(&breakers) },
        disable: *rng.pick(&[
            usual.disable,
            usual.disable,
            Some((3600 * SECOND, 3)),
            Some((4 * 3600 * SECOND, 10)),
            None,
        ]),
        queue: *rng.pick(&[None, None, None, Some(60 * SECOND), Some(1800 * SECOND)]),
        max_age: *rng.pick(&[None, None, None, Some(600 * SECOND), Some(6 * 3600 * SECOND)]),
    }
}

fn draw_schedule(rng: &mut Rng, kind: u64) -> Vec<u64> {
    let seconds: &[u64] = match kind {
        0 => &[0, 1, 5, 30, 60, 300, 900, 3600, 3600, 3600],
        1 => &[0, 5, 60, 600, 1800, 7200, 7200],
        2 => &[0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400],
        _ => &[1, 2, 4],
    };
    let keep = if rng.once_in(4) { rng.between(1, seconds.len() as u64) } else { seconds.len() as u64 };
    seconds[..usize::try_from(keep).expect("it is small")].iter().map(|seconds| seconds * SECOND).collect()
}

/// The longest that a delivery may wait when its receiver is well.
pub(super) fn longest_wait(places: &[Place], hints: bool) -> SimTime {
    // The first of a strict lane is tried on after 5 minutes at least.
    let delay = places.iter().flat_map(|place| &place.spec.schedule).copied().max().unwrap_or(0).max(300 * SECOND);
    // Owners are asked again after 10 hours at most.
    let asked = if places.iter().any(|place| place.spec.ask != Ask::Nobody) { 12 * 3600 * SECOND } else { 0 };
    let hinted = if hints { 24 * 3600 * SECOND } else { 0 };
    SimTime((delay + delay / 5).max(hinted) + asked)
}
