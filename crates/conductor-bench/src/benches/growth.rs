//! What a task costs at ten times the size, over what it costs at the size.

use super::{cancel, drain, fan_out, retry, whole};
use crate::Outcome;
use crate::measure::{Bench, Rounds, Workload};
use crate::place::Place;
use conductor_store::Synchronous;

const WORKLOADS: [Workload; 5] =
    [fan_out::BY_COUNT, drain::NOOP, whole::ONE_PARENT, retry::RETRY, cancel::CANCEL];
const ROUNDS: usize = 3;

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    let n = bench.size(100_000);
    for workload in WORKLOADS {
        let (mut ours, mut floor) = (Rounds(vec![]), Rounds(vec![]));
        for _ in 0..bench.rounds(ROUNDS) {
            ours.0.push(growth(workload.ours, n)?);
            floor.0.push(growth(workload.floor, n)?);
        }
        let ratio = floor.median() / ours.median();
        bench.tell(&crate::figure::Figure {
            bench: format!("growth/{}", workload.name),
            n: u64::from(10 * n),
            sync: "FULL".to_owned(),
            value: ours.median(),
            unit: "x".to_owned(),
            floor: Some(floor.median()),
            ratio: Some(ratio),
            rss_mb: None,
            bytes_per_task: None,
            spread: ours.spread(),
        })?;
    }
    Ok(())
}

fn growth(side: crate::measure::Side, n: u32) -> Outcome<f64> {
    let small = side(&Place::new(Synchronous::Full)?, n)?.as_secs_f64();
    let large = side(&Place::new(Synchronous::Full)?, 10 * n)?.as_secs_f64();
    Ok(large / (10.0 * small))
}
