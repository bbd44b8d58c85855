//! Decisions on parents and runs, the indices of missing children, and the table of policies.

use conductor_model::{
    CancelCause, ChildCounts, Decision, JoinStatus, MAX_FANOUT, NodeStatus, NodeType, POLICY_COLUMNS,
    POLICY_ROWS, ParentStatus, Policy, State, StateCounts, policy_table,
};
use proptest::prelude::*;

fn leaf_status(state: State, retry_scheduled: bool) -> NodeStatus {
    NodeStatus {
        node_type: NodeType::Leaf,
        state,
        retry_scheduled: state == State::Failed && retry_scheduled,
    }
}

fn any_status() -> impl Strategy<Value = NodeStatus> {
    (proptest::sample::select(&State::ALL[..]), any::<bool>())
        .prop_map(|(state, retry_scheduled)| leaf_status(state, retry_scheduled))
}

/// A change of the children: one is created, or the status of one changes.
#[derive(Clone, Debug)]
enum Step {
    Create(NodeStatus),
    Change(prop::sample::Index, NodeStatus),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        any_status().prop_map(Step::Create),
        (any::<prop::sample::Index>(), any_status()).prop_map(|(index, to)| Step::Change(index, to)),
    ];
    prop::collection::vec(step, 0..80)
}

/// Counts these children from scratch.
fn recount(total: Option<u32>, children: &[NodeStatus]) -> ChildCounts {
    let count = |predicate: &dyn Fn(&NodeStatus) -> bool| {
        u32::try_from(children.iter().filter(|child| predicate(child)).count()).unwrap()
    };
    let settled_as = |state| move |child: &NodeStatus| child.state == state && !child.retry_scheduled;
    let open = |child: &NodeStatus| {
        matches!(child.state, State::Pending | State::Running)
            || (child.state == State::Failed && child.retry_scheduled)
    };
    ChildCounts {
        total,
        created: count(&|_| true),
        open: count(&open),
        failed: count(&settled_as(State::Failed)),
        cancelled: count(&settled_as(State::Cancelled)),
    }
}

proptest! {
    #[test]
    fn incremental_counts_equal_recount(total in any::<Option<u32>>(), steps in steps()) {
        let mut counts = total.map_or_else(ChildCounts::open, ChildCounts::sealed);
        let mut state_counts = StateCounts::default();
        let mut children: Vec<NodeStatus> = Vec::new();
        for step in steps {
            match step {
                Step::Create(child) => {
                    counts.apply(None, child);
                    state_counts.apply(None, child.state);
                    children.push(child);
                }
                Step::Change(index, to) if !children.is_empty() => {
                    let child = index.get_mut(&mut children);
                    counts.apply(Some(*child), to);
                    state_counts.apply(Some(child.state), to.state);
                    *child = to;
                }
                Step::Change(..) => {}
            }
            prop_assert_eq!(counts, recount(total, &children));
            for state in State::ALL {
                let counted = children.iter().filter(|child| child.state == state).count();
                prop_assert_eq!(state_counts.of(state), counted as u64);
            }
            prop_assert_eq!(state_counts.total(), children.len() as u64);
            let succeeded = children.iter().filter(|child| child.state == State::Succeeded).count();
            prop_assert_eq!(counts.succeeded() as usize, succeeded);
        }
    }

    #[test]
    fn incomplete_or_open_parent_waits(
        children in prop::collection::vec(any_status(), 0..12),
        total in prop::option::of(0_u32..12),
    ) {
        let complete = total.is_some_and(|total| total as usize == children.len());
        let none_open = children.iter().all(|child| child.is_settled());
        let decision = ParentStatus::of(recount(total, &children)).decide();
        prop_assert_eq!(decision == Decision::Wait, !(complete && none_open));
    }

    #[test]
    fn complete_parent_takes_worst_child_state(
        states in prop::collection::vec(
            proptest::sample::select(&[State::Succeeded, State::Failed, State::Cancelled][..]), 0..8),
    ) {
        let children: Vec<NodeStatus> = states.iter().map(|state| leaf_status(*state, false)).collect();
        let expected = [State::Failed, State::Cancelled]
            .into_iter()
            .find(|state| states.contains(state))
            .unwrap_or(State::Succeeded);
        let total = u32::try_from(children.len()).unwrap();
        prop_assert_eq!(ParentStatus::of(recount(Some(total), &children)).decide(), Decision::Settle(expected));
    }

    #[test]
    fn next_indices_are_consecutive_and_within_limit(
        (total, children) in (0..=MAX_FANOUT).prop_flat_map(|total| (Just(total), 0..=total)),
        limit in prop_oneof![0_u32..5, any::<u32>()],
    ) {
        let counts = ChildCounts { created: children, ..ChildCounts::sealed(total) };
        match counts.next_indices(limit) {
            None => prop_assert!(limit == 0 || children == total),
            Some(range) => {
                prop_assert_eq!(*range.start(), children + 1);
                prop_assert!(*range.end() <= total);
                let count = range.end() - range.start() + 1;
                prop_assert!(count >= 1 && count <= limit);
                prop_assert!(count == limit || *range.end() == total);
            }
        }
    }

    #[test]
    fn bounded_steps_create_each_child_once(total in 0_u32..300, limit in 1_u32..50) {
        let mut counts = ChildCounts::sealed(total);
        let mut created = Vec::new();
        while let Some(range) = counts.next_indices(limit) {
            prop_assert!(created.len() < total as usize);
            for index in range {
                counts.apply(None, leaf_status(State::Pending, false));
                created.push(index);
            }
        }
        prop_assert_eq!(created, (1..=total).collect::<Vec<_>>());
        prop_assert_eq!(counts.created, total);
    }
}

#[test]
fn open_fan_out_has_no_next_indices() {
    for children in [0, 1, u32::MAX] {
        assert_eq!(ChildCounts { created: children, ..ChildCounts::open() }.next_indices(u32::MAX), None);
    }
    assert!(!ChildCounts::open().is_sealed());
    assert!(ChildCounts::sealed(0).is_sealed());
}

#[test]
fn next_indices_of_largest_counts_do_not_overflow() {
    let counts = ChildCounts { created: u32::MAX - 1, ..ChildCounts::sealed(u32::MAX) };
    assert_eq!(counts.next_indices(u32::MAX), Some(u32::MAX..=u32::MAX));
    assert_eq!(ChildCounts { created: u32::MAX, ..counts }.next_indices(u32::MAX), None);
}

#[test]
fn fan_out_sealed_without_children_succeeds() {
    assert_eq!(ParentStatus::of(ChildCounts::sealed(0)).decide(), Decision::Settle(State::Succeeded));
    assert_eq!(ParentStatus::of(ChildCounts::open()).decide(), Decision::Wait);
}

#[test]
fn failed_child_with_retry_due_decides_nothing() {
    let mut counts = ChildCounts::sealed(2);
    counts.apply(None, leaf_status(State::Succeeded, false));
    counts.apply(None, leaf_status(State::Failed, true));
    assert_eq!(ParentStatus::of(counts).decide(), Decision::Wait);
    counts.apply(Some(leaf_status(State::Failed, true)), leaf_status(State::Pending, false));
    counts.apply(Some(leaf_status(State::Pending, false)), leaf_status(State::Succeeded, false));
    assert_eq!(ParentStatus::of(counts).decide(), Decision::Settle(State::Succeeded));
}

#[test]
fn counts_survive_json() {
    let counts = ChildCounts { total: None, created: 7, open: 3, failed: 2, cancelled: 1 };
    let json = serde_json::to_string(&counts).unwrap();
    assert_eq!(serde_json::from_str::<ChildCounts>(&json).unwrap(), counts);
    let state_counts =
        StateCounts { pending: 1, running: 2, succeeded: 3, failed: 4, cancelled: u64::MAX >> 1 };
    let json = serde_json::to_string(&state_counts).unwrap();
    assert_eq!(serde_json::from_str::<StateCounts>(&json).unwrap(), state_counts);
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Fail),
        Just(Policy::Ignore),
        Just(Policy::FailFast),
        (0..8_u32).prop_map(Policy::Tolerate),
        (0..=100_u8).prop_map(|percent| Policy::tolerate_percent(percent).unwrap()),
    ]
}

fn any_join() -> impl Strategy<Value = JoinStatus> {
    const TERMINAL: [State; 3] = [State::Succeeded, State::Failed, State::Cancelled];
    prop_oneof![
        3 => Just(JoinStatus::None),
        1 => Just(JoinStatus::NotStarted),
        1 => Just(JoinStatus::Open),
        1 => proptest::sample::select(&TERMINAL[..]).prop_map(JoinStatus::Settled),
    ]
}

proptest! {
    #[test]
    fn decision_follows_cause_policy_children_and_join(
        children in prop::collection::vec(any_status(), 0..8),
        missing in 0_u32..3,
        sealed in any::<bool>(),
        policy in any_policy(),
        cause in prop::option::of(proptest::sample::select(&CancelCause::ALL[..])),
        join in any_join(),
    ) {
        let created = u32::try_from(children.len()).unwrap();
        let counts = recount(sealed.then_some(created + missing), &children);
        let decision = ParentStatus { counts, policy, cancel_cause: cause, join }.decide();
        let none_open = children.iter().all(|child| child.is_settled());
        let count_of = |state| children.iter().filter(|child| child.is_settled() && child.state == state).count();
        let (failed, cancelled) = (count_of(State::Failed), count_of(State::Cancelled));
        let complete = sealed && missing == 0 && none_open;
        let tolerated = match policy {
            Policy::Fail | Policy::FailFast => 0.0,
            Policy::Tolerate(max) => f64::from(max),
            Policy::ToleratePercent(percent) => f64::from(percent.get()) / 100.0 * f64::from(created),
            Policy::Ignore => f64::INFINITY,
        };
        #[expect(clippy::cast_precision_loss, reason = "there are few children")]
        let fails = failed as f64 > tolerated + 1e-9;
        let expected = match (join, cause) {
            (JoinStatus::Open, _) => Decision::Wait,
            (_, Some(_)) if !none_open => Decision::Wait,
            // A successful join is final, because no transition leaves SUCCEEDED.
            (JoinStatus::Settled(State::Succeeded), Some(_)) => Decision::Settle(State::Succeeded),
            (_, Some(CancelCause::FailFast)) => Decision::Settle(State::Failed),
            (_, Some(_)) => Decision::Settle(State::Cancelled),
            (_, None) if complete && fails => Decision::Settle(State::Failed),
            (_, None) if complete && cancelled > 0 => Decision::Settle(State::Cancelled),
            (JoinStatus::NotStarted, None) if complete => Decision::StartJoin,
            (JoinStatus::Settled(state), None) if complete => Decision::Settle(state),
            (_, None) if complete => Decision::Settle(State::Succeeded),
            (_, None) if failed > 0 && policy == Policy::FailFast => Decision::CancelOpenChildren(CancelCause::FailFast),
            (_, None) => Decision::Wait,
        };
        prop_assert_eq!(decision, expected);
    }

    #[test]
    fn policy_survives_json(policy in any_policy()) {
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    }
}

#[test]
fn percentage_above_100_is_rejected() {
    assert!(Policy::tolerate_percent(100).is_ok());
    assert!(Policy::tolerate_percent(101).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"tolerate_percent": 101}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#""tolerate""#).is_err());
}

#[test]
fn policy_table_equals_decisions_with_and_without_join() {
    for row in POLICY_ROWS {
        let mut counts = ChildCounts::sealed(u32::try_from(row.children.len()).unwrap());
        for (node_type, state) in row.children {
            counts.apply(None, NodeStatus { node_type: *node_type, state: *state, retry_scheduled: false });
        }
        for ((policy, name), outcome) in POLICY_COLUMNS.into_iter().zip(row.outcomes) {
            let decide = |join| ParentStatus { counts, policy, cancel_cause: None, join }.decide();
            assert_eq!(decide(JoinStatus::None), Decision::Settle(outcome), "{name}: {:?}", row.children);
            let with_join =
                if outcome == State::Succeeded { Decision::StartJoin } else { Decision::Settle(outcome) };
            assert_eq!(decide(JoinStatus::NotStarted), with_join, "{name}: {:?}", row.children);
        }
    }
}

#[test]
fn policy_table_has_two_lines_per_row() {
    let table = policy_table();
    assert_eq!(table.lines().count(), 2 + 2 * POLICY_ROWS.len());
    let columns = table.lines().map(|line| line.matches('|').count());
    assert!(columns.clone().all(|count| count == 4 + POLICY_COLUMNS.len()), "{table}");
    assert!(table.contains("| no children | – | with | state of the join |"), "{table}");
}
