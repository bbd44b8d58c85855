//! The result of the word count as a table: one row for each extension, most words first.

use super::count::{Count, RETRIES};
use crate::{
    failure::{Failure, check},
    fixture::Fixture,
    output::{counted, grouped},
    queries,
};
use origin_conductor::{State, Task};
use std::{collections::BTreeMap, path::Path};

/// The number of extensions with a row of their own.
const ROWS: usize = 12;
/// The number of failures that are shown.
const FAILURES: usize = 5;

/// The counts of the files with one extension, or of all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    files: u64,
    lines: u64,
    words: u64,
}

impl Row {
    fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            lines: self.lines + other.lines,
            words: self.words + other.words,
        }
    }
}

/// The result of the word count.
#[derive(Debug, Default)]
pub(super) struct Totals {
    rows: BTreeMap<String, Row>,
    failures: u64,
    failed_attempts: u64,
    /// The first failures, as text.
    failed: Vec<String>,
}

impl Totals {
    /// Adds the result of one file.
    pub(super) fn add(&mut self, child: &Task) -> Result<(), Failure> {
        let path: String = queries::input(child)?;
        self.failed_attempts += u64::from(child.retry_count);
        match (child.state, &child.output) {
            (State::Succeeded, Some(output)) => {
                let Count { lines, words } = output.to()?;
                let row = self.rows.entry(extension(&path)).or_default();
                *row = row.plus(Row { files: 1, lines, words });
            }
            (State::Failed, _) => self.add_failure(&path, child)?,
            (state, _) => return Err(Failure::new(format!("{path} is {state} at the end"))),
        }
        Ok(())
    }

    fn add_failure(&mut self, path: &str, child: &Task) -> Result<(), Failure> {
        check("the number of retries of a failed file", child.retry_count, RETRIES)?;
        self.failures += 1;
        self.failed_attempts += 1;
        if self.failed.len() < FAILURES {
            let error = child.last_error.as_ref().map_or("", |error| error.as_str());
            let attempts = counted(1 + child.retry_count, "attempt", "attempts");
            self.failed.push(format!("FAILED after {attempts}: {path}: {error}"));
        }
        Ok(())
    }

    /// Returns the number of counted files.
    pub(super) fn files(&self) -> u64 {
        self.sum().files
    }

    /// Returns the number of files that could not be counted.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// Returns the number of failed attempts of all files: one for each retry, and one for each failed file.
    pub(super) fn failed_attempts(&self) -> u64 {
        self.failed_attempts
    }

    fn sum(&self) -> Row {
        self.rows.values().copied().fold(Row::default(), Row::plus)
    }

    /// Prints the table and the failures.
    pub(super) fn show(&self, fixture: &Fixture) {
        fixture.gap();
        self.table().into_iter().for_each(|line| fixture.say(line));
        if self.failures > 0 {
            fixture.gap();
        }
        self.failed.iter().for_each(|line| fixture.say(fixture.output.verdict(false, line)));
        let others = self.failures.saturating_sub(FAILURES as u64);
        if others > 0 {
            fixture.say(format_args!("… {} more FAILED", grouped(others)));
        }
    }

    fn table(&self) -> Vec<String> {
        let mut rows: Vec<(String, Row)> = self.rows.iter().map(|(name, row)| (name.clone(), *row)).collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.words));
        let others = rows.split_off(rows.len().min(ROWS));
        if !others.is_empty() {
            let name = counted(others.len() as u64, "other", "others");
            rows.push((name, others.into_iter().map(|(_, row)| row).fold(Row::default(), Row::plus)));
        }
        rows.push(("all".to_owned(), self.sum()));
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(9);
        let mut lines =
            vec![format!("{:width$}  {:>9}  {:>11}  {:>11}", "extension", "files", "lines", "words")];
        lines.extend(rows.into_iter().map(|(name, Row { files, lines, words })| {
            let (files, lines, words) = (grouped(files), grouped(lines), grouped(words));
            format!("{name:width$}  {files:>9}  {lines:>11}  {words:>11}")
        }));
        lines.push(format!("{:width$}  {:>9}", "failed", grouped(self.failures)));
        lines
    }
}

fn extension(path: &str) -> String {
    let extension = Path::new(path).extension();
    extension.map_or_else(|| "(none)".to_owned(), |extension| extension.to_string_lossy().to_lowercase())
}
