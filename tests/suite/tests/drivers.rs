//! Both drivers, judged by the suite that judges any driver, against honest and hostile peers on loopback.

use std::thread;

use postrider::Roots;
use postrider::core::sender::Sender;
use postrider::journal::MemoryLog;
use postrider_driver::Clock;
use postrider_testkit::driver_suite::{Session, Suite};

/// The authorities that the suite's peers are signed by.
fn roots(session: &Session) -> Roots {
    session
        .roots
        .iter()
        .fold(Roots::none(), |roots, root| roots.der(root.to_vec()).expect("a certificate of the suite"))
}

fn tokio(session: Session) -> Sender {
    let settings = postrider::tokio::Sender::builder().roots(roots(&session));
    let (sender, commands) = tokio::sync::mpsc::unbounded_channel();
    let Session { machine, commands: asked, .. } = session;
    thread::spawn(move || {
        for command in asked {
            if sender.send(command).is_err() {
                break;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(postrider::tokio::run_machine(machine, MemoryLog::new(), Clock::start(), &settings, commands))
}

fn blocking(session: Session) -> Sender {
    let settings = postrider::blocking::Sender::builder().roots(roots(&session));
    let Session { machine, commands, .. } = session;
    postrider::blocking::run_machine(machine, MemoryLog::new(), Clock::start(), &settings, commands)
}

#[test]
fn the_tokio_driver_stands_its_peers() {
    Suite::new(tokio).check();
}

#[test]
fn the_blocking_driver_stands_its_peers() {
    Suite::new(blocking).check();
}
