//! The state machine: legal and illegal transitions, and its documentation.

use conductor_model::{
    CancelCause, IllegalTransition, NodeStatus, NodeType, Signal, State, TRANSITIONS, state_diagram,
    transition, transition_event, transition_table,
};
use std::collections::HashSet;

/// Returns the state after the signal, written from the design and independently of the table.
#[expect(clippy::match_same_arms, reason = "one arm for each row of the design")]
fn designed(node: NodeStatus, signal: Signal) -> Option<State> {
    let NodeStatus { node_type, state, retry_scheduled } = node;
    let is_leaf = node_type == NodeType::Leaf;
    match (state, signal) {
        (State::Pending, Signal::Start) => Some(State::Running),
        (State::Pending | State::Running, Signal::Cancel) => Some(State::Cancelled),
        (State::Failed, Signal::Cancel) if is_leaf && retry_scheduled => Some(State::Cancelled),
        (State::Running, Signal::Succeed) => Some(State::Succeeded),
        (State::Running, Signal::Fail) => Some(State::Failed),
        (State::Running, Signal::Release) if is_leaf => Some(State::Pending),
        (State::Failed, Signal::Retry) if is_leaf && retry_scheduled => Some(State::Pending),
        (State::Failed, Signal::Revive) if is_leaf && !retry_scheduled => Some(State::Pending),
        (State::Cancelled, Signal::Revive) if is_leaf => Some(State::Pending),
        (State::Failed, Signal::Reopen) if !is_leaf && !retry_scheduled => Some(State::Running),
        (State::Cancelled, Signal::Reopen) if !is_leaf => Some(State::Running),
        _ => None,
    }
}

fn all_nodes() -> impl Iterator<Item = NodeStatus> {
    NodeType::ALL.into_iter().flat_map(|node_type| {
        State::ALL.into_iter().flat_map(move |state| {
            [false, true].map(|retry_scheduled| NodeStatus { node_type, state, retry_scheduled }).into_iter()
        })
    })
}

fn all_pairs() -> impl Iterator<Item = (NodeStatus, Signal)> {
    all_nodes().flat_map(|node| Signal::ALL.map(|signal| (node, signal)).into_iter())
}

#[test]
fn legal_pair_leads_to_designed_state() {
    let mut legal = 0;
    for (node, signal) in all_pairs() {
        if let Some(to) = designed(node, signal) {
            assert_eq!(transition(node, signal), Ok(to), "{node:?} {signal}");
            legal += 1;
        }
    }
    // Five rows for 3 node types × 2 (retry scheduled or not); release 2; other leaf rows 1 + 1 + 1 + 2; reopen 2 × (1 + 2).
    assert_eq!(legal, 5 * 6 + 2 + 5 + 6);
}

#[test]
fn illegal_pair_is_rejected() {
    let mut refused = 0;
    for (node, signal) in all_pairs().filter(|(node, signal)| designed(*node, *signal).is_none()) {
        let error = IllegalTransition { from: node.state, retry_scheduled: node.retry_scheduled, signal };
        assert_eq!(transition(node, signal), Err(error), "{node:?}");
        refused += 1;
    }
    assert_eq!(refused, 3 * 5 * 2 * 8 - 43);
}

#[test]
fn succeeded_accepts_no_signal() {
    for (node, signal) in all_pairs().filter(|(node, _)| node.state == State::Succeeded) {
        assert!(transition(node, signal).is_err(), "{node:?} {signal}");
    }
}

#[test]
fn rows_do_not_overlap() {
    for (node, signal) in all_pairs() {
        let rows = TRANSITIONS.iter().filter(|row| {
            row.from == node.state
                && row.signal == signal
                && row.node_types.contains(&node.node_type)
                && row.retry_scheduled.is_none_or(|retry_scheduled| retry_scheduled == node.retry_scheduled)
        });
        assert!(rows.count() <= 1, "{node:?} {signal}");
    }
}

#[test]
fn each_row_is_reachable() {
    for row in TRANSITIONS {
        for node_type in row.node_types {
            let node = NodeStatus {
                node_type: *node_type,
                state: row.from,
                retry_scheduled: row.retry_scheduled.unwrap_or_default(),
            };
            assert_eq!(transition(node, row.signal), Ok(row.to), "{row:?}");
        }
    }
}

#[test]
fn diagram_contains_each_row() {
    let diagram = state_diagram();
    let lines: Vec<&str> = diagram.lines().map(str::trim).collect();
    for row in TRANSITIONS {
        let arrow = format!("{} --> {}: {}", row.from, row.to, row.signal);
        assert!(lines.iter().any(|line| line.starts_with(&arrow)), "{arrow} is not in\n{diagram}");
    }
    assert_eq!(lines.len(), TRANSITIONS.len() + 3, "plus the heading, the initial and the final line");
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len(), "a line occurs twice");
}

#[test]
fn markdown_table_contains_each_row() {
    let table = transition_table();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), TRANSITIONS.len());
    for (cells, row) in rows.iter().zip(TRANSITIONS) {
        let condition = match row.retry_scheduled {
            None => "",
            Some(true) => ", retry scheduled",
            Some(false) => ", settled",
        };
        let node_types: Vec<&str> = row
            .node_types
            .iter()
            .map(|node_type| match node_type {
                NodeType::Leaf => "leaf",
                NodeType::Parent => "parent",
                NodeType::Run => "run",
            })
            .collect();
        let from = format!("{}{condition}", row.from);
        let expected = [&from, row.signal.as_str(), row.to.as_str(), &node_types.join(", "), row.actor];
        assert_eq!(*cells, expected);
    }
}

#[test]
fn terminal_state_without_retry_is_settled() {
    for node in all_nodes() {
        let is_terminal = matches!(node.state, State::Succeeded | State::Failed | State::Cancelled);
        assert_eq!(node.state.is_terminal(), is_terminal);
        let waits_for_retry = node.state == State::Failed && node.retry_scheduled;
        assert_eq!(node.is_settled(), is_terminal && !waits_for_retry, "{node:?}");
    }
}

#[test]
fn illegal_transition_names_signal_and_state() {
    let node = NodeStatus { node_type: NodeType::Leaf, state: State::Failed, retry_scheduled: true };
    let error = transition(node, Signal::Revive).unwrap_err();
    assert_eq!(error.to_string(), "revive is not possible in state FAILED with a retry scheduled");
    let node = NodeStatus { retry_scheduled: false, ..node };
    let error = transition(node, Signal::Retry).unwrap_err();
    assert_eq!(error.to_string(), "retry is not possible in state FAILED");
}

#[test]
fn each_legal_transition_has_event() {
    for row in TRANSITIONS {
        for node_type in row.node_types {
            // The event of a failed leaf has a reason, which the transition does not know.
            let is_leaf_failure = (*node_type, row.signal) == (NodeType::Leaf, Signal::Fail);
            let event = transition_event(*node_type, row.signal);
            assert_eq!(event.is_none(), is_leaf_failure, "{node_type:?} {}", row.signal);
            if let Some(event) = event {
                assert_eq!(event.name().starts_with("run."), *node_type == NodeType::Run, "{}", event.name());
            }
        }
    }
}

#[test]
fn state_survives_json_in_upper_case() {
    for state in State::ALL {
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(json, format!("{:?}", state.as_str()));
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
        assert_eq!(format!("{state:>9}").len(), 9);
    }
    assert!(serde_json::from_str::<State>("\"pending\"").is_err());
    assert!(serde_json::from_str::<State>("\"DONE\"").is_err());
}

#[test]
fn each_state_and_cause_has_stable_code() {
    assert_eq!(State::ALL.map(State::code), [0, 1, 2, 3, 4]);
    assert_eq!(CancelCause::ALL.map(CancelCause::code), [1, 2, 3, 4]);
    for state in State::ALL {
        assert_eq!(State::from_code(state.code()), Some(state));
    }
    for cause in CancelCause::ALL {
        assert_eq!(CancelCause::from_code(cause.code()), Some(cause));
    }
    for code in [-1, 5, i64::MIN, i64::MAX] {
        assert_eq!((State::from_code(code), CancelCause::from_code(code)), (None, None));
    }
    assert_eq!(CancelCause::from_code(0), None);
}
