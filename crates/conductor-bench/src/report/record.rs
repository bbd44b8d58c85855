//! The record of one measurement: one line of JSON.

use crate::outcome::Outcome;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The result of one bench at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The bench and the variant: `drain/10 KB`.
    pub(crate) bench: String,
    /// The number of tasks, or of the things that are counted.
    pub(crate) n: u64,
    /// The durability of the database: `FULL` or `NORMAL`.
    pub(crate) sync: String,
    /// The median of the rounds, unless the name says otherwise.
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// The median of the baseline, in the same unit.
    pub(crate) baseline: Option<f64>,
    /// The ratio to the baseline: 1 is equal, more is better.
    pub(crate) ratio: Option<f64>,
    /// The peak memory of this process, in MB.
    pub(crate) rss_mb: Option<f64>,
    /// The growth of the file for each task, after a checkpoint, in bytes.
    pub(crate) bytes_per_task: Option<f64>,
    /// The slowest round divided by the fastest.
    #[serde(default)]
    pub(crate) spread: f64,
}

impl Record {
    /// Returns whether both records measure the same thing.
    pub(crate) fn is_same_measurement(&self, other: &Self) -> bool {
        (&self.bench, self.n, &self.sync, &self.unit) == (&other.bench, other.n, &other.sync, &other.unit)
    }

    /// Returns whether a larger value is better: a rate and not a time.
    pub(crate) fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }
}

/// Reads the records of a file.
pub(crate) fn read(path: &Path) -> Outcome<Vec<Record>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}.", path.display()))?;
    let record = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| format!("{}, line {}: {error}.", path.display(), i + 1).into())
    };
    let records: Vec<Record> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(record)
        .collect::<Outcome<_>>()?;
    if records.is_empty() {
        return Err(format!("{} contains no records.", path.display()).into());
    }
    Ok(records)
}
