//! One driver at work, and the handle by which a scenario speaks to its machine.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use postrider_core::event::Event;
use postrider_core::id::{EventId, TenantId};
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::response::TransportError;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{Close, Config, DeliveryReport, EventReport, Fate, Life, Sender, Stats};
use postrider_core::time::{Instant as Mono, Now, UnixTime};

use super::{Command, Driver, Session, tls};

/// Scheduling that a busy machine may add to every time that is measured.
pub(super) const SLACK: Duration = Duration::from_millis(250);

/// The longest that an answer to a command, or the end of the driver, is waited for before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time for one attempt, where a scenario is not about that.
const TIMEOUT: Duration = Duration::from_secs(2);

const SECRET: &str = "whsec_cG9zdHJpZGVyIGRyaXZlciBzdWl0ZSBzZWNyZXQ=";

/// One driver with its machine, which it has for as long as it runs.
pub(super) struct Rig {
    commands: mpsc::Sender<Command>,
    ended: Receiver<thread::Result<Sender>>,
    machine: Option<Sender>,
}

impl Rig {
    /// Lets a driver loose on a new machine. Should it hang, its thread is left behind.
    pub(super) fn start(run: &Driver, policy: Policy) -> Self {
        let now = Now { mono: Mono::ORIGIN, wall: wall() };
        let machine = Sender::new(Config::new().policy(policy), Seed::from_bytes([42; 32]), now);
        let (commands, receiver) = mpsc::channel();
        let (tell, ended) = mpsc::channel();
        let (run, roots) = (Arc::clone(run), tls::roots());
        thread::spawn(move || {
            let session = Session { machine, commands: receiver, roots };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(session)));
            // Nobody listens when the scenario has given up.
            let _ = tell.send(result);
        });
        Self { commands, ended, machine: None }
    }

    /// Does something to the machine, and says what came of it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Sender, Now) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (tell, answer) = mpsc::channel();
        let command: Command = Box::new(move |machine, now| {
            // Nobody listens when the scenario has given up.
            let _ = tell.send(ask(machine, now));
        });
        self.commands.send(command).map_err(|_| "the driver has dropped its end of the commands".to_string())?;
        match answer.recv_timeout(PATIENCE) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(format!("the driver did not run a command within {PATIENCE:?}")),
            Err(RecvTimeoutError::Disconnected) => Err("the driver dropped a command without running it".to_string()),
        }
    }

    /// Puts an endpoint.
    pub(super) fn put(&self, endpoint: Endpoint) -> Result<(), String> {
        self.ask(move |machine, now| machine.put(now, endpoint).map(drop).map_err(|why| why.to_string()))?
    }

    /// Publishes an event with this id, of the type that the endpoint `to` wants.
    pub(super) fn publish(&self, id: &str, to: &str) -> Result<(), String> {
        let event = event(id, to)?;
        self.ask(move |machine, now| machine.publish(now, event).map(drop).map_err(|why| why.to_string()))?
    }

    /// Puts an endpoint that allows one attempt, and publishes an event to it, both of this name.
    pub(super) fn send(&self, name: &str, url: &str) -> Result<(), String> {
        self.put(endpoint(name, url))?;
        self.publish(name, name)
    }

    /// Publishes an event to an endpoint, and waits until its delivery has ended.
    pub(super) fn deliver(&self, id: &str, to: &str) -> Result<DeliveryReport, String> {
        self.publish(id, to)?;
        self.settled(id)
    }

    /// What is known about an event.
    pub(super) fn report(&self, id: &str) -> Result<EventReport, String> {
        let event = EventId::new(id).map_err(|why| why.to_string())?;
        let report = self.ask(move |machine, _| machine.report(&TenantId::default(), &event))?;
        report.ok_or_else(|| format!("the machine does not know the event {id}"))
    }

    /// Waits until the only delivery of an event has ended, and says how.
    ///
    /// Asking wakes the driver. What is about waking by itself looks only once, with [`now_settled`](Self::now_settled).
    pub(super) fn settled(&self, id: &str) -> Result<DeliveryReport, String> {
        let (start, mut pause) = (Instant::now(), Duration::from_millis(4));
        loop {
            thread::sleep(pause);
            match self.now_settled(id) {
                Err(why) if start.elapsed() > TIMEOUT + SLACK => return Err(why),
                Err(_) => pause = (pause * 2).min(Duration::from_millis(128)),
                Ok(delivery) => return Ok(delivery),
            }
        }
    }

    /// How the only delivery of an event ended, if it has.
    pub(super) fn now_settled(&self, id: &str) -> Result<DeliveryReport, String> {
        let report = self.report(id)?;
        match report.deliveries.as_slice() {
            [delivery] if report.settled => Ok(delivery.clone()),
            _ => Err(format!("the event {id} has not ended in time: {report}")),
        }
    }

    /// Waits until an event has been delivered to its only endpoint.
    pub(super) fn delivered(&self, id: &str) -> Result<DeliveryReport, String> {
        let delivery = self.settled(id)?;
        if delivery.fate == Fate::Delivered { Ok(delivery) } else { Err(format!("{id} must be delivered: {delivery}")) }
    }

    /// Waits until the only delivery of an event has failed, and says why the last attempt did.
    pub(super) fn failed(&self, id: &str) -> Result<TransportError, String> {
        let delivery = self.settled(id)?;
        delivery.failure.ok_or_else(|| format!("{id} must fail without a reply: {delivery}"))
    }

    /// The machine's counters.
    pub(super) fn stats(&self) -> Result<Stats, String> {
        self.ask(|machine, _| machine.stats())
    }

    /// Waits until nothing is in flight.
    pub(super) fn quiet(&self, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            match self.ask(|machine, _| machine.in_flight())? {
                0 => return Ok(()),
                left if start.elapsed() > limit => {
                    return Err(format!("{left} attempts have not been reported within {limit:?}"));
                }
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Closes the machine.
    pub(super) fn close(&self, how: Close) -> Result<(), String> {
        self.ask(move |machine, now| machine.close(now, how))
    }

    /// Waits until the driver has returned.
    pub(super) fn returned(&mut self, limit: Duration) -> Result<&Sender, String> {
        let machine = match self.ended.recv_timeout(limit) {
            Ok(Ok(machine)) => machine,
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
                return Err(format!("the driver panicked: {text}"));
            }
            Err(_) => return Err(format!("the driver did not return within {limit:?} after it was closed")),
        };
        Ok(self.machine.insert(machine))
    }

    /// Ends the session, and judges what holds in every scenario.
    pub(super) fn finish(mut self) -> Result<(), String> {
        let (mut orderly, mut closed) = (Ok(()), Ok(()));
        if self.machine.is_none() {
            orderly = self.quiet(SLACK);
            closed = self.close(Close::Now);
            if let Err(why) = self.returned(PATIENCE) {
                // When it has panicked, that is the reason for everything else.
                return Err(if why.contains("panicked") { why } else { closed.err().unwrap_or(why) });
            }
        }
        orderly.and(closed)?;
        let machine = self.machine.ok_or("the driver has not returned")?;
        let stats = machine.stats();
        if machine.life() != Life::Closed {
            return Err(format!("the driver returned before the machine was closed: it is {:?}", machine.life()));
        }
        if stats.stale > 0 {
            return Err(format!("{} facts were stale: an attempt was reported twice, or too late", stats.stale));
        }
        if stats.clock_regressions > 0 {
            return Err(format!("the monotonic clock went back {} times", stats.clock_regressions));
        }
        Ok(())
    }
}

/// An endpoint that allows one attempt and wants the events published to its name. It is not spared, because peers fail
/// on purpose.
pub(super) fn endpoint(name: &str, url: &str) -> Endpoint {
    Endpoint::new(name, url)
        .events([format!("suite.{name}")])
        .secret(SECRET)
        .schedule([Duration::ZERO])
        .no_breaker()
        .timeout(TIMEOUT)
}

/// The key with which every endpoint signs.
pub(super) fn secret() -> Secret {
    Secret::parse(SECRET).expect("it is written correctly above")
}

/// An event of the type that the endpoint `to` wants.
pub(super) fn event(id: &str, to: &str) -> Result<Event, String> {
    let data = serde_json::json!({ "event": id, "text": "Grüße, \"world\"" });
    Ok(Event::json(format!("suite.{to}"), &data).map_err(|why| why.to_string())?.id(id))
}

/// The real time.
pub(super) fn wall() -> UnixTime {
    UnixTime::EPOCH.saturating_add(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}
