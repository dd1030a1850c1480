//! Which events have not ended yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use postrider_core::id::{EventId, TenantId};
use postrider_core::sender::{EventReport, Notice};
use postrider_driver::{Error, Heard};

use crate::driver::{Driver, Listen};

/// After this long without one, all events are looked at, whatever the notices say.
const SWEEP: Duration = Duration::from_secs(2);

/// The events that are under way, each with what the caller knows of it.
///
/// It listens to notices, and looks at every event again where some of them were missed, so that none is waited for in
/// vain.
pub(crate) struct Tracker<'d, T> {
    driver: &'d dyn Driver,
    notices: Box<dyn Listen + 'd>,
    waiting: HashMap<(TenantId, EventId), T>,
    swept: Instant,
}

/// What a tracker tells.
pub(crate) enum Told<T> {
    /// An event has ended; its report, unless that is gone already.
    Ended { tenant: TenantId, known: T, report: Option<EventReport> },
    /// Something else was heard.
    Notice(Notice),
    /// The sender has stopped by itself before this event ended.
    Stopped { event: EventId, known: T },
}

impl<'d, T> Tracker<'d, T> {
    /// A tracker of events that are published from now on.
    pub(crate) fn new(driver: &'d dyn Driver) -> Result<Self, Error> {
        Ok(Self { driver, notices: driver.notices()?, waiting: HashMap::new(), swept: Instant::now() })
    }

    /// Whether an event is under way.
    pub(crate) fn has(&self, tenant: &TenantId, event: &EventId) -> bool {
        self.waiting.contains_key(&(tenant.clone(), event.clone()))
    }

    /// An event was accepted, or is under way and known by something else.
    pub(crate) fn add(&mut self, tenant: TenantId, event: EventId, known: T) {
        self.waiting.insert((tenant, event), known);
    }

    /// How many events have not ended.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells what has happened; waits for something at most `timeout`.
    pub(crate) fn hear(&mut self, timeout: Duration, mut tell: impl FnMut(Told<T>)) {
        let mut heard = self.notices.next_within(timeout);
        loop {
            match heard {
                Heard::Notice(Notice::Settled { tenant, event }) => self.look(&(tenant, event), &mut tell),
                Heard::Notice(notice) => {
                    let folded = matches!(notice, Notice::Folded(_));
                    tell(Told::Notice(notice));
                    if folded {
                        self.sweep(&mut tell);
                    }
                }
                Heard::Missed(_) => self.sweep(&mut tell),
                Heard::Nothing => break,
                Heard::Over => {
                    self.sweep(&mut tell);
                    for ((_, event), known) in self.waiting.drain() {
                        tell(Told::Stopped { event, known });
                    }
                    return;
                }
            }
            heard = self.notices.next_within(Duration::ZERO);
        }
        if self.swept.elapsed() > SWEEP {
            self.sweep(&mut tell);
        }
    }

    fn sweep(&mut self, tell: &mut impl FnMut(Told<T>)) {
        let keys: Vec<_> = self.waiting.keys().cloned().collect();
        keys.iter().for_each(|key| self.look(key, tell));
        self.swept = Instant::now();
    }

    /// Looks at an event, and lets go of it if it has ended.
    fn look(&mut self, key: &(TenantId, EventId), tell: &mut impl FnMut(Told<T>)) {
        if !self.waiting.contains_key(key) {
            return;
        }
        let report = self.driver.report(&key.0, &key.1);
        if report.as_ref().is_some_and(|report| !report.settled) {
            return;
        }
        if let Some(((tenant, _), known)) = self.waiting.remove_entry(key) {
            tell(Told::Ended { tenant, known, report });
        }
    }
}
