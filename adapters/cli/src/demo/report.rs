//! The end of the demonstration: tables, and whether the books agree.

use std::fmt::Write as _;
use std::time::Duration;

/// A table with aligned columns: the first to the left, the others to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(String::from).into()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The table as text, a line for each row.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                _ = if at == 0 { write!(line, "  {cell:<width$}") } else { write!(line, "  {cell:>width$}") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The value below which so many in a hundred of the sorted values lie; `-` without values.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> String {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or_else(|| "-".into(), |value| millis(*value))
}

fn millis(value: Duration) -> String {
    let millis = value.as_secs_f64() * 1000.0;
    if millis < 9.95 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

/// Whether what should be equal is, line by line.
#[derive(Default)]
pub(crate) struct Audit {
    lines: String,
    wrong: u64,
}

impl Audit {
    /// Notes that something is so, or is not.
    pub(crate) fn check(&mut self, holds: bool, what: &str) {
        self.wrong += u64::from(!holds);
        _ = writeln!(self.lines, "  {} {what}", if holds { "ok   " } else { "WRONG" });
    }

    /// What was noted.
    pub(crate) fn text(&self) -> &str {
        &self.lines
    }

    /// Whether everything is so.
    pub(crate) fn agrees(&self) -> bool {
        self.wrong == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), "50 ms");
        assert_eq!(percentile(&values, 99), "99 ms");
        assert_eq!(percentile(&values[..1], 99), "1.0 ms");
        assert_eq!(percentile(&[], 50), "-");
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["name", "n"]);
        table.row(["a".into(), "100".into()]);
        assert_eq!(table.text(), "  name    n\n  a     100\n");
    }

    #[test]
    fn one_wrong_line_is_enough() {
        let mut audit = Audit::default();
        audit.check(true, "this");
        assert!(audit.agrees());
        audit.check(false, "that");
        assert!(!audit.agrees());
    }
}
