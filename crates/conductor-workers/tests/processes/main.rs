//! Engines in processes of their own that are killed, stopped for a while, or end themselves. Each success is recorded once, no
//! claim is left behind, and the next engine continues immediately.
//!
//! This test has a `main` of its own, because the same program runs as the child processes. It takes some seconds. With
//! `CONDUCTOR_LONG=1` in the environment it takes about a minute.

#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/mod.rs"]
mod support;

mod child;
mod database;
mod kills;
mod revives;
mod submissions;
mod subscriptions;

use harness::{Fallible, tests};
use kills::{
    aborting_task_fails_alone, engine_stopped_past_lease_repeats_no_success,
    killed_engines_lose_and_repeat_nothing, work_of_killed_process_resumes_immediately,
};
use revives::joins_cancels_and_revives_survive_kills;
use std::process::ExitCode;
use submissions::thousand_submissions_with_one_key_create_one_run;
use subscriptions::subscription_sees_all_events_of_killed_writers;

fn main() -> Fallible<ExitCode> {
    if let Some(exit_code) = child::run_if_child()? {
        return Ok(exit_code);
    }
    Ok(harness::run(&tests![
        killed_engines_lose_and_repeat_nothing,
        engine_stopped_past_lease_repeats_no_success,
        aborting_task_fails_alone,
        work_of_killed_process_resumes_immediately,
        joins_cancels_and_revives_survive_kills,
        thousand_submissions_with_one_key_create_one_run,
        subscription_sees_all_events_of_killed_writers,
    ]))
}

/// Returns whether the environment asks for the long form of the tests.
fn is_long() -> bool {
    std::env::var_os("CONDUCTOR_LONG").is_some_and(|value| value != "0")
}
