//! An endpoint as an operator registers it.

use super::SECOND;

/// A signing key: its number, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which key; no two have the same bytes.
    pub number: u32,
    /// What it signs with.
    pub secret: [u8; 32],
}

/// How an endpoint wants bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The Standard Webhooks envelope around the data.
    Envelope,
    /// The data alone, byte for byte.
    Data,
}

/// How an endpoint wants events under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As they come.
    Anywhere,
    /// In order; one that is out of attempts lets the next go.
    Skip,
    /// In order; one that is out of attempts is tried on.
    Strict,
}

/// Which events an endpoint wants by what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Those whose number `n` is at least the first and below the second.
    Within(u64, u64),
    /// Those with a number `n` that is none of these.
    Not([u64; 2]),
    /// Those without a number `n`.
    NoNumber,
    /// Those whose text `p` is there and not empty, and those whose number is this one.
    TextOr(u64),
    /// Those whose type ends so, whatever they say.
    TypeEnds(&'static str),
}

/// How an endpoint's owner is asked whether it wants events at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Not at all.
    Nobody,
    /// By an event whose token must come back, with a status of 2xx.
    Challenge,
    /// By the handshake of CloudEvents: a header of the answer, whatever its status.
    Handshake,
}

/// A way of signing beside Standard Webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// GitHub's: `x-hub-signature-256`, hexadecimal, over the body.
    Github,
    /// Stripe's: `stripe-signature`, each key's, over time and body.
    Stripe,
    /// Slack's: `x-slack-signature`, over `v0`, time and body.
    Slack,
    /// One that is described: `x-sim-signature`, SHA-256 in base64 by the bytes of the key, over id, time, URL and body,
    /// with the time in `x-sim-time`.
    Described,
}

/// How an endpoint is to be spared; times are in nanoseconds. What `Default` gives is what is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many attempts it is given.
    pub rate: Option<Rate>,
    /// When its breaker opens.
    pub breaker: Option<Breaker>,
    /// It is disabled when its first failure since the last success is so old, and so many attempts have failed since.
    pub disable: Option<(u64, u32)>,
    /// How long a delivery may wait for it.
    pub queue: Option<u64>,
    /// How old a delivery may be when an attempt starts.
    pub max_age: Option<u64>,
}

/// So many attempts in so much time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how many nanoseconds: a second, a minute or an hour.
    pub nanos: u64,
    /// How many at once.
    pub burst: u32,
}

/// When a breaker opens, and for how many nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Of at least so many attempts...
    pub attempts: u16,
    /// ...so many per cent failed...
    pub percent: u8,
    /// ...within this time.
    pub window: u64,
    /// For how long it opens first.
    pub open: u64,
    /// For how long at most.
    pub longest: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let breaker =
            Breaker { attempts: 10, percent: 70, window: 300 * SECOND, open: 30 * SECOND, longest: 1800 * SECOND };
        let disable = Some((120 * 3600 * SECOND, 5));
        Self { rate: None, breaker: Some(breaker), disable, queue: None, max_age: None }
    }
}

/// An endpoint as an operator registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Which endpoint: its number stands for tenant and name, and stays after a removal.
    pub endpoint: u32,
    /// Whose it is.
    pub tenant: u32,
    /// The host in its URL.
    pub host: String,
    /// The port in its URL.
    pub port: u16,
    /// What it wants: `**` or event types, of which a segment may be `*` or `**`.
    pub patterns: Vec<String>,
    /// Which of these it wants by their content.
    pub filter: Option<Filter>,
    /// How it wants bodies.
    pub form: Form,
    /// How its requests are signed besides Standard Webhooks.
    pub schemes: Vec<Scheme>,
    /// Nanoseconds before each attempt, the first included; as many attempts as there are entries.
    pub schedule: Vec<u64>,
    /// Nanoseconds for one attempt.
    pub timeout: u64,
    /// Attempts at once.
    pub concurrency: u16,
    /// History keeps the beginning of each answer.
    pub keeps_answers: bool,
    /// How it wants events under one key.
    pub place: Place,
    /// While it is down, only the newest of each key is kept for it.
    pub coalesce: bool,
    /// How it is to be spared.
    pub pace: Pace,
    /// How its owner is asked for consent, which never changes.
    pub ask: Ask,
    /// The ring is to be exactly this; empty to leave the keys of an endpoint that exists as they are.
    pub keys: Vec<Key>,
}
