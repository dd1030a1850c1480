//! Receivers: who answers at the other end of the wire.

mod machine;
mod mood;
mod retry_after;
mod site;

use std::borrow::Cow;

use bytes::Bytes;

use crate::observe::{Key, SimTime};
use crate::rng::Rng;

/// A request as it arrives, whole.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The endpoint that it is for.
    pub endpoint: u32,
    /// The receiver's wall clock: milliseconds since 1970. It is right.
    pub wall: u64,
    /// Header names in lower case and their values, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: &'a Bytes,
}

/// What a receiver does about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// The application behind the receiver has the event, whatever is answered.
    pub took: bool,
    /// Nanoseconds until the first byte of the answer, or until the connection is closed.
    pub delay: u64,
    /// What comes back.
    pub wire: Wire,
    /// The receiver found something wrong with the request that no sender may do: a signature that does not hold, an
    /// id that is none.
    pub complaint: Option<String>,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A response head, and a body behind it.
    Answer(Answer),
    /// Nothing, ever.
    Silence,
    /// The connection is closed, in the middle of something.
    Close,
    /// Bytes that are no response.
    Garbage,
    /// A response head without an end: one byte after the other until the deadline.
    DrippingHead,
    /// A response head that is too large.
    HugeHead,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header lines, names in lower case.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Bytes of its body.
    pub body: u64,
    /// Nanoseconds until the whole body has come; `u64::MAX` when it never ends or is cut.
    pub body_time: u64,
}

impl Answer {
    /// A response without headers and body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: 0, body_time: 0 }
    }
}

impl Reaction {
    /// An answer with this status after `delay` nanoseconds; a 2xx means that the application has the event.
    pub fn status(status: u16, delay: u64) -> Self {
        let took = (200..300).contains(&status);
        Self { took, delay, wire: Wire::Answer(Answer::status(status)), complaint: None }
    }
}

/// A receiver: a state machine that reacts to requests.
pub trait Peer {
    /// Reacts to a request.
    fn request(&mut self, at: SimTime, request: &Request<'_>) -> Reaction;

    /// Reacts to a request that asks for its consent: a challenge, signed like any event, or the handshake of CloudEvents,
    /// which has no body. `took` says that it consents.
    fn consent(&mut self, _at: SimTime, _request: &Request<'_>) -> Reaction {
        Reaction::status(200, 20_000_000)
    }

    /// The operator has given the receiver these keys: requests may be signed with any of them.
    fn keys(&mut self, at: SimTime, keys: &[Key]);

    /// From now on it answers 204 at once.
    fn heal(&mut self, at: SimTime);

    /// Its kind, for the trace and the counts.
    fn kind(&self) -> &'static str;
}

/// A receiver of a kind that `rng` draws; only good ones when `hostile` is false.
pub fn draw(rng: &mut Rng, endpoint: u32, hostile: bool) -> Box<dyn Peer> {
    let _ = endpoint;
    let mut own = rng.fork();
    let mood = if hostile { mood::Mood::draw(&mut own) } else { mood::Mood::Good };
    Box::new(site::Site::new(mood, own))
}
