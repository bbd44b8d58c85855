//! The operations that `cargo xtask instructions` counts under callgrind: one fan-out, one claim and one settlement.

use crate::outcome::Outcome;
use crate::workspace::{Workspace, fanned_out, submit};
use conductor_model::TaskDraft;
use conductor_store::{
    AttemptResult, Claim, ClaimedTask, EngineKey, Environment, FanOut, KindQuota, RegisterEngine, Scope,
    Settle, SqliteStore, Store, Synchronous,
};
use serde_json::json;

/// The number of children of the fan-out.
const CHILDREN: u32 = 4_000;
/// The number of tasks of the claim and of the settlement.
const TASKS: u32 = 100;

/// Prepares a file, and runs the operation inside [`counted`].
pub(crate) fn run(name: &str) -> Outcome<()> {
    let workspace = Workspace::new(Synchronous::Full)?;
    let (store, env) = (workspace.store()?, Environment::system());
    match name {
        "fan_out" => {
            let fan_out = |store: &SqliteStore| store.fan_out(&FanOut::new(Scope::All, CHILDREN, &env));
            // The first fan-out compiles the statements.
            submit(&store, TaskDraft::new("noop").input(json!({ "fanout": 2 * CHILDREN })))?;
            assert_eq!(fan_out(&store)?.children, CHILDREN);
            let done = counted(|| fan_out(&store))?;
            assert_eq!(done.children, CHILDREN);
        }
        "claim" | "settle" => {
            fanned_out(&store, 10 * TASKS)?;
            let registration = store.register_engine(&RegisterEngine::new(&env))?;
            settle(&store, &env, &claim(&store, &env, registration.key())?)?;
            if name == "claim" {
                assert_eq!(counted(|| claim(&store, &env, registration.key()))?.len(), TASKS as usize);
            } else {
                let tasks = claim(&store, &env, registration.key())?;
                counted(|| settle(&store, &env, &tasks))?;
            }
        }
        other => return Err(format!("`{other}` is not counted").into()),
    }
    Ok(())
}

/// Callgrind counts inside this function; `cargo xtask instructions` selects it by its name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

fn claim(store: &SqliteStore, env: &Environment, engine_key: EngineKey) -> Outcome<Vec<ClaimedTask>> {
    let want = KindQuota::new("noop".parse()?, TASKS);
    Ok(store.claim(&Claim::new(engine_key, vec![want], 30_000, env))?.tasks())
}

fn settle(store: &SqliteStore, env: &Environment, tasks: &[ClaimedTask]) -> Outcome<()> {
    let results = tasks.iter().map(|task| (task.fence, AttemptResult::Succeeded { output: None })).collect();
    let settled = store.settle(&Settle::new(results, env))?;
    assert_eq!(settled.results.len(), tasks.len());
    Ok(())
}
