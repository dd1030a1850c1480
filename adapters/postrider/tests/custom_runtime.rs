//! The example of a runtime of one's own, judged by the suite that judges the others.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use mio::{Poll, Token, Waker};
use postrider_core::sender::Sender;
use postrider_driver::Clock;
use postrider_testkit::driver_suite::{Session, Suite};

#[path = "../examples/custom_runtime.rs"]
#[expect(dead_code, reason = "its `main` is for those who run it")]
mod custom_runtime;

use custom_runtime::drive;

fn run(session: Session) -> Sender {
    let clock = Clock::start();
    let poll = Poll::new().expect("there is a descriptor left");
    let waker = Arc::new(Waker::new(poll.registry(), Token(usize::MAX)).expect("there is a descriptor left"));
    let (sender, commands) = channel();
    thread::spawn(move || {
        for command in session.commands {
            if sender.send(command).is_err() || waker.wake().is_err() {
                break;
            }
        }
    });
    drive(session.machine, &clock, &commands, poll, |_, _| ())
}

#[test]
fn a_runtime_of_ones_own_can_be_a_driver() {
    Suite::new(run).without_tls().check();
}
