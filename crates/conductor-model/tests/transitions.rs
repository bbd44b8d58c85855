//! The state machine: what it allows, what it refuses, and that its documentation shows all of it.

use conductor_model::{
    IllegalTransition, NodeStatus, NodeType, Signal, State, TRANSITIONS, state_diagram, transition,
    transition_event, transition_table,
};
use std::collections::HashSet;

/// The state machine once more, written from the design and not from the table: what the signal leads to.
#[expect(clippy::match_same_arms, reason = "one arm for each row of the design")]
fn designed(subject: NodeStatus, signal: Signal) -> Option<State> {
    let NodeStatus { node_type: shape, state, retry_due } = subject;
    let leaf = shape == NodeType::Leaf;
    match (state, signal) {
        (State::Pending, Signal::Start) => Some(State::Running),
        (State::Pending | State::Running, Signal::Cancel) => Some(State::Cancelled),
        (State::Failed, Signal::Cancel) if leaf && retry_due => Some(State::Cancelled),
        (State::Running, Signal::Succeed) => Some(State::Succeeded),
        (State::Running, Signal::Fail) => Some(State::Failed),
        (State::Running, Signal::Release) if leaf => Some(State::Pending),
        (State::Failed, Signal::Retry) if leaf && retry_due => Some(State::Pending),
        (State::Failed, Signal::Revive) if leaf && !retry_due => Some(State::Pending),
        (State::Cancelled, Signal::Revive) if leaf => Some(State::Pending),
        (State::Failed, Signal::Reopen) if !leaf && !retry_due => Some(State::Running),
        (State::Cancelled, Signal::Reopen) if !leaf => Some(State::Running),
        _ => None,
    }
}

fn every_subject() -> impl Iterator<Item = NodeStatus> {
    NodeType::ALL.into_iter().flat_map(|shape| {
        State::ALL.into_iter().flat_map(move |state| {
            [false, true].map(|retry_due| NodeStatus { node_type: shape, state, retry_due }).into_iter()
        })
    })
}

fn every_pair() -> impl Iterator<Item = (NodeStatus, Signal)> {
    every_subject().flat_map(|subject| Signal::ALL.map(|signal| (subject, signal)).into_iter())
}

#[test]
fn legal_pairs_lead_where_the_table_says() {
    let mut legal = 0;
    for (subject, signal) in every_pair() {
        if let Some(to) = designed(subject, signal) {
            assert_eq!(transition(subject, signal), Ok(to), "{subject:?} {signal}");
            legal += 1;
        }
    }
    // 3 shapes × 2 (due or not) for the five rows of everybody, 2 for release, and 1 + 1 + 1 + 2 for the
    // leaf's, 2 × (1 + 2) for the parents' ones.
    assert_eq!(legal, 5 * 6 + 2 + 5 + 6);
}

#[test]
fn every_other_pair_is_refused() {
    let mut refused = 0;
    for (subject, signal) in every_pair().filter(|(subject, signal)| designed(*subject, *signal).is_none()) {
        let error = IllegalTransition { from: subject.state, retry_due: subject.retry_due, signal };
        assert_eq!(transition(subject, signal), Err(error), "{subject:?}");
        refused += 1;
    }
    assert_eq!(refused, 3 * 5 * 2 * 8 - 43);
}

#[test]
fn succeeded_is_absorbing_for_everyone() {
    for (subject, signal) in every_pair().filter(|(subject, _)| subject.state == State::Succeeded) {
        assert!(transition(subject, signal).is_err(), "{subject:?} {signal}");
    }
}

#[test]
fn no_two_rows_speak_of_the_same_pair() {
    for (subject, signal) in every_pair() {
        let rows = TRANSITIONS.iter().filter(|row| {
            row.from == subject.state
                && row.signal == signal
                && row.node_types.contains(&subject.node_type)
                && row.retry_due.is_none_or(|due| due == subject.retry_due)
        });
        assert!(rows.count() <= 1, "{subject:?} {signal}");
    }
}

#[test]
fn every_row_can_happen() {
    for row in TRANSITIONS {
        for shape in row.node_types {
            let subject = NodeStatus {
                node_type: *shape,
                state: row.from,
                retry_due: row.retry_due.unwrap_or_default(),
            };
            assert_eq!(transition(subject, row.signal), Ok(row.to), "{row:?}");
        }
    }
}

#[test]
fn the_diagram_has_every_row() {
    let diagram = state_diagram();
    let lines: Vec<&str> = diagram.lines().map(str::trim).collect();
    for row in TRANSITIONS {
        let arrow = format!("{} --> {}: {}", row.from, row.to, row.signal);
        assert!(lines.iter().any(|line| line.starts_with(&arrow)), "{arrow} is not in\n{diagram}");
    }
    assert_eq!(lines.len(), TRANSITIONS.len() + 3, "a heading, the beginning and the end besides");
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len(), "a line stands there twice");
}

#[test]
fn the_documented_table_has_every_row() {
    let table = transition_table();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), TRANSITIONS.len());
    for (cells, row) in rows.iter().zip(TRANSITIONS) {
        let due = match row.retry_due {
            None => "",
            Some(true) => ", a retry due",
            Some(false) => ", settled",
        };
        let shapes: Vec<&str> = row
            .node_types
            .iter()
            .map(|shape| match shape {
                NodeType::Leaf => "leaf",
                NodeType::Parent => "parent",
                NodeType::Run => "run",
            })
            .collect();
        let from = format!("{}{due}", row.from);
        let expected = [&from, row.signal.as_str(), row.to.as_str(), &shapes.join(", "), row.actor];
        assert_eq!(*cells, expected);
    }
}

#[test]
fn a_state_counts_when_it_is_terminal_and_no_retry_is_due() {
    for subject in every_subject() {
        let terminal = matches!(subject.state, State::Succeeded | State::Failed | State::Cancelled);
        assert_eq!(subject.state.is_terminal(), terminal);
        let waits = subject.state == State::Failed && subject.retry_due;
        assert_eq!(subject.is_settled(), terminal && !waits, "{subject:?}");
    }
}

#[test]
fn a_refusal_says_what_was_tried_on_what() {
    let subject = NodeStatus { node_type: NodeType::Leaf, state: State::Failed, retry_due: true };
    let error = transition(subject, Signal::Revive).unwrap_err();
    assert_eq!(error.to_string(), "revive is not possible in state FAILED with a retry due");
    let subject = NodeStatus { retry_due: false, ..subject };
    let error = transition(subject, Signal::Retry).unwrap_err();
    assert_eq!(error.to_string(), "retry is not possible in state FAILED");
}

#[test]
fn every_legal_transition_leaves_an_event() {
    for row in TRANSITIONS {
        for shape in row.node_types {
            // A leaf's failure is told with its reason, which the transition does not know.
            let told_elsewhere = (*shape, row.signal) == (NodeType::Leaf, Signal::Fail);
            let event = transition_event(*shape, row.signal);
            assert_eq!(event.is_none(), told_elsewhere, "{shape:?} {}", row.signal);
            if let Some(event) = event {
                assert_eq!(event.name().starts_with("run."), *shape == NodeType::Run, "{}", event.name());
            }
        }
    }
}

#[test]
fn states_are_written_in_capitals_and_read_back() {
    for state in State::ALL {
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(json, format!("{:?}", state.as_str()));
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
        assert_eq!(format!("{state:>9}").len(), 9);
    }
    assert!(serde_json::from_str::<State>("\"pending\"").is_err());
    assert!(serde_json::from_str::<State>("\"DONE\"").is_err());
}
