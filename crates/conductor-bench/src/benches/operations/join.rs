//! Rate at which a join reads the outputs of its siblings.

use crate::measure::{Bench, Both, Rounds};
use crate::outcome::Outcome;
use crate::workspace::{Workspace, attempt_all, fan_out, first_task, submit};
use crate::{baseline, memory};
use conductor_model::{Json, State, TaskDraft};
use conductor_store::{AttemptResult, Environment, Scope, Synchronous};
use conductor_workers::steps::aggregate;
use conductor_workers::{Children, Context, Engine, TaskError};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Instant;

const ROUNDS: usize = 5;

pub(in crate::benches) fn run(bench: &Bench) -> Outcome<()> {
    let (n, rounds) = (bench.size(1_000_000), bench.rounds(ROUNDS));
    let workspace = Workspace::new(Synchronous::Full)?;
    let store = workspace.store()?;
    let run = submit(&store, TaskDraft::new("leaf").join("sum").input(json!({ "fanout": n })))?;
    fan_out(&store)?;
    let (raw, env) = (workspace.raw()?, Environment::system());
    // Each child returns its index.
    attempt_all(&store, &env, "leaf", |task| {
        Ok(AttemptResult::Succeeded { output: Some(Json::of(&task.index)?) })
    })?;
    aggregate::run_once(&*store, Scope::All, &env)?;

    let times = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let (taken, raw) = (Arc::clone(&times), Mutex::new(raw));
    let sum = move |numbers: Children<u64>, _: Context| {
        let poisoned = |_| TaskError::fatal("poisoned");
        let (raw, mut taken) =
            (raw.lock().map_err(poisoned)?, taken.lock().map_err(|_| TaskError::fatal("poisoned"))?);
        let mut sum = 0;
        for _ in 0..rounds {
            let began = Instant::now();
            sum = numbers.outputs().sum::<Result<u64, TaskError>>()?;
            taken.0.push(began.elapsed().as_secs_f64());
            let began = Instant::now();
            let baseline =
                baseline::sum_of_outputs(&raw).map_err(|error| TaskError::fatal(error.to_string()))?;
            taken.1.push(began.elapsed().as_secs_f64());
            assert_eq!(sum, baseline);
        }
        Ok::<_, TaskError>(sum)
    };
    let engine = Engine::builder(Arc::clone(&store)).handler("sum", sum).build()?;
    memory::reset_peak();
    engine.start();
    let parent = loop {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let parent = first_task(&store, run)?;
        if parent.state.is_terminal() {
            break parent;
        }
    };
    assert_eq!(parent.state, State::Succeeded);
    let rss_mb = memory::peak_mb();
    let (ours, baseline) = std::mem::take(&mut *times.lock().map_err(|_| "poisoned")?);
    let both = Both { ours: Rounds(ours), baseline: Rounds(baseline), rss_mb, ..Both::default() };
    bench.print(&both.rate("join/outputs", n, Synchronous::Full, "outputs/s"))
}
