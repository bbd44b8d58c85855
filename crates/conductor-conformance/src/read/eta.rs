//! Eta: how many tasks remain, and when the run settles at the present rate.

use super::monitor::MINUTE_MS;
use crate::Harness;
use conductor_model::{Eta, RunId, TaskDraft};
use conductor_store::{Report, Scope};
use serde_json::json;

fn eta(harness: &Harness<'_>, run: RunId) -> Eta {
    harness.store().eta(run, harness.now()).expect("query succeeds").expect("run exists")
}

#[track_caller]
fn assert_rate_unknown(harness: &Harness<'_>, run: RunId, remaining: u64) {
    assert_eq!(eta(harness, run), Eta { remaining, per_second: 0.0, at: None });
}

pub fn remaining_counts_unsettled_tasks(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(4);
    assert_rate_unknown(harness, run, 5);
    harness.start(children[0]);
    assert_rate_unknown(harness, run, 5);
    harness.fail_permanently(children[0]);
    harness.report_cancelled(children[1]);
    assert_rate_unknown(harness, run, 3);
}

pub fn remaining_counts_missing_children_and_pending_retries(harness: &Harness<'_>) {
    let (run, roots) =
        harness.submit_tasks([TaskDraft::new("P").input(json!({"fanout": 10})), TaskDraft::new("A")]);
    harness.fail(roots[1]);
    assert_rate_unknown(harness, run, 12);
    assert_eq!(harness.fan_out_step(Scope::All, 4).children, 4);
    assert_rate_unknown(harness, run, 12);
    harness.fan_out();
    assert_rate_unknown(harness, run, 12);
}

pub fn rate_follows_recent_settlements(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(6);
    for child in &children[..3] {
        harness.advance_ms(2000);
        harness.succeed(*child);
    }
    harness.advance_ms(4000);
    // Three tasks were settled in ten seconds, and four remain.
    let at = harness.now().plus_millis(13_334);
    assert_eq!(eta(harness, run), Eta { remaining: 4, per_second: 0.3, at: Some(at) });
    // A failure with a due retry settles nothing, also if its error looks like an event.
    harness.apply(Report::failed(children[3], r#""due_at": null"#));
    assert_eq!(eta(harness, run), Eta { remaining: 4, per_second: 0.3, at: Some(at) });
}

pub fn old_settlements_are_ignored(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(3);
    harness.advance_ms(1000);
    harness.succeed(children[0]);
    harness.advance_ms(61 * MINUTE_MS);
    assert_rate_unknown(harness, run, 3);
}

pub fn rate_is_known_after_long_pause(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(4);
    harness.advance_ms(61 * MINUTE_MS);
    for child in &children[..3] {
        harness.succeed(*child);
        harness.advance_ms(5000);
    }
    // The first of them ends the pause. Two tasks were settled in the fifteen seconds since then, and two remain.
    let at = harness.now().plus_millis(15_000);
    assert_eq!(eta(harness, run), Eta { remaining: 2, per_second: 2.0 / 15.0, at: Some(at) });
}

pub fn rate_ignores_other_runs(harness: &Harness<'_>) {
    let (run, _, _) = harness.family(3);
    let (_, other) = harness.submit_leaf();
    harness.advance_ms(1000);
    harness.succeed(other);
    assert_rate_unknown(harness, run, 4);
}

pub fn settled_run_has_nothing_remaining(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(2);
    harness.advance_ms(1000);
    for child in children {
        harness.succeed(child);
    }
    harness.run_all_steps();
    let eta = eta(harness, run);
    assert_eq!((eta.remaining, eta.at), (0, None));
}

pub fn unknown_run_has_no_eta(harness: &Harness<'_>) {
    let run = RunId::from_u128(1);
    assert_eq!(harness.store().eta(run, harness.now()).expect("query succeeds"), None);
}
