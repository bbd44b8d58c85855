//! What numbers decide for a parent or a run, and which children are missing.

use conductor_model::{
    CancelCause, ChildCounts, Decision, JoinStatus, MAX_FANOUT, NodeStatus, NodeType, ParentStatus, Policy,
    State, StateCounts,
};
use proptest::prelude::*;

fn standing(state: State, retry_due: bool) -> NodeStatus {
    NodeStatus { node_type: NodeType::Leaf, state, retry_due: state == State::Failed && retry_due }
}

fn a_standing() -> impl Strategy<Value = NodeStatus> {
    (proptest::sample::select(&State::ALL[..]), any::<bool>())
        .prop_map(|(state, retry_due)| standing(state, retry_due))
}

/// What happens to the children: a new one appears, or the one at that place moves.
#[derive(Clone, Debug)]
enum Step {
    Create(NodeStatus),
    Move(prop::sample::Index, NodeStatus),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        a_standing().prop_map(Step::Create),
        (any::<prop::sample::Index>(), a_standing()).prop_map(|(which, to)| Step::Move(which, to)),
    ];
    prop::collection::vec(step, 0..80)
}

/// The numbers of these children, counted from scratch.
fn recount(total: Option<u32>, children: &[NodeStatus]) -> ChildCounts {
    let number = |of: &dyn Fn(&NodeStatus) -> bool| {
        u32::try_from(children.iter().filter(|child| of(child)).count()).unwrap()
    };
    let settled_as = |state| move |child: &NodeStatus| child.state == state && !child.retry_due;
    let open = |child: &NodeStatus| {
        matches!(child.state, State::Pending | State::Running)
            || (child.state == State::Failed && child.retry_due)
    };
    ChildCounts {
        total,
        created: number(&|_| true),
        open: number(&open),
        failed: number(&settled_as(State::Failed)),
        cancelled: number(&settled_as(State::Cancelled)),
    }
}

proptest! {
    #[test]
    fn counting_each_movement_equals_counting_from_scratch(total in any::<Option<u32>>(), steps in steps()) {
        let mut numbers = total.map_or_else(ChildCounts::open, ChildCounts::sealed);
        let mut tally = StateCounts::default();
        let mut children: Vec<NodeStatus> = Vec::new();
        for step in steps {
            match step {
                Step::Create(child) => {
                    numbers.apply(None, child);
                    tally.apply(None, child.state);
                    children.push(child);
                }
                Step::Move(which, to) if !children.is_empty() => {
                    let child = which.get_mut(&mut children);
                    numbers.apply(Some(*child), to);
                    tally.apply(Some(child.state), to.state);
                    *child = to;
                }
                Step::Move(..) => {}
            }
            prop_assert_eq!(numbers, recount(total, &children));
            for state in State::ALL {
                let counted = children.iter().filter(|child| child.state == state).count();
                prop_assert_eq!(tally.of(state), counted as u64);
            }
            prop_assert_eq!(tally.total(), children.len() as u64);
            let succeeded = children.iter().filter(|child| child.state == State::Succeeded).count();
            prop_assert_eq!(numbers.succeeded() as usize, succeeded);
        }
    }

    #[test]
    fn nothing_is_decided_until_it_is_sealed_and_every_child_exists_and_none_is_open(
        children in prop::collection::vec(a_standing(), 0..12),
        total in prop::option::of(0_u32..12),
    ) {
        let complete = total.is_some_and(|total| total as usize == children.len());
        let none_open = children.iter().all(|child| child.is_settled());
        let decision = ParentStatus::of(recount(total, &children)).decide();
        prop_assert_eq!(decision == Decision::Wait, !(complete && none_open));
    }

    #[test]
    fn a_complete_parent_follows_its_children_failed_before_cancelled_before_succeeded(
        states in prop::collection::vec(
            proptest::sample::select(&[State::Succeeded, State::Failed, State::Cancelled][..]), 0..8),
    ) {
        let children: Vec<NodeStatus> = states.iter().map(|state| standing(*state, false)).collect();
        let expected = [State::Failed, State::Cancelled]
            .into_iter()
            .find(|state| states.contains(state))
            .unwrap_or(State::Succeeded);
        let total = u32::try_from(children.len()).unwrap();
        prop_assert_eq!(ParentStatus::of(recount(Some(total), &children)).decide(), Decision::Settle(expected));
    }

    #[test]
    fn the_missing_children_are_the_next_ones_and_never_more_than_asked_for(
        (total, children) in (0..=MAX_FANOUT).prop_flat_map(|total| (Just(total), 0..=total)),
        limit in prop_oneof![0_u32..5, any::<u32>()],
    ) {
        let numbers = ChildCounts { created: children, ..ChildCounts::sealed(total) };
        match numbers.next_indices(limit) {
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
    fn bounded_steps_create_every_child_exactly_once(total in 0_u32..300, limit in 1_u32..50) {
        let mut numbers = ChildCounts::sealed(total);
        let mut created = Vec::new();
        while let Some(range) = numbers.next_indices(limit) {
            prop_assert!(created.len() < total as usize);
            for index in range {
                numbers.apply(None, standing(State::Pending, false));
                created.push(index);
            }
        }
        prop_assert_eq!(created, (1..=total).collect::<Vec<_>>());
        prop_assert_eq!(numbers.created, total);
    }
}

#[test]
fn no_child_of_an_open_fan_out_is_missing() {
    for children in [0, 1, u32::MAX] {
        assert_eq!(ChildCounts { created: children, ..ChildCounts::open() }.next_indices(u32::MAX), None);
    }
    assert!(!ChildCounts::open().is_sealed());
    assert!(ChildCounts::sealed(0).is_sealed());
}

#[test]
fn the_greatest_numbers_do_not_overflow() {
    let numbers = ChildCounts { created: u32::MAX - 1, ..ChildCounts::sealed(u32::MAX) };
    assert_eq!(numbers.next_indices(u32::MAX), Some(u32::MAX..=u32::MAX));
    assert_eq!(ChildCounts { created: u32::MAX, ..numbers }.next_indices(u32::MAX), None);
}

#[test]
fn a_fan_out_sealed_with_no_children_succeeds() {
    assert_eq!(ParentStatus::of(ChildCounts::sealed(0)).decide(), Decision::Settle(State::Succeeded));
    assert_eq!(ParentStatus::of(ChildCounts::open()).decide(), Decision::Wait);
}

#[test]
fn a_failed_child_that_still_has_retries_decides_nothing() {
    let mut numbers = ChildCounts::sealed(2);
    numbers.apply(None, standing(State::Succeeded, false));
    numbers.apply(None, standing(State::Failed, true));
    assert_eq!(ParentStatus::of(numbers).decide(), Decision::Wait);
    numbers.apply(Some(standing(State::Failed, true)), standing(State::Pending, false));
    numbers.apply(Some(standing(State::Pending, false)), standing(State::Succeeded, false));
    assert_eq!(ParentStatus::of(numbers).decide(), Decision::Settle(State::Succeeded));
}

#[test]
fn numbers_and_tallies_survive_their_json() {
    let numbers = ChildCounts { total: None, created: 7, open: 3, failed: 2, cancelled: 1 };
    let json = serde_json::to_string(&numbers).unwrap();
    assert_eq!(serde_json::from_str::<ChildCounts>(&json).unwrap(), numbers);
    let tally = StateCounts { pending: 1, running: 2, succeeded: 3, failed: 4, cancelled: u64::MAX >> 1 };
    let json = serde_json::to_string(&tally).unwrap();
    assert_eq!(serde_json::from_str::<StateCounts>(&json).unwrap(), tally);
}

fn a_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Fail),
        Just(Policy::Ignore),
        Just(Policy::FailFast),
        (0..8_u32).prop_map(Policy::Tolerate),
        (0..=100_u8).prop_map(|percent| Policy::tolerate_percent(percent).unwrap()),
    ]
}

fn a_joining() -> impl Strategy<Value = JoinStatus> {
    const ENDS: [State; 3] = [State::Succeeded, State::Failed, State::Cancelled];
    prop_oneof![
        3 => Just(JoinStatus::None),
        1 => Just(JoinStatus::NotStarted),
        1 => Just(JoinStatus::Open),
        1 => proptest::sample::select(&ENDS[..]).prop_map(JoinStatus::Settled),
    ]
}

proptest! {
    #[test]
    fn every_parent_is_decided_by_mark_policy_children_and_join(
        children in prop::collection::vec(a_standing(), 0..8),
        missing in 0_u32..3,
        sealed in any::<bool>(),
        policy in a_policy(),
        mark in prop::option::of(proptest::sample::select(&CancelCause::ALL[..])),
        joining in a_joining(),
    ) {
        let count = u32::try_from(children.len()).unwrap();
        let numbers = recount(sealed.then_some(count + missing), &children);
        let decision = ParentStatus { counts: numbers, policy, cancel_cause: mark, join: joining }.decide();
        let none_open = children.iter().all(|child| child.is_settled());
        let count_of = |state| children.iter().filter(|child| child.is_settled() && child.state == state).count();
        let (failed, cancelled) = (count_of(State::Failed), count_of(State::Cancelled));
        let complete = sealed && missing == 0 && none_open;
        let tolerated = match policy {
            Policy::Fail | Policy::FailFast => 0.0,
            Policy::Tolerate(most) => f64::from(most),
            Policy::ToleratePercent(percent) => f64::from(percent.get()) / 100.0 * f64::from(count),
            Policy::Ignore => f64::INFINITY,
        };
        #[expect(clippy::cast_precision_loss, reason = "a few children")]
        let fails = failed as f64 > tolerated + 1e-9;
        let expected = match (joining, mark) {
            (JoinStatus::Open, _) => Decision::Wait,
            (_, Some(_)) if !none_open => Decision::Wait,
            // It was too late to give it up, and SUCCEEDED is absorbing: a join cannot be run again.
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
    fn a_policy_survives_its_json(policy in a_policy()) {
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    }
}

#[test]
fn a_share_of_more_than_all_children_is_refused() {
    assert!(Policy::tolerate_percent(100).is_ok());
    assert!(Policy::tolerate_percent(101).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"tolerate_percent": 101}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#""tolerate""#).is_err());
}
