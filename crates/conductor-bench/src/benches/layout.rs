//! What the layout itself gives: insert rate, claim-and-settle rate, bytes per finished task.
//!
//! Both sides are raw SQL with the same pragmas and all events. The value is the floor of the other benches: blocks, sets and
//! short rows. The baseline here is a row for each task and each event, with the indexes that the steps need.

use crate::baseline::{self, Drain, Inputs, check, row_per_task};
use crate::measure::{Bench, Side};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, time};
use conductor_model::State;
use conductor_store::Synchronous;
use std::time::Duration;

/// The workloads: our tables, and a row for each task.
const SIDES: [(&str, Side, Side); 3] = [
    ("layout/insert", insert, insert_rows),
    ("layout/drain by 100", drain::<100>, drain_rows::<100>),
    ("layout/drain by 1000", drain::<1_000>, drain_rows::<1_000>),
];

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let (n, sync) = (bench.size(100_000), Synchronous::Full);
    for (name, ours, rows) in SIDES {
        let both = bench.both(5, sync, |workspace| ours(workspace, n), |workspace| rows(workspace, n))?;
        bench.print(&both.rate(name, n, sync, "tasks/s"))?;
        if name == SIDES[2].0 {
            bench.print(&both.bytes_record("layout/bytes", n, sync))?;
        }
    }
    Ok(())
}

fn insert(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_parent(n)?;
    time(|| baseline::fan_out(&mut raw, n, Inputs::None, baseline::INSERTS))
}

fn insert_rows(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = row_per_task::open(workspace, n)?;
    time(|| row_per_task::fan_out(&mut raw, n))
}

fn drain<const EACH: u32>(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = workspace.raw_with_children(n)?;
    let took = time(|| baseline::drain(&mut raw, Drain::by(EACH)))?;
    check::leaves(workspace, State::Succeeded, n)?;
    Ok(took)
}

fn drain_rows<const EACH: u32>(workspace: &Workspace, n: u32) -> Outcome<Duration> {
    let mut raw = row_per_task::open(workspace, n)?;
    row_per_task::fan_out(&mut raw, n)?;
    let took = time(|| row_per_task::drain(&mut raw, EACH))?;
    row_per_task::check_drained(&raw, n)?;
    Ok(took)
}
