//! What the demonstration prints.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use postrider_core::sender::Tally;

use super::network::{HELD_MS, LATE, TWICE};
use super::polled::Polled;
use super::receiver::Noted;
use super::report::{Audit, Table, percentile};
use super::world::{Books, ITEMS, initial_stock};
use super::{RECOVERY, slowness};
use crate::driver::Kind;

/// Says what is about to happen.
pub(crate) fn opening(out: &mut impl Write, driver: Kind, orders: u64) -> io::Result<()> {
    writeln!(
        out,
        "A shop takes {orders} orders and its inventory counts down; a payment service tells the shop who paid."
    )?;
    writeln!(
        out,
        "One process, real sockets on 127.0.0.1, the {driver} driver. The receivers have moods: analytics answers"
    )?;
    let slowness = slowness(orders);
    writeln!(
        out,
        "503 with Retry-After: 1 for the first {RECOVERY:?}, archive takes {slowness:?} for each, old-crm answers 410,"
    )?;
    writeln!(
        out,
        "partner gets a new key half way and forgets the old one. The network between is bad on purpose: one request"
    )?;
    writeln!(
        out,
        "in {TWICE} is sent twice, one in {LATE} is held back for up to {HELD_MS} ms so that others overtake it.\n"
    )?;
    out.flush()
}

/// A bar for each receiver, on a terminal.
pub(crate) struct Progress {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
    shown: Instant,
}

impl Progress {
    /// No bars yet. Where stderr is no terminal, there will be none to see.
    pub(crate) fn new() -> Self {
        Self { all: MultiProgress::new(), bars: Vec::new(), shown: Instant::now() }
    }

    /// Adds a bar.
    pub(crate) fn add(&mut self, name: &'static str, note: &'static str) {
        let style = ProgressStyle::with_template("  {prefix:10} [{bar:40}] {pos}/{len} {msg}");
        let bar = ProgressBar::new(1).with_style(style.expect("the template is well-formed"));
        let bar = self.all.add(bar.with_prefix(name));
        bar.set_message(note);
        self.bars.push(bar);
    }

    /// Shows how far each is, not more often than can be seen.
    pub(crate) fn show(&mut self, state: impl Iterator<Item = (u64, u64)>) {
        if self.shown.elapsed() < Duration::from_millis(50) {
            return;
        }
        self.shown = Instant::now();
        for (bar, (done, total)) in self.bars.iter().zip(state) {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        self.bars.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// What one receiver came to.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    /// Facts that its source published.
    pub(crate) expected: u64,
    pub(crate) tally: Tally,
    pub(crate) noted: Noted,
    pub(crate) books: Books,
    pub(crate) polled: Option<Polled>,
}

/// Everything that is printed at the end.
pub(crate) struct Ending {
    rows: Vec<Row>,
    mischief: (u64, u64),
    elapsed: Duration,
    /// Whether the books agree.
    pub(crate) audit: Audit,
}

impl Ending {
    /// Compares the books.
    pub(crate) fn new(
        rows: Vec<Row>,
        orders: u64,
        ordered: &BTreeMap<usize, u64>,
        mischief: (u64, u64),
        elapsed: Duration,
        settled: bool,
    ) -> Self {
        let mut audit = Audit::default();
        audit.check(settled, "every delivery has ended, and the network is quiet");
        for row in &rows {
            audit_books(&mut audit, &row.books, "webhooks", orders, ordered);
        }
        for row in rows.iter().filter(|row| row.name != "old-crm") {
            let (name, expected) = (row.name, row.expected);
            let once = row.noted.applied == expected && row.tally.delivered == expected && row.tally.failed() == 0;
            audit.check(once, &format!("{name} acted once on each of {expected} events, in order"));
        }
        for row in &rows {
            let (attempts, delivered) = (row.tally.attempts, row.tally.delivered);
            match row.name {
                "analytics" => {
                    let what = format!(
                        "analytics failed {} attempts, then recovered and got everything",
                        attempts.saturating_sub(delivered)
                    );
                    audit.check(attempts > delivered, &what);
                }
                // What was in flight at once may have been answered with 410 too.
                "old-crm" => {
                    let what = format!("old-crm answered 410 and was left alone after {attempts} attempts");
                    audit.check(delivered == 0 && (1..=8).contains(&attempts), &what);
                }
                _ => {}
            }
        }
        let (partner, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.name == "partner");
        let refused = |rows: &[&Row]| rows.iter().map(|row| row.noted.refused).sum::<u64>();
        let stale = refused(&partner);
        let what = format!("every signature fitted; {stale} came to partner under the old key alone, and came again");
        audit.check(refused(&others) == 0, &what);
        for row in &rows {
            let Some(polled) = &row.polled else { continue };
            audit_books(&mut audit, &polled.books, "polling", orders, ordered);
            if polled.delays.len() as u64 != row.expected {
                audit.check(false, &format!("{} saw {} of {} by polling", row.name, polled.delays.len(), row.expected));
            }
        }
        Self { rows, mischief, elapsed, audit }
    }
}

fn audit_books(audit: &mut Audit, books: &Books, how: &str, orders: u64, ordered: &BTreeMap<usize, u64>) {
    match books {
        Books::Stock { left, .. } => {
            for (item, (name, left)) in ITEMS.iter().zip(left).enumerate() {
                let (initial, ordered) = (initial_stock(orders), ordered.get(&item).copied().unwrap_or(0));
                let holds = i64::try_from(ordered).is_ok_and(|ordered| *left == initial - ordered);
                audit.check(holds, &format!("stock of {name} ({how}): {initial} - {ordered} ordered = {left}"));
            }
        }
        Books::Payments { paid } => {
            let once = paid.len() as u64 == orders
                && (1001..=1000 + orders).all(|order| paid.get(&order).is_some_and(|times| *times == 1));
            audit.check(once, &format!("every one of {orders} orders was paid exactly once ({how})"));
        }
        Books::Log { .. } => {}
    }
}

/// Prints the tables and what the audit says.
pub(crate) fn ending(out: &mut impl Write, ending: &Ending) -> io::Result<()> {
    let (twice, late) = ending.mischief;
    writeln!(out, "After {:.1?}; the network sent {twice} requests twice and held {late} back.\n", ending.elapsed)?;
    writeln!(out, "Told by webhooks:")?;
    write!(out, "{}", told(&ending.rows).text())?;
    writeln!(out, "\nThe same world, polled every second:")?;
    write!(out, "{}", polled(&ending.rows).text())?;
    writeln!(out, "\nThe books:")?;
    write!(out, "{}", ending.audit.text())?;
    let verdict = if ending.audit.agrees() { "All books agree." } else { "THE BOOKS DO NOT AGREE." };
    writeln!(out, "{verdict}")
}

fn told(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "receiver",
        "mood",
        "delivered",
        "attempts",
        "verified",
        "duplicates dropped",
        "late put right",
        "latency p50",
        "p99",
    ]);
    for row in rows {
        table.row([
            row.name.into(),
            row.note.into(),
            row.tally.delivered.to_string(),
            row.tally.attempts.to_string(),
            row.noted.verified.to_string(),
            row.noted.duplicates.to_string(),
            row.noted.late.to_string(),
            percentile(&row.noted.latencies, 50),
            percentile(&row.noted.latencies, 99),
        ]);
    }
    table
}

fn polled(rows: &[Row]) -> Table {
    let mut table = Table::new(["receiver", "seen", "requests", "brought nothing", "delay p50", "p99"]);
    for row in rows {
        let Some(polled) = &row.polled else { continue };
        let mut delays = polled.delays.clone();
        delays.sort_unstable();
        table.row([
            row.name.into(),
            delays.len().to_string(),
            polled.requests.to_string(),
            polled.empty.to_string(),
            percentile(&delays, 50),
            percentile(&delays, 99),
        ]);
    }
    table
}
