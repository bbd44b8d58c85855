//! What an idle step costs with much history in the file, beside an empty file.
//! `cargo bench -p conductor-store --bench history [-- TASKS]`

mod common;

use common::{Outcome, fan_out_all, median, raw, submit_parent, time};
use conductor_store::{FanOut, Scope, Source, SqliteStore, Step, Store};
use std::time::Duration;

const STEPS: u32 = 2_000;
const ROUNDS: usize = 5;

fn main() -> Outcome<()> {
    let tasks = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let source = Source::system();
    let folder = tempfile::tempdir()?;
    let empty = SqliteStore::open(folder.path().join("empty.db"))?;
    let path = folder.path().join("full.db");
    let full = SqliteStore::open(&path)?;
    submit_parent(&full, &source, tasks)?;
    fan_out_all(&full, &source)?;
    // All children settled at once; the steps do the rest.
    raw(&path)?.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE conductor_tasks SET state = 2, attempt = 1 WHERE sealed IS NULL;
         INSERT INTO conductor_events (run, task, name, at)
             SELECT run, key, name.column1, updated_at FROM conductor_tasks, (VALUES (9), (10)) name
             WHERE sealed IS NULL;
         UPDATE conductor_tasks SET open_children = 0 WHERE sealed = 1;
         UPDATE conductor_runs SET succeeded = pending, pending = 0;
         COMMIT;",
    )?;
    while full.aggregate(&Step { scope: Scope::All, now: source.now(), limit: 1000 })?.more {}

    println!(
        "idle steps, {STEPS} each, median of {ROUNDS} rounds, with {tasks} settled tasks and in an empty file"
    );
    let step = Step { scope: Scope::All, now: source.now(), limit: 1000 };
    let fan_out = FanOut::new(Scope::All, 1000, &source);
    report("fan_out", &full, &empty, |store| Ok(store.fan_out(&fan_out).map(|_| ())?))?;
    report("aggregate", &full, &empty, |store| Ok(store.aggregate(&step).map(|_| ())?))?;
    report("retry", &full, &empty, |store| Ok(store.retry(&step).map(|_| ())?))?;
    report("promote", &full, &empty, |store| Ok(store.promote(&step).map(|_| ())?))
}

fn report(
    name: &str,
    full: &SqliteStore,
    empty: &SqliteStore,
    step: impl Fn(&SqliteStore) -> Outcome<()>,
) -> Outcome<()> {
    let (mut fulls, mut empties) = (Vec::new(), Vec::new());
    let many = |store| time(|| (0..STEPS).try_for_each(|_| step(store)));
    for _ in 0..ROUNDS {
        fulls.push(many(full)?);
        empties.push(many(empty)?);
    }
    let per_step = |times: Vec<Duration>| median(times).0.as_secs_f64() * 1e6 / f64::from(STEPS);
    let (full, empty) = (per_step(fulls), per_step(empties));
    println!("  {name:<10} {full:>7.2} µs  {empty:>7.2} µs  ratio {:.2}", full / empty);
    Ok(())
}
