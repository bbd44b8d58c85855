//! The random inputs of the tests: trees, settings and schedules.

use conductor_model::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};

/// One action of a schedule. A number selects among the existing tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    FanOut {
        ids: u32,
    },
    Aggregate {
        limit: u32,
    },
    Retry {
        limit: u32,
    },
    /// Reports the result of one task, and repeats the report if `twice` is set.
    Work {
        task: usize,
        twice: bool,
    },
    /// Starts one task and reports no result.
    Start {
        task: usize,
    },
    /// Claims some tasks for a new engine.
    Claim {
        limit: u32,
    },
    /// Settles one claim, and repeats the settlement if `twice` is set.
    Settle {
        task: usize,
        twice: bool,
    },
    /// Rescues claims of engines that are gone.
    Rescue {
        limit: u32,
    },
    Sweep {
        limit: u32,
    },
    /// Cancels a task, or the run.
    Cancel {
        task: Option<usize>,
    },
    /// Lets time pass, which may reach the deadline.
    Expire {
        ms: u64,
    },
}

fn worker_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => (1..6_u32).prop_map(|ids| Action::FanOut { ids }),
        2 => (1..3_u32).prop_map(|limit| Action::Aggregate { limit }),
        2 => (1..3_u32).prop_map(|limit| Action::Retry { limit }),
        6 => (0..99_usize, any::<bool>()).prop_map(|(task, twice)| Action::Work { task, twice }),
        1 => (0..99_usize).prop_map(|task| Action::Start { task }),
        3 => (1..5_u32).prop_map(|limit| Action::Claim { limit }),
        3 => (0..99_usize, any::<bool>()).prop_map(|(task, twice)| Action::Settle { task, twice }),
        1 => (1..3_u32).prop_map(|limit| Action::Rescue { limit }),
    ]
}

/// Schedules of workers only.
pub(crate) fn worker_schedule() -> impl Strategy<Value = Vec<Action>> {
    proptest::collection::vec(worker_action(), 0..80)
}

/// Schedules with cancels and a clock.
pub(crate) fn any_schedule() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        12 => worker_action(),
        2 => (1..3_u32).prop_map(|limit| Action::Sweep { limit }),
        1 => proptest::option::weighted(0.9, 0..99_usize).prop_map(|task| Action::Cancel { task }),
        1 => (0..2000_u64).prop_map(|ms| Action::Expire { ms }),
    ];
    proptest::collection::vec(action, 0..80)
}

/// The settings of a parent or a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParentSettings {
    pub(crate) policy: Policy,
    pub(crate) has_join: bool,
}

/// Policies that decide only after all children have settled.
pub(crate) fn waiting_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Fail),
        Just(Policy::Ignore),
        (0..4_u32).prop_map(Policy::Tolerate),
        (0..=100_u8).prop_map(|percent| Policy::tolerate_percent(percent).unwrap()),
    ]
}

pub(crate) fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![1 => waiting_policy(), 2 => Just(Policy::FailFast)]
}

/// Settings for the run, and for each of up to three root tasks.
pub(crate) fn parent_settings(
    policy: impl Strategy<Value = Policy>,
) -> impl Strategy<Value = Vec<ParentSettings>> {
    let settings = (policy, any::<bool>()).prop_map(|(policy, has_join)| ParentSettings { policy, has_join });
    proptest::collection::vec(settings, 4)
}

/// Inputs of root tasks: a leaf, or a fan-out of up to three levels.
pub(crate) fn tree() -> impl Strategy<Value = Value> {
    let leaf = Just(json!("work"));
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            (1..5_u32).prop_map(|count| json!({ "fanout": count })),
            proptest::collection::vec(inner, 1..5).prop_map(|items| json!({ "fanout": items })),
        ]
    })
}
