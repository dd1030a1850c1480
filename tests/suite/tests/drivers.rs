//! Both drivers, judged by the suite that judges any driver, against honest and hostile peers on loopback.

use std::thread;

use postrider::Roots;
use postrider::core::sender::Sender;
use postrider::journal::{FileLog, FileOptions, Log, MemoryLog};
use postrider_driver::Clock;
use postrider_testkit::driver_suite::{Session, Suite, run_scenario};

/// The authorities that the suite's peers are signed by.
fn roots(session: &Session) -> Roots {
    session
        .roots
        .iter()
        .fold(Roots::none(), |roots, root| roots.der(root.to_vec()).expect("a certificate of the suite"))
}

fn tokio(session: Session, log: impl Log) -> Sender {
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
    runtime.block_on(postrider::tokio::run_machine(machine, log, Clock::start(), &settings, commands))
}

fn blocking(session: Session, log: impl Log) -> Sender {
    let settings = postrider::blocking::Sender::builder().roots(roots(&session));
    let Session { machine, commands, .. } = session;
    postrider::blocking::run_machine(machine, log, Clock::start(), &settings, commands)
}

#[test]
fn the_tokio_driver_stands_its_peers() {
    Suite::new(|session| tokio(session, MemoryLog::new())).check();
}

#[test]
fn the_blocking_driver_stands_its_peers() {
    Suite::new(|session| blocking(session, MemoryLog::new())).check();
}

/// What can go wrong with a log that answers later and from a thread of its own.
const WITH_A_DISK: [&str; 7] = [
    "retry-then-delivered",
    "many-events-many-ends",
    "commands-wake-the-driver",
    "abort-closes-the-socket",
    "credit-is-respected",
    "close-drain-lets-finish",
    "close-now-ends-at-once",
];

fn over_directories(drive: fn(Session, FileLog) -> Sender) {
    for name in WITH_A_DISK {
        let told = run_scenario(name, move |session| {
            let dir = tempfile::tempdir().expect("a directory can be made");
            let log = FileLog::open(dir.path(), FileOptions::default()).expect("an empty directory is opened");
            drive(session, log)
        });
        told.unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn the_tokio_driver_writes_to_a_disk() {
    over_directories(tokio);
}

#[test]
fn the_blocking_driver_writes_to_a_disk() {
    over_directories(blocking);
}

/// One scenario of the suite, for both drivers.
fn both(scenario: &str) {
    run_scenario(scenario, |session| tokio(session, MemoryLog::new())).unwrap_or_else(|why| panic!("tokio: {why}"));
    run_scenario(scenario, |session| blocking(session, MemoryLog::new()))
        .unwrap_or_else(|why| panic!("blocking: {why}"));
}

/// A defect of others: the body was read outside of the deadline, as long as it lasted, and whole.
#[test]
fn d1_a_body_that_drips_ends_at_the_one_deadline() {
    both("deadline-dripping-body");
    both("body-over-the-cap");
}

/// A defect of others: a body was capped before it was decompressed, and redirects were followed with the signature.
#[test]
fn d8_nothing_is_decompressed_and_no_redirect_is_followed() {
    both("gzip-is-not-decompressed");
    both("redirect-is-not-followed");
}
