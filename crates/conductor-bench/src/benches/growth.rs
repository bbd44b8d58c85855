//! Cost of a task at ten times the size, divided by its cost at the size.

use super::operations::{fan_out, retry};
use super::{cancel, drain, whole_run};
use crate::measure::{Bench, Both, Side, Workload};
use crate::outcome::Outcome;
use crate::workspace::Workspace;
use conductor_store::Synchronous;

const WORKLOADS: [Workload; 5] =
    [fan_out::BY_COUNT, drain::NOOP, whole_run::ONE_PARENT, retry::RETRY, cancel::CANCEL];
const ROUNDS: usize = 3;

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(100_000);
    for workload in WORKLOADS {
        let mut both = Both::default();
        for _ in 0..bench.rounds(ROUNDS) {
            both.ours.0.push(growth(workload.ours, n)?);
            both.baseline.0.push(growth(workload.baseline, n)?);
        }
        let (ours, baseline) = (both.ours.median(), both.baseline.median());
        let name = format!("growth/{}", workload.name);
        bench.print(&both.record(
            &name,
            10 * n,
            Synchronous::Full,
            (ours, "x"),
            Some((baseline, baseline / ours)),
        ))?;
    }
    Ok(())
}

fn growth(side: Side, n: u32) -> Outcome<f64> {
    let small = side(&Workspace::new(Synchronous::Full)?, n)?.as_secs_f64();
    let large = side(&Workspace::new(Synchronous::Full)?, 10 * n)?.as_secs_f64();
    Ok(large / (10.0 * small))
}
