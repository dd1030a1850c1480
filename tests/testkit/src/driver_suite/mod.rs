//! A suite that judges any driver of the sending machine, against honest and hostile peers on loopback.
//!
//! A driver is given a [`Session`] and gives the machine back when it is closed. Everything else is the suite's: it
//! makes the machine, puts endpoints that lead to peers of its own (plain sockets that write raw bytes), publishes,
//! looks at what arrives there and at what the machine reports, and closes.
//!
//! ```no_run
//! use postrider_testkit::driver_suite::{Session, driver_suite};
//! # use postrider_core::sender::Sender;
//! # mod mine { pub fn drive(session: postrider_testkit::driver_suite::Session) -> postrider_core::sender::Sender { session.machine } }
//!
//! driver_suite(|session: Session| mine::drive(session));
//! ```
//!
//! # What a driver must do
//! * Its clock: the machine was told `mono` 0 when the session was made, so `mono` is the time since about then. A
//!   clock that is started when the session arrives is right. `wall` is the real time.
//! * Its log: none is given. Batches are acknowledged as if they were durable.
//! * Commands: each is called with the machine and the time, in order, at most 100 ms after it was sent. The suite
//!   keeps its end until the driver has returned.
//! * Its end: it returns at most 250 ms after the machine has said `Wait(Closed)`, with the machine, even when a
//!   command closed it.
//!
//! # What is judged in every scenario
//! Each attempt is reported exactly once: before the machine is closed nothing is in flight any more, and no fact was
//! stale. The monotonic clock never went back. The machine was driven until it was closed.

#[cfg(test)]
mod naive;
mod peer;
mod rig;
mod scenarios;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::registration::Policy;
use postrider_core::sender::Sender;
use postrider_core::time::Now;
use rustls::pki_types::CertificateDer;

use rig::Rig;

/// A wish that the driver carries out between two drains.
pub type Command = Box<dyn FnOnce(&mut Sender, Now) + Send>;

/// What a driver is given: it drives this machine until it says `Wait(Closed)`, and gives it back.
#[derive(Debug)]
#[non_exhaustive]
pub struct Session {
    /// The machine, at `mono` 0.
    pub machine: Sender,
    /// What to do to it, as it comes.
    pub commands: std::sync::mpsc::Receiver<Command>,
    /// The certificates that are trusted, and nothing else is.
    pub roots: Vec<CertificateDer<'static>>,
}

/// Held for writing by a scenario that measures time, for reading by the others, also when a process judges several
/// drivers at once.
static TURN: RwLock<()> = RwLock::new(());

/// Scenarios that run side by side.
const TOGETHER: usize = 6;

type Driver = Arc<dyn Fn(Session) -> Sender + Send + Sync>;

/// What a scenario found out: something worth telling, or what is wrong.
type Outcome = Result<String, String>;

/// The suite, for one driver.
#[must_use = "it judges nothing until it is told to `check`"]
#[derive(Clone)]
pub struct Suite {
    run: Driver,
    tls: bool,
}

impl Suite {
    /// The whole suite for the driver that `run` is. It is called once for each scenario, from several threads.
    pub fn new(run: impl Fn(Session) -> Sender + Send + Sync + 'static) -> Self {
        Self { run: Arc::new(run), tls: true }
    }

    /// Without the scenarios that need https, for a driver that has none. That such a driver says so is judged still.
    pub fn without_tls(self) -> Self {
        Self { tls: false, ..self }
    }

    /// Runs every scenario and prints a line for each. It takes less than 25 s.
    ///
    /// # Panics
    /// When one fails, with all that is wrong.
    pub fn check(&self) {
        let failed = self.failures();
        let mut text = String::new();
        for (name, why) in &failed {
            write!(text, "\n  {name}: {why}").expect("a String takes everything");
        }
        assert!(failed.is_empty(), "the driver fails {} scenarios:{text}", failed.len());
    }

    /// Runs every scenario and prints a line for each; the names of those that failed, with the reasons.
    pub fn failures(&self) -> Vec<(&'static str, String)> {
        let chosen = || scenarios::all().filter(|scenario| self.tls || !scenario.tls);
        let (alone, together): (Vec<_>, Vec<_>) = chosen().partition(|scenario| scenario.alone);
        let failed = Mutex::new(Vec::new());
        let judge = |scenario: &Scenario| {
            if let Err(why) = scenario.judge(&self.run) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push((scenario.name, why));
            }
        };
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..TOGETHER {
                scope.spawn(|| {
                    while let Some(scenario) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                        judge(scenario);
                    }
                });
            }
        });
        alone.into_iter().for_each(judge);
        failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Judges a driver by the whole suite; see [`Suite::check`].
///
/// # Panics
/// When a scenario fails, with all that is wrong.
pub fn driver_suite(run: impl Fn(Session) -> Sender + Send + Sync + 'static) {
    Suite::new(run).check();
}

/// The names of all scenarios, in the order in which they are listed.
pub fn scenarios() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> =
        LazyLock::new(|| scenarios::all().map(|scenario| scenario.name).collect());
    &NAMES
}

/// Runs one scenario: what is worth telling about it, or what is wrong. An unknown name is an error.
pub fn run_scenario(name: &str, run: impl Fn(Session) -> Sender + Send + Sync + 'static) -> Result<String, String> {
    let scenario = scenarios::all().find(|scenario| scenario.name == name);
    let scenario = scenario.ok_or_else(|| format!("there is no scenario {name:?}; see `scenarios()`"))?;
    let run: Driver = Arc::new(run);
    scenario.judge(&run)
}

/// One thing that a driver can get wrong.
struct Scenario {
    name: &'static str,
    run: fn(&mut Rig) -> Outcome,
    policy: fn() -> Policy,
    /// It measures time, so nothing else runs meanwhile.
    alone: bool,
    /// It needs https.
    tls: bool,
}

impl Scenario {
    const fn new(name: &'static str, run: fn(&mut Rig) -> Outcome) -> Self {
        Self { name, run, policy: Policy::development, alone: false, tls: false }
    }

    const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    const fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    const fn policy(self, policy: fn() -> Policy) -> Self {
        Self { policy, ..self }
    }

    fn judge(&self, run: &Driver) -> Outcome {
        let _alone = self.alone.then(|| TURN.write().unwrap_or_else(PoisonError::into_inner));
        let _together = (!self.alone).then(|| TURN.read().unwrap_or_else(PoisonError::into_inner));
        let start = Instant::now();
        let mut rig = Rig::start(run, (self.policy)());
        let said = (self.run)(&mut rig);
        let ended = rig.finish();
        let outcome = said.and_then(|note| ended.map(|()| note));
        let (sign, text) = match &outcome {
            Ok(note) => ("ok  ", note),
            Err(why) => ("FAIL", why),
        };
        let took = Duration::from_millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        println!("{sign} {:<44} {took:>7.1?}  {text}", self.name);
        outcome
    }
}
