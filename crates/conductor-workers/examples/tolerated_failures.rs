//! Some of the work may fail: how much, and what becomes of the rest.
//!
//! ```sh
//! cargo run -p conductor-workers --example tolerated_failures
//! ```

use conductor_model::{Policy, RunDraft, State, TaskDraft};
use conductor_store::{ReviveFilter, SqliteStore, TaskFilter};
use conductor_workers::{Children, Context, Engine, TaskError};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> Result<(), Box<dyn Error>> {
    let repaired = Arc::new(AtomicBool::new(false));
    let is_repaired = Arc::clone(&repaired);
    let check = move |number: u32, _: Context| {
        if number.is_multiple_of(10) && !is_repaired.load(Ordering::Relaxed) {
            return Err(TaskError::fatal(format!("{number} is broken")));
        }
        Ok(number)
    };
    // The failures are an input of the join, like the outputs.
    let report = |parts: Children<u32>, _: Context| {
        let broken = parts
            .failures()
            .map(|part| part.map(|part| part.error.map_or_else(String::new, Into::into)))
            .collect::<Result<Vec<String>, _>>()?;
        Ok::<_, TaskError>(format!(
            "{} of {} are whole; {}",
            parts.outputs().count(),
            parts.len(),
            broken.join(", ")
        ))
    };
    let engine = Engine::builder(SqliteStore::open_in_memory()?)
        .handler("check", check)
        .handler("report", report)
        .build()?;
    let parts = |policy| TaskDraft::new("check").fan_out(1..=30_u32).policy(policy).join("report");

    // Three of thirty are broken: a tenth is tolerated.
    let run = engine.submit(RunDraft::new().task(parts(Policy::tolerate_percent(10)?)))?;
    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    let output = engine.store().tasks(run, TaskFilter::default(), None, 1)?.items.remove(0).output;
    let report: String = output.ok_or("an output")?.to()?;
    assert_eq!(report, "27 of 30 are whole; 10 is broken, 20 is broken, 30 is broken");
    println!("tolerated: {report}");

    // With a stricter policy the parent fails, and its join does not run.
    let run = engine.submit(RunDraft::new().task(parts(Policy::Tolerate(2))))?;
    assert_eq!(engine.run_until_settled(run)?.state, State::Failed);
    println!("not tolerated: {}", engine.explain(run)?.ok_or("a run")?);

    // Once the cause is mended, the three run again, and nothing else does.
    repaired.store(true, Ordering::Relaxed);
    let revived = engine.revive_all(run, ReviveFilter::Failed)?;
    assert_eq!(revived.tasks, 3);
    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    println!("revived: {} tasks ran again, 27 kept their results", revived.tasks);
    Ok(())
}

#[cfg(test)]
#[test]
fn a_tenth_may_fail() {
    main().unwrap();
}
