//! Tolerates some failed children, and revives them after the cause is repaired.
//!
//! ```sh
//! cargo run -p origin-conductor --example tolerated_failures
//! ```

use origin_conductor::ReviveFilter;
use origin_conductor::prelude::*;
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
    // A join reads the failures as well as the outputs.
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

    // Three of thirty fail, and the policy tolerates ten percent.
    let run = engine.submit(RunDraft::new().task(parts(Policy::tolerate_percent(10)?)))?;
    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    let parent = engine.root_tasks(run)?[0].id;
    let report: String = engine.output(parent)?.ok_or("the parent has no output")?;
    assert_eq!(report, "27 of 30 are whole; 10 is broken, 20 is broken, 30 is broken");
    println!("tolerated: {report}");

    // With a stricter policy the parent fails, and its join does not run.
    let run = engine.submit(RunDraft::new().task(parts(Policy::Tolerate(2))))?;
    assert_eq!(engine.run_until_settled(run)?.state, State::Failed);
    println!("not tolerated: {}", engine.explain(run)?.ok_or("the run is missing")?);

    // After the repair only the three failed children run again.
    repaired.store(true, Ordering::Relaxed);
    let revived = engine.revive_all(run, ReviveFilter::Failed)?;
    assert_eq!(revived.tasks, 3);
    assert_eq!(engine.run_until_settled(run)?.state, State::Succeeded);
    println!("revived: {} tasks ran again, 27 kept their results", revived.tasks);
    Ok(())
}

#[cfg(test)]
#[test]
fn revived_children_run_again_alone() {
    main().unwrap();
}
