//! Workers commute. The result of an attempt depends only on the path of its task and on its retries.
//!
//! With policies that wait for all children, with joins, and without cancels and revives, every order and repetition of steps
//! ends in the same states. In all other cases, every schedule settles, and each parent state follows from cancel cause, policy
//! and children.

mod schedule;
mod world;

use conductor_conformance::assert_replays;
use conductor_model::{Policy, RunDraft, State, TaskDraft};
use conductor_store::{
    Environment, Query, Report, ReportBatch, Scope, SqliteStore, Store, Submit, TaskFilter,
};
use conductor_workers::steps::run_steps_until_idle;
use proptest::prelude::*;
use schedule::{any_policy, any_schedule, parent_settings, tree, waiting_policy, worker_schedule};
use serde_json::json;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn interleaved_and_repeated_steps_end_in_same_states(
        trees in proptest::collection::vec(tree(), 1..4),
        settings in parent_settings(waiting_policy()),
        salt in any::<u64>(),
        first in worker_schedule(),
        second in worker_schedule(),
    ) {
        let reference = World::new(&trees, &settings, None, salt).finish();
        prop_assert!(reference.run.is_terminal(), "the run is settled");
        for schedule in [first, second] {
            let mut world = World::new(&trees, &settings, None, salt);
            for action in schedule {
                world.perform(action);
            }
            prop_assert_eq!(&world.finish(), &reference);
        }
    }

    /// Also with fail-fast policies, cancels and deadlines.
    #[test]
    fn every_schedule_settles_with_consistent_states(
        trees in proptest::collection::vec(tree(), 1..4),
        settings in parent_settings(any_policy()),
        deadline_ms in proptest::option::weighted(0.3, 1..6000_u64),
        salt in any::<u64>(),
        schedule in any_schedule(),
    ) {
        let mut world = World::new(&trees, &settings, deadline_ms, salt);
        for action in schedule {
            world.perform(action);
        }
        // `finish` checks all states.
        prop_assert!(world.finish().run.is_terminal(), "the run is settled");
    }
}

/// A failed child fails its parent, and the engine cancels the open tasks below it. One call of the loop does all of this.
#[test]
fn fail_fast_cancellation_completes_in_one_call() {
    let (store, env) = (SqliteStore::open_in_memory().unwrap(), Environment::system());
    let inner = TaskDraft::new("inner").fan_out([json!("a"), json!("b")]).policy(Policy::FailFast);
    let outer = TaskDraft::new("outer").input(json!({"fanout": [1, {"fanout": 3}, 2]}));
    let run = RunDraft::new().tasks([inner, outer]).policy(Policy::FailFast).validate().unwrap();
    let run = store.submit(&Submit::new(run, &env)).unwrap().run;
    run_steps_until_idle(&store, Scope::Run(run), &env).unwrap();
    let first = store.tasks(run, TaskFilter::default(), None, 1000).unwrap().items;
    let leaf = first.iter().find(|task| task.name.as_str() == "inner#1").unwrap().id;
    let _ = store.report(&ReportBatch::new([Report::failed_permanently(leaf, "no")], &env)).unwrap();
    let settled = run_steps_until_idle(&store, Scope::Run(run), &env).unwrap();
    assert_eq!(store.run(run).unwrap().unwrap().state, State::Failed);
    assert_eq!((settled.sweep.cancelled, settled.sweep.cancel_requested), (1 + 2 + 3, 2), "{settled:?}");
    assert_replays(&store);
}
