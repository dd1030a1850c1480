//! The receiving machine of the library itself, as one more judge: what it does not accept, no sender may send.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postrider_core::receiver::{
    ExchangeId, Processed, Reason, Receiver, ReceiverConfig, ReceiverLimits, RecvInput, RecvNotice, RecvOutput,
    RequestHead,
};
use postrider_core::secret::Secret;
use postrider_core::signing::standard::{self, Verifier};
use postrider_core::time::{Instant, Now, UnixTime};

use super::Request;
use crate::observe::{Key, SimTime};

/// How far a sender's wall clock may be off: the clocks of nodes jump, which is no fault of the signature.
const TOLERANCE: Duration = Duration::from_secs(1 << 34);

/// Ids that a receiver remembers.
const IDS: usize = 4096;

/// Headers that are shown to the machine.
static NAMES: [HeaderName; 3] = [
    HeaderName::from_static(standard::ID),
    HeaderName::from_static(standard::TIMESTAMP),
    HeaderName::from_static(standard::SIGNATURE),
];

/// Verifies, and knows what it has seen.
#[derive(Debug, Default)]
pub(super) struct Machine {
    inner: Option<Receiver>,
    exchange: u64,
}

/// What the machine made of a request.
#[derive(Debug)]
pub(super) struct Taken {
    /// The application has the event, from now or from before.
    pub(super) has_it: bool,
    /// What the machine would answer.
    pub(super) status: u16,
    /// What was wrong with the request.
    pub(super) complaint: Option<String>,
}

impl Machine {
    /// Accepts what is signed with any of these. What it had seen is forgotten.
    pub(super) fn keys(&mut self, at: SimTime, keys: &[Key]) {
        let secrets = keys.iter().map(|key| Secret::from_bytes(key.secret).expect("32 bytes make a key"));
        let secrets: Vec<_> = secrets.collect();
        self.inner = Verifier::new(&secrets).ok().map(|verifier| {
            let mut limits = ReceiverLimits::default();
            limits.ids = IDS;
            let config = ReceiverConfig::new(verifier.tolerance(TOLERANCE)).limits(limits);
            Receiver::new(config, now(at, 0))
        });
    }

    /// Shows it a request. The application behind it takes the event if `take` says so.
    pub(super) fn request(&mut self, at: SimTime, request: &Request<'_>, take: bool) -> Taken {
        let Some(machine) = &mut self.inner else {
            return Taken { has_it: take, status: if take { 204 } else { 503 }, complaint: None };
        };
        self.exchange += 1;
        let (exchange, now) = (ExchangeId::new(self.exchange), now(at, request.wall));
        let mut headers = HeaderMap::with_capacity(3);
        for (name, value) in request.headers {
            let name = match *name {
                standard::ID => &NAMES[0],
                standard::TIMESTAMP => &NAMES[1],
                standard::SIGNATURE => &NAMES[2],
                _ => continue,
            };
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(name, value);
            }
        }
        machine.handle(now, RecvInput::Head { exchange, head: RequestHead::new(Method::POST, headers) });
        let mut taken = Taken { has_it: false, status: 503, complaint: None };
        loop {
            match machine.poll_output() {
                RecvOutput::ReadBody { exchange, .. } => {
                    machine.handle(now, RecvInput::Body { exchange, body: request.body.clone() });
                }
                RecvOutput::Deliver(delivery) => {
                    let result = if take { Processed::Done } else { Processed::Later { after: None } };
                    machine.handle(now, RecvInput::Processed { delivery: delivery.id(), result });
                }
                RecvOutput::Respond(response) => {
                    taken.status = response.status().as_u16();
                    taken.has_it = matches!(response.reason(), Reason::Processed | Reason::Repeat);
                    if matches!(response.reason(), Reason::Malformed | Reason::Unverified | Reason::TooLarge) {
                        let unknown = || format!("the receiver answers {}", taken.status);
                        taken.complaint = Some(taken.complaint.take().unwrap_or_else(unknown));
                    }
                }
                RecvOutput::Notice(RecvNotice::Unverified { why, .. }) => taken.complaint = Some(why.to_string()),
                RecvOutput::Store(_) | RecvOutput::Claim(_) | RecvOutput::Commit(_) | RecvOutput::Release(_) => {
                    panic!("nothing of this was asked for")
                }
                RecvOutput::Notice(_) => {}
                RecvOutput::Wait(_) => return taken,
            }
        }
    }
}

fn now(at: SimTime, wall: u64) -> Now {
    Now { mono: Instant::from_nanos(at.0), wall: UnixTime::from_millis(wall) }
}
