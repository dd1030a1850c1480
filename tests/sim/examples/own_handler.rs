//! A handler of your own in the simulator: it books each payment once, however often a webhook comes.
//!
//! `cargo run --release -p postrider-sim --example own_handler`
//!
//! The handler is a [`Peer`]: it gets every request that arrives, and says what it answers. What surrounds it is the
//! simulator's: answers get lost, so that events come again; senders die and forget that they have delivered. Afterwards
//! the handler is asked what it has booked. With `--forgetful` it books by arrival and not by id, and is caught.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;

use postrider_sim::observe::{Key, SimTime};
use postrider_sim::profile::Scale;
use postrider_sim::receiver::{Peer, Reaction, Request};
use postrider_sim::world::{Cast, World};

/// Nanoseconds until it answers.
const WORK: u64 = 3_000_000;

/// What the handlers have booked: how often, by endpoint and id of the event.
type Books = Rc<RefCell<BTreeMap<(u32, String), u32>>>;

/// A handler of one endpoint.
struct Bookkeeper {
    books: Books,
    forgetful: bool,
    requests: Rc<RefCell<u64>>,
}

impl Peer for Bookkeeper {
    fn request(&mut self, _at: SimTime, request: &Request<'_>) -> Reaction {
        *self.requests.borrow_mut() += 1;
        let id = request.headers.iter().find(|(name, _)| *name == "webhook-id");
        let Some(id) = id.and_then(|(_, value)| str::from_utf8(value).ok()) else { return Reaction::status(400, WORK) };
        let mut books = self.books.borrow_mut();
        let booked = books.entry((request.endpoint, id.to_owned())).or_default();
        if *booked == 0 || self.forgetful {
            *booked += 1;
        }
        Reaction::status(204, WORK)
    }

    fn keys(&mut self, _at: SimTime, _keys: &[Key]) {}

    fn heal(&mut self, _at: SimTime) {}

    fn kind(&self) -> &'static str {
        "bookkeeper"
    }
}

fn main() -> ExitCode {
    let forgetful = std::env::args().any(|argument| argument == "--forgetful");
    for seed in 0..12 {
        let (books, requests) = (Books::default(), Rc::default());
        let mut cast = Cast::usual();
        let (own_books, own_requests) = (Rc::clone(&books), Rc::clone(&requests));
        cast.peers = Box::new(move |_, _, _| {
            let (books, requests) = (Rc::clone(&own_books), Rc::clone(&own_requests));
            Box::new(Bookkeeper { books, forgetful, requests })
        });
        let verdict = World::new(seed, &Scale::hours(3), cast).run();
        if let Some((at, broken)) = verdict.broken {
            println!("seed {seed}: the sender broke a promise at {at}: {broken}");
            return ExitCode::FAILURE;
        }
        let (books, requests) = (books.borrow(), requests.borrow());
        if let Some(((endpoint, id), times)) = books.iter().find(|(_, times)| **times != 1) {
            println!("seed {seed}: {id} was booked {times} times at endpoint {endpoint}");
            return ExitCode::FAILURE;
        }
        println!("seed {seed} holds: {requests} requests, {} payments booked once each", books.len());
    }
    ExitCode::SUCCESS
}
