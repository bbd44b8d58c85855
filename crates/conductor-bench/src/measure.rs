//! How things are measured: ours and the floor in turn, several rounds, each on a file of its own.

use crate::report::Record;
use crate::workspace::{Workspace, bytes_used};
use crate::{Outcome, memory};
use conductor_store::Synchronous;
use std::io::Write as _;
use std::time::Duration;

/// One bench on its way.
pub(crate) struct Bench {
    pub(crate) quick: bool,
}

/// Something to be done, by ours and by the floor, each on an empty file: what it takes to prepare is not timed.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What is counted per second, or `s`.
    pub(crate) unit: &'static str,
    pub(crate) ours: Side,
    pub(crate) floor: Side,
}

/// How long it took.
pub(crate) type Side = fn(&Workspace, u32) -> Outcome<Duration>;

/// The rounds of one side, in seconds.
#[derive(Default)]
pub(crate) struct Rounds(pub(crate) Vec<f64>);

impl Rounds {
    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        self.at(50)
    }

    /// The one below which so many of a hundred are.
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

/// What both sides took.
#[derive(Default)]
pub(crate) struct Both {
    pub(crate) ours: Rounds,
    pub(crate) floor: Rounds,
    pub(crate) rss_mb: Option<f64>,
    /// What our file and the floor's grew by.
    pub(crate) bytes: [f64; 2],
}

impl Bench {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick }
    }

    /// The sizes to measure at: a small one when it is to be quick.
    pub(crate) fn sizes<const N: usize>(&self, sizes: [u32; N]) -> Vec<u32> {
        if self.quick { vec![sizes[0].min(1_000)] } else { sizes.to_vec() }
    }

    pub(crate) fn size(&self, size: u32) -> u32 {
        self.sizes([size])[0]
    }

    pub(crate) fn rounds(&self, rounds: usize) -> usize {
        if self.quick { 1 } else { rounds }
    }

    /// Measures a workload, and tells how many it does per second, or how long all of it takes.
    pub(crate) fn run(&self, workload: Workload, n: u32, sync: Synchronous, rounds: usize) -> Outcome<()> {
        let both = self.both(
            rounds,
            sync,
            |workspace| (workload.ours)(workspace, n),
            |workspace| (workload.floor)(workspace, n),
        )?;
        let record = match workload.unit {
            "s" => both.time(workload.name, n, sync, 50, Unit::Seconds),
            unit => both.rate(workload.name, n, sync, unit),
        };
        self.tell(&Record { bytes_per_task: Some(both.bytes[0] / f64::from(n)), ..record })
    }

    /// Measures both sides in turn, so that a drift of the machine meets both.
    pub(crate) fn both(
        &self,
        rounds: usize,
        sync: Synchronous,
        mut ours: impl FnMut(&Workspace) -> Outcome<Duration>,
        mut floor: impl FnMut(&Workspace) -> Outcome<Duration>,
    ) -> Outcome<Both> {
        let mut both = Both::default();
        let empty = Workspace::new(sync)?;
        empty.store()?;
        let empty = bytes_used(&empty)?;
        for round in 0..self.rounds(rounds) {
            for turn in 0..2 {
                let workspace = Workspace::new(sync)?;
                if (round + turn) % 2 == 0 {
                    memory::forget_peak();
                    both.ours.0.push(ours(&workspace)?.as_secs_f64());
                    both.note_peak();
                    both.bytes[0] = bytes_used(&workspace)? - empty;
                } else {
                    both.floor.0.push(floor(&workspace)?.as_secs_f64());
                    both.bytes[1] = bytes_used(&workspace)? - empty;
                }
            }
        }
        Ok(both)
    }

    /// Hands a record to whoever asked for the bench.
    #[expect(clippy::unused_self, reason = "only a bench has records to tell")]
    pub(crate) fn tell(&self, record: &Record) -> Outcome<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(record)?)?;
        Ok(out.flush()?)
    }
}

impl Both {
    /// Keeps the peak of memory since it was last forgotten, if it is the highest so far.
    pub(crate) fn note_peak(&mut self) {
        self.rss_mb = memory::peak_mb().map(|peak| peak.max(self.rss_mb.unwrap_or_default()));
    }

    /// How many per second.
    pub(crate) fn rate(&self, bench: &str, n: u32, sync: Synchronous, unit: &str) -> Record {
        let rate = |rounds: &Rounds| f64::from(n) / rounds.median();
        let (ours, floor) = (rate(&self.ours), rate(&self.floor));
        self.record(bench, n, sync, (ours, unit), Some((floor, ours / floor)))
    }

    /// How long it took, by the median or further up, in a unit of so many to the second.
    pub(crate) fn time(&self, bench: &str, n: u32, sync: Synchronous, percent: usize, unit: Unit) -> Record {
        let (per_second, unit) = unit.parts();
        let time = |rounds: &Rounds| rounds.at(percent) * per_second;
        let (ours, floor) = (time(&self.ours), time(&self.floor));
        self.record(bench, n, sync, (ours, unit), Some((floor, floor / ours)))
    }

    /// A record, and beside it the floor's value and the ratio to it.
    pub(crate) fn record(
        &self,
        bench: &str,
        n: u32,
        sync: Synchronous,
        (value, unit): (f64, &str),
        floor: Option<(f64, f64)>,
    ) -> Record {
        Record {
            bench: bench.to_owned(),
            n: u64::from(n),
            sync: format!("{sync:?}").to_uppercase(),
            value,
            unit: unit.to_owned(),
            floor: floor.map(|(floor, _)| floor),
            ratio: floor.map(|(_, ratio)| ratio),
            rss_mb: self.rss_mb,
            bytes_per_task: None,
            spread: self.ours.spread(),
        }
    }
}

/// In what a time is told.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
}

impl Unit {
    /// How many there are in a second, and its sign.
    fn parts(self) -> (f64, &'static str) {
        match self {
            Self::Seconds => (1.0, "s"),
            Self::Milliseconds => (1e3, "ms"),
            Self::Microseconds => (1e6, "µs"),
        }
    }
}
