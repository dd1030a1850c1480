//! What a run found out.

use std::fmt;

use crate::Verdict;

/// What came of all the cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Cases that passed.
    pub passed: usize,
    /// Those of them that diverge as the list of divergences says.
    pub divergences: usize,
    /// Cases that did not pass, in the order of the files.
    pub failures: Vec<Failure>,
}

/// A case that did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The file that it is in.
    pub file: String,
    /// Its id, or `#` and its place in the file where it has none.
    pub id: String,
    /// What must come of it.
    pub expected: String,
    /// What came of it.
    pub got: String,
}

impl Report {
    pub(crate) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Listed => {
                self.passed += 1;
                self.divergences += 1;
            }
            Verdict::Failed(failure) => self.failures.push(failure),
        }
    }
}

impl Failure {
    /// A file that holds no cases.
    pub(crate) fn of_file(file: &str, why: String) -> Self {
        Self { file: file.to_owned(), id: "-".to_owned(), expected: "a JSON array of cases".to_owned(), got: why }
    }
}

impl fmt::Display for Report {
    /// A line for each failure, and the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        writeln!(f, "{} passed, {} failed", self.passed, self.failures.len())
    }
}

impl fmt::Display for Failure {
    /// One line, whatever the file holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, id) = (line(&self.file), line(&self.id));
        write!(f, "{file} {id}: expected {}, got {}", line(&self.expected), line(&self.got))
    }
}

/// Characters of a value that a line shows.
const SHOWN: usize = 400;

/// A text without line ends, cut to what a line can show.
fn line(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("..");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_the_counts_come_last() {
        let (file, id) = ("a.json".to_owned(), "x-1\n".to_owned());
        let failure = Failure { file, id, expected: "true".to_owned(), got: "a\r\nb".repeat(1000) };
        let report = Report { passed: 7, divergences: 1, failures: vec![failure] };
        let text = report.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("a.json x-1 : expected true, got a  ba"), "{}", lines[0]);
        assert!(lines[0].len() < 2 * SHOWN);
        assert_eq!((lines[1], lines.len()), ("7 passed, 1 failed", 2));
    }
}
