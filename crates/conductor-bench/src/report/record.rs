//! A record: one line of JSON.

use crate::Outcome;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What one bench measured at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The bench, and what of it.
    pub(crate) bench: String,
    /// How many tasks, or what else is counted.
    pub(crate) n: u64,
    /// The database's durability: `FULL` or `NORMAL`.
    pub(crate) sync: String,
    /// The median of the rounds, or what of them the name says.
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// The floor's median, in the same unit.
    pub(crate) floor: Option<f64>,
    /// How near it comes to the floor: 1 is as good, more is better.
    pub(crate) ratio: Option<f64>,
    /// The most memory that this process held meanwhile.
    pub(crate) rss_mb: Option<f64>,
    /// What the file grew by for each task, from an empty one of ours, after a checkpoint.
    pub(crate) bytes_per_task: Option<f64>,
    /// The greatest round over the least.
    #[serde(default)]
    pub(crate) spread: f64,
}

impl Record {
    /// Whether it is the same thing that was measured.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        (&self.bench, self.n, &self.sync, &self.unit) == (&other.bench, other.n, &other.sync, &other.unit)
    }

    /// Whether more is better: a speed, not a time.
    pub(crate) fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }
}

/// The records in a file.
pub(crate) fn read(path: &Path) -> Outcome<Vec<Record>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}.", path.display()))?;
    let record = |(nth, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| format!("{}, line {}: {error}.", path.display(), nth + 1).into())
    };
    let records: Vec<Record> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(record)
        .collect::<Outcome<_>>()?;
    if records.is_empty() {
        return Err(format!("{} holds no records.", path.display()).into());
    }
    Ok(records)
}
