//! What many cases came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::damage::Kind;
use crate::judge::{Blind, Failure, Fault, Verdict};

/// Failures that are told in full.
const TOLD: usize = 20;

/// Cases by kind and by what came of them. Printed as a table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<Kind, Row>,
    failures: Vec<(u64, Kind, Failure)>,
    took: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    cases: u64,
    harmless: u64,
    found: u64,
    refused: u64,
    last_sync: u64,
    footers: u64,
    cut_off: u64,
    silent: u64,
    wrong: u64,
    other: u64,
    misnamed: u64,
}

impl Row {
    const fn add(&mut self, judged: &Result<Verdict, Failure>) {
        self.cases += 1;
        match judged {
            Ok(Verdict::Harmless) => self.harmless += 1,
            Ok(Verdict::Found { misnamed }) => {
                self.found += 1;
                self.misnamed += *misnamed as u64;
            }
            Ok(Verdict::Refused) => self.refused += 1,
            Ok(Verdict::Blind(Blind::LastSync)) => self.last_sync += 1,
            Ok(Verdict::Blind(Blind::Footers)) => self.footers += 1,
            Ok(Verdict::Blind(Blind::CutOff)) => self.cut_off += 1,
            Err(Failure { fault: Fault::Silent, .. }) => self.silent += 1,
            Err(Failure { fault: Fault::Wrong, .. }) => self.wrong += 1,
            Err(Failure { fault: Fault::Alarm | Fault::Stuck | Fault::Panic, .. }) => self.other += 1,
        }
    }

    const fn merge(&mut self, other: &Self) {
        self.cases += other.cases;
        self.harmless += other.harmless;
        self.found += other.found;
        self.refused += other.refused;
        self.last_sync += other.last_sync;
        self.footers += other.footers;
        self.cut_off += other.cut_off;
        self.silent += other.silent;
        self.wrong += other.wrong;
        self.other += other.other;
        self.misnamed += other.misnamed;
    }

    fn write(&self, name: &dyn fmt::Display, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, harmless, found, refused, last_sync, footers, cut_off, silent, wrong, other, .. } = self;
        writeln!(
            f,
            "{name:<30} {cases:>9} {harmless:>9} {found:>9} {refused:>8} {silent:>7} {wrong:>6} {other:>6} {last_sync:>10} {footers:>8} {cut_off:>8}"
        )
    }
}

impl Table {
    pub(crate) fn add(&mut self, number: u64, kind: Kind, judged: Result<Verdict, Failure>) {
        self.rows.entry(kind).or_default().add(&judged);
        if let Err(failure) = judged {
            self.failures.push((number, kind, failure));
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (kind, row) in &other.rows {
            self.rows.entry(*kind).or_default().merge(row);
        }
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|(number, ..)| *number);
    }

    pub(crate) const fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// The cases that are not as they should be, by their numbers.
    pub fn failures(&self) -> &[(u64, Kind, Failure)] {
        &self.failures
    }

    /// How many cases there are of a kind.
    pub fn cases(&self, kind: Kind) -> u64 {
        self.rows.get(&kind).map_or(0, |row| row.cases)
    }

    fn total(&self) -> Row {
        let mut total = Row::default();
        self.rows.values().for_each(|row| total.merge(row));
        total
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<30} {:>9} {:>9} {:>9} {:>8} {:>7} {:>6} {:>6} {:>10} {:>8} {:>8}",
            "damage",
            "cases",
            "harmless",
            "found",
            "refused",
            "silent",
            "wrong",
            "other",
            "blind:sync",
            "footers",
            "cut off"
        )?;
        for (kind, row) in &self.rows {
            row.write(kind, f)?;
        }
        let total = self.total();
        total.write(&"all", f)?;
        if total.misnamed > 0 {
            writeln!(f, "{} lost events were named by what damage had made of their ids", total.misnamed)?;
        }
        for (number, kind, failure) in self.failures.iter().take(TOLD) {
            writeln!(f, "case {number}, {kind}: {failure}")?;
        }
        let each = self.took.as_secs_f64() * 1e6 / total.cases.max(1) as f64;
        writeln!(f, "{:.1} s, {each:.0} us a case", self.took.as_secs_f64())?;
        let blind = total.last_sync + total.footers + total.cut_off;
        let bad = self.failures.len();
        write!(
            f,
            "{} cases: {} silent losses, {} wrong bytes, {bad} failures, {blind} in the blind spot",
            total.cases, total.silent, total.wrong
        )
    }
}
