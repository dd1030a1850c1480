//! `postrider demo`: a shop, its inventory, a payment service, and receivers of every mood, over real sockets.
//!
//! ```text
//!   shop ───────── order.placed ──────> network ──> inventory, analytics, archive, partner, old-crm
//!   payments ───── payment.completed ─> network ──> shop
//!   inventory ──── stock.low ─────────> network ──> alerts
//! ```
//!
//! Beside it, the same receivers ask the same sources every second what is new.

mod chance;
mod network;
mod polled;
mod receiver;
mod report;
mod show;
mod world;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{EndpointId, EndpointKey, TenantId};
use postrider_core::limits::Limits;
use postrider_core::registration::{Endpoint, Policy};
use postrider_core::retry::BreakerPolicy;
use postrider_core::secret::Secret;

use crate::driver::{self, Driver, Kind, Settings};
use crate::exit::{Exit, Refusal};
use crate::store::Store;
use crate::tracker::Tracker;
use network::Mischief;
use polled::{Polled, Source};
use receiver::{Mood, Receiver};
use show::Progress;
use world::{Books, Clock, Fact, Report};

/// Run a shop, its inventory and a payment service over loopback sockets, with receivers of every mood and a bad
/// network; exit 0 only if all books agree in the end
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What carries the attempts
    #[arg(long, value_enum, default_value_t)]
    driver: Kind,
    /// Orders that are placed, at most 1000 a second; each of them is paid
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    events: u64,
}

/// Where facts come from, each a tenant of the sender.
const SOURCES: [&str; 3] = ["shop", "payments", "inventory"];
const SHOP: usize = 0;
const PAYMENTS: usize = 1;
const INVENTORY: usize = 2;

/// After how long the failing receiver recovers, from its first request on.
const RECOVERY: Duration = Duration::from_millis(1500);
/// How long it may go on without anything happening.
const PATIENCE: Duration = Duration::from_secs(30);
/// Retries for people who are watching: 14 attempts within 11 s.
const SCHEDULE: [u64; 14] = [0, 100, 200, 300, 500, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000];

/// A breaker for people who are watching: it rests for less than the usual 30 s.
fn breaker() -> BreakerPolicy {
    let policy = BreakerPolicy::DEFAULT.with_open(Duration::from_millis(300), Duration::from_secs(1));
    policy.expect("a first rest that is shorter than the longest")
}

/// How long the slow receiver takes for each of so many orders: 60 ms, or less so that it can end at all.
fn slowness(orders: u64) -> Duration {
    Duration::from_millis((40_000 / orders).clamp(1, 60))
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<Exit, Refusal> {
    let mut out = io::stdout().lock();
    show::opening(&mut out, args.driver, args.events)?;
    let driver = {
        let settings = Settings {
            policy: Policy::development(),
            limits: Limits::default(),
            credit: None,
            trace: None,
            origin: None,
        };
        driver::open(args.driver, settings, &Store::default())?
    };
    let mut demo = Demo::set_up(&*driver, args.events)?;
    demo.play()?;
    let settled = demo.settle()?;
    let ending = demo.end(settled)?;
    show::ending(&mut out, &ending)?;
    out.flush()?;
    // Nothing is kept in any case, so there is nothing to say when it took longer.
    _ = driver.close(Duration::from_secs(2));
    Ok(if ending.audit.agrees() { Exit::Done } else { Exit::Failed })
}

/// Locks what several threads of the demonstration share.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A receiver on the stage.
struct Player {
    name: &'static str,
    note: &'static str,
    source: usize,
    endpoint: EndpointKey,
    receiver: Arc<Receiver>,
    secret: Secret,
    poller: Option<JoinHandle<io::Result<Polled>>>,
}

struct Demo<'d> {
    driver: &'d dyn Driver,
    orders: u64,
    clock: Clock,
    mischief: Arc<Mischief>,
    players: Vec<Player>,
    sources: Vec<(Arc<Source>, SocketAddr)>,
    published: [u64; SOURCES.len()],
    /// How many of each item were ordered.
    ordered: BTreeMap<usize, u64>,
    tracker: Tracker<'d, ()>,
    over: Arc<AtomicBool>,
    fresh: Option<Secret>,
    progress: Progress,
}

impl<'d> Demo<'d> {
    fn set_up(driver: &'d dyn Driver, orders: u64) -> Result<Self, Refusal> {
        let sources = SOURCES.iter().map(|_| Source::open()).collect::<io::Result<Vec<_>>>()?;
        let mut demo = Self {
            driver,
            orders,
            clock: Clock::start(),
            mischief: Arc::default(),
            players: Vec::new(),
            sources,
            published: [0; SOURCES.len()],
            ordered: BTreeMap::new(),
            tracker: Tracker::new(driver).map_err(failed)?,
            over: Arc::default(),
            fresh: None,
            progress: Progress::new(),
        };
        demo.cast("inventory", "steady", SHOP, "order.placed", Mood::Steady, || Books::stock(orders))?;
        demo.cast("shop", "steady", PAYMENTS, "payment.completed", Mood::Steady, Books::payments)?;
        demo.cast("alerts", "steady", INVENTORY, "stock.*", Mood::Steady, Books::log)?;
        demo.cast("analytics", "503 at first", SHOP, "order.**", Mood::FailsFor(RECOVERY), Books::log)?;
        demo.cast("archive", "slow", SHOP, "**", Mood::Slow(slowness(orders)), Books::log)?;
        demo.cast("partner", "new key", SHOP, "order.*", Mood::Steady, Books::log)?;
        demo.cast("old-crm", "410", SHOP, "order.**", Mood::Gone, Books::log)?;
        Ok(demo)
    }

    /// Opens a receiver behind a front of the network, registers it, and lets it poll beside.
    fn cast(
        &mut self,
        name: &'static str,
        note: &'static str,
        source: usize,
        wants: &str,
        mood: Mood,
        books: impl Fn() -> Books,
    ) -> Result<(), Refusal> {
        let (receiver, upstream) = Receiver::open(mood, books(), self.clock)?;
        let place = self.players.len() as u64;
        let front = network::front(upstream, place, &self.mischief)?;
        let endpoint = Endpoint::new(name, format!("http://{front}/webhook"))
            .tenant(SOURCES[source])
            .events([wants])
            .schedule(SCHEDULE.map(Duration::from_millis))
            .breaker(breaker());
        let registered = self.driver.put(endpoint).map_err(Refusal::new)?;
        let secret = registered.created().cloned().ok_or_else(|| failed("the endpoint was not created"))?;
        receiver.trust(&[&secret]);
        let poller = match mood {
            Mood::Gone => None,
            Mood::Steady | Mood::FailsFor(_) | Mood::Slow(_) => {
                // Pollers do not all begin at the same moment, as they would not.
                let offset = polled::EVERY * u32::try_from(place).unwrap_or(0) / 7;
                let (_, addr) = self.sources[source];
                Some(polled::poll(addr, offset, books(), self.clock, self.over.clone())?)
            }
        };
        let tenant = TenantId::new(SOURCES[source]).map_err(failed)?;
        let endpoint = EndpointKey { tenant, id: EndpointId::new(name).map_err(failed)? };
        self.progress.add(name, note);
        self.players.push(Player { name, note, source, endpoint, receiver, secret, poller });
        Ok(())
    }

    /// Places all orders and pays them, at an even pace: within 6 s, or 1000 a second where there are more, so that
    /// latencies are those of the way and not of a queue.
    fn play(&mut self) -> Result<(), Refusal> {
        let length = Duration::from_millis(self.orders.saturating_mul(20).clamp(1000, 6000).max(self.orders));
        let beginning = self.clock.elapsed();
        let mut unpaid = std::collections::VecDeque::new();
        for (at, order) in (0..).zip(world::orders(self.orders)) {
            let due = beginning + Duration::from_secs_f64(length.as_secs_f64() * at as f64 / self.orders as f64);
            while let Some(rest) = due.checked_sub(self.clock.elapsed()).filter(|rest| !rest.is_zero()) {
                self.tick()?;
                thread::sleep(rest.min(Duration::from_millis(10)));
            }
            if at == self.orders / 2 {
                self.add_key()?;
            }
            if at == self.orders * 3 / 4 {
                self.drop_old_key()?;
            }
            if let Fact::Placed { order, item, quantity } = order {
                *self.ordered.entry(item).or_default() += quantity;
                unpaid.push_back(order);
            }
            self.publish(SHOP, order)?;
            // Customers pay a little later than they order.
            if unpaid.len() > 2 {
                let order = unpaid.pop_front().expect("there are more than two");
                self.publish(PAYMENTS, Fact::Paid { order })?;
            }
        }
        for order in unpaid {
            self.publish(PAYMENTS, Fact::Paid { order })?;
        }
        Ok(())
    }

    /// Waits until nothing is owed to anybody and the network is quiet; whether that came before nothing happened for
    /// too long.
    fn settle(&mut self) -> Result<bool, Refusal> {
        let (mut applied, mut changed) = (0, self.clock.elapsed());
        loop {
            // In this order: an alert can only come from what had not ended before.
            let quiet = self.tracker.len() == 0 && self.mischief.is_quiet();
            let alerts = self.tick()?;
            if quiet && alerts == 0 {
                return Ok(true);
            }
            let now_applied = self.players.iter().map(|player| player.receiver.applied()).sum::<u64>();
            if now_applied != applied {
                (applied, changed) = (now_applied, self.clock.elapsed());
            } else if self.clock.elapsed() > changed + PATIENCE {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends the inventory's alerts and shows how far everything is. Returns how many alerts there were.
    fn tick(&mut self) -> Result<usize, Refusal> {
        self.tracker.hear(Duration::ZERO, drop);
        let alerts: Vec<Fact> = self.players.iter().flat_map(|player| player.receiver.take_alerts()).collect();
        let count = alerts.len();
        for alert in alerts {
            self.publish(INVENTORY, alert)?;
        }
        let totals = [self.orders, self.orders, self.published[INVENTORY].max(1)];
        let state = self.players.iter().map(|player| (player.receiver.applied(), totals[player.source]));
        self.progress.show(state);
        Ok(count)
    }

    fn publish(&mut self, source: usize, fact: Fact) -> Result<(), Refusal> {
        self.published[source] += 1;
        let report = Report { n: self.published[source], at: self.clock.micros(), fact };
        self.sources[source].0.add(report.clone());
        let tenant = TenantId::new(SOURCES[source]).map_err(failed)?;
        let event = Event::json(report.fact.event_type(), &report).map_err(failed)?;
        let mut event = event.id(report.fact.event_id()).tenant(SOURCES[source]);
        loop {
            match self.driver.publish(event) {
                Ok(receipt) => {
                    self.tracker.add(tenant, receipt.event().clone(), ());
                    return Ok(());
                }
                Err(why) if why.is_temporary() => match why.into_event() {
                    Some(again) => event = again,
                    None => return Ok(()),
                },
                Err(why) => return Err(failed(why)),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The partner gets a second key: both sign, both are accepted.
    fn add_key(&mut self) -> Result<(), Refusal> {
        let fresh = postrider_driver::mint::secret().map_err(failed)?;
        let partner = self.partner()?;
        partner.receiver.trust(&[&partner.secret, &fresh]);
        self.driver.add_key(&partner.endpoint, &fresh).map_err(failed)?;
        self.fresh = Some(fresh);
        Ok(())
    }

    /// The partner's first key is revoked, and not accepted any more.
    fn drop_old_key(&mut self) -> Result<(), Refusal> {
        let Some(fresh) = self.fresh.take() else { return Ok(()) };
        let partner = self.partner()?;
        partner.receiver.trust(&[&fresh]);
        self.driver.revoke_key(&partner.endpoint, partner.secret.id()).map_err(failed)
    }

    fn partner(&self) -> Result<&Player, Refusal> {
        self.players.iter().find(|player| player.name == "partner").ok_or_else(|| failed("there is no partner"))
    }

    /// Collects what everybody has noted.
    fn end(self, settled: bool) -> Result<show::Ending, Refusal> {
        self.progress.clear();
        self.over.store(true, Ordering::SeqCst);
        let mut rows = Vec::new();
        for player in self.players {
            let polled = match player.poller {
                Some(poller) => Some(poller.join().map_err(|_| failed("a poller has panicked"))??),
                None => None,
            };
            rows.push(show::Row {
                name: player.name,
                note: player.note,
                expected: self.published[player.source],
                tally: self.driver.tally(&player.endpoint).unwrap_or_default(),
                noted: player.receiver.noted(),
                books: player.receiver.books(Clone::clone),
                polled,
            });
        }
        let mischief = (self.mischief.twice.load(Ordering::SeqCst), self.mischief.late.load(Ordering::SeqCst));
        Ok(show::Ending::new(rows, self.orders, &self.ordered, mischief, self.clock.elapsed(), settled))
    }
}

fn failed(why: impl Display) -> Refusal {
    Refusal::new(why)
}
