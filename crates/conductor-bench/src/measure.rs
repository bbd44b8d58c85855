//! The method: engine and baseline in turn, several rounds, each on a new file.

use crate::memory;
use crate::outcome::Outcome;
use crate::report::Record;
use crate::workspace::{Workspace, bytes_used};
use conductor_store::Synchronous;
use std::io::Write as _;
use std::time::Duration;

/// The settings of a bench.
pub(crate) struct Bench {
    pub(crate) quick: bool,
}

/// A workload for engine and baseline, each on an empty file. Its preparation is not timed.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The thing that is counted per second, or `s` for a total time.
    pub(crate) unit: &'static str,
    pub(crate) ours: Side,
    pub(crate) baseline: Side,
}

/// Runs one side and returns its time.
pub(crate) type Side = fn(&Workspace, u32) -> Outcome<Duration>;

/// The times of the rounds of one side, in seconds.
#[derive(Default)]
pub(crate) struct Rounds(pub(crate) Vec<f64>);

impl Rounds {
    /// Returns the median.
    pub(crate) fn median(&self) -> f64 {
        self.at(50)
    }

    /// Returns a percentile.
    pub(crate) fn at(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
            .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn spread(&self) -> f64 {
        let (least, most) = (self.at(0), self.at(100));
        if least > 0.0 { most / least } else { 1.0 }
    }
}

/// The results of both sides.
#[derive(Default)]
pub(crate) struct Both {
    pub(crate) ours: Rounds,
    pub(crate) baseline: Rounds,
    pub(crate) rss_mb: Option<f64>,
    /// The growth of the file on both sides, in bytes.
    pub(crate) bytes: [f64; 2],
}

impl Bench {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick }
    }

    /// Returns the sizes to measure; only a small one with `--quick`.
    pub(crate) fn sizes<const N: usize>(&self, sizes: [u32; N]) -> Vec<u32> {
        if self.quick { vec![sizes[0].min(1_000)] } else { sizes.to_vec() }
    }

    pub(crate) fn size(&self, size: u32) -> u32 {
        self.sizes([size])[0]
    }

    pub(crate) fn rounds(&self, rounds: usize) -> usize {
        if self.quick { 1 } else { rounds }
    }

    /// Measures a workload and prints its rate, or its total time.
    pub(crate) fn run(&self, workload: Workload, n: u32, sync: Synchronous, rounds: usize) -> Outcome<()> {
        let both = self.both(
            rounds,
            sync,
            |workspace| (workload.ours)(workspace, n),
            |workspace| (workload.baseline)(workspace, n),
        )?;
        let record = match workload.unit {
            "s" => both.time(workload.name, n, sync, 50, Unit::Seconds),
            unit => both.rate(workload.name, n, sync, unit),
        };
        self.print(&Record { bytes_per_task: Some(both.bytes[0] / f64::from(n)), ..record })
    }

    /// Measures both sides in turn, so that a change of the machine's speed affects both.
    pub(crate) fn both(
        &self,
        rounds: usize,
        sync: Synchronous,
        mut ours: impl FnMut(&Workspace) -> Outcome<Duration>,
        mut baseline: impl FnMut(&Workspace) -> Outcome<Duration>,
    ) -> Outcome<Both> {
        let mut both = Both::default();
        let empty = Workspace::new(sync)?;
        empty.store()?;
        let empty = bytes_used(&empty)?;
        for round in 0..self.rounds(rounds) {
            for turn in 0..2 {
                let workspace = Workspace::new(sync)?;
                if (round + turn) % 2 == 0 {
                    memory::reset_peak();
                    both.ours.0.push(ours(&workspace)?.as_secs_f64());
                    both.update_peak();
                    both.bytes[0] = bytes_used(&workspace)? - empty;
                } else {
                    both.baseline.0.push(baseline(&workspace)?.as_secs_f64());
                    both.bytes[1] = bytes_used(&workspace)? - empty;
                }
            }
        }
        Ok(both)
    }

    /// Prints a record for the parent process.
    #[expect(clippy::unused_self, reason = "only a bench has records to tell")]
    pub(crate) fn print(&self, record: &Record) -> Outcome<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(record)?)?;
        Ok(out.flush()?)
    }
}

impl Both {
    /// Updates the peak memory.
    pub(crate) fn update_peak(&mut self) {
        self.rss_mb = memory::peak_mb().map(|peak| peak.max(self.rss_mb.unwrap_or_default()));
    }

    /// Returns a record of rates.
    pub(crate) fn rate(&self, bench: &str, n: u32, sync: Synchronous, unit: &str) -> Record {
        let rate = |rounds: &Rounds| f64::from(n) / rounds.median();
        let (ours, baseline) = (rate(&self.ours), rate(&self.baseline));
        self.record(bench, n, sync, (ours, unit), Some((baseline, ours / baseline)))
    }

    /// Returns a record of times, at a percentile.
    pub(crate) fn time(&self, bench: &str, n: u32, sync: Synchronous, percent: usize, unit: Unit) -> Record {
        let (per_second, unit) = unit.parts();
        let time = |rounds: &Rounds| rounds.at(percent) * per_second;
        let (ours, baseline) = (time(&self.ours), time(&self.baseline));
        self.record(bench, n, sync, (ours, unit), Some((baseline, baseline / ours)))
    }

    /// Returns a record of the bytes by which the files have grown for each task.
    pub(crate) fn bytes_record(&self, bench: &str, n: u32, sync: Synchronous) -> Record {
        let [ours, baseline] = self.bytes.map(|bytes| bytes / f64::from(n));
        self.record(bench, n, sync, (ours, "bytes/task"), Some((baseline, baseline / ours)))
    }

    /// Returns a record with the value and ratio of the baseline.
    pub(crate) fn record(
        &self,
        bench: &str,
        n: u32,
        sync: Synchronous,
        (value, unit): (f64, &str),
        baseline: Option<(f64, f64)>,
    ) -> Record {
        Record {
            bench: bench.to_owned(),
            n: u64::from(n),
            sync: format!("{sync:?}").to_uppercase(),
            value,
            unit: unit.to_owned(),
            baseline: baseline.map(|(baseline, _)| baseline),
            ratio: baseline.map(|(_, ratio)| ratio),
            rss_mb: self.rss_mb,
            bytes_per_task: None,
            spread: self.ours.spread(),
        }
    }
}

/// The unit of a time.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
}

impl Unit {
    /// Returns how many of the unit are a second, and its symbol.
    fn parts(self) -> (f64, &'static str) {
        match self {
            Self::Seconds => (1.0, "s"),
            Self::Milliseconds => (1e3, "ms"),
            Self::Microseconds => (1e6, "µs"),
        }
    }
}
