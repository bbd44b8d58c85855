//! A program that depends on this crate alone: it names no type of another crate.
#![cfg(test)]

use conductor_model::serde_json::json;
use conductor_model::{
    AttemptFailure, Backoff, ChildCounts, Decision, FailedAttempt, IllegalTransition, JoinStatus, Json,
    NewTask, NodeStatus, NodeType, ParentStatus, Policy, RetryDecision, RunDraft, Signal, State, TaskDraft,
    Timestamp, ValidationError, decide_retry, serde, serde_json, transition,
};

/// Validates a task from any serializable input.
fn validate<T: serde::Serialize>(input: T) -> Result<NewTask, ValidationError> {
    TaskDraft::new("resize").input(input).policy(Policy::Tolerate(1)).join("report").validate()
}

fn read_widths(json: &Json) -> serde_json::Result<Vec<u32>> {
    let input: serde_json::Value = json.to()?;
    serde_json::from_value(input["fanout"].clone())
}

/// Sends the signals to a leaf one after another.
fn walk(signals: &[Signal]) -> Result<NodeStatus, IllegalTransition> {
    let mut leaf = NodeStatus { node_type: NodeType::Leaf, state: State::Pending, retry_scheduled: false };
    for signal in signals {
        leaf.state = transition(leaf, *signal)?;
        leaf.retry_scheduled = *signal == Signal::Fail;
    }
    Ok(leaf)
}

#[test]
fn draft_is_validated_and_read() {
    let task = validate(json!({"fanout": [80, 160, 320]})).expect("a valid task");
    assert_eq!(task.child_counts(), Some(ChildCounts::sealed(3)));
    assert_eq!(read_widths(task.input().expect("an input")).expect("numbers"), [80, 160, 320]);

    let invalid = RunDraft::new().task(TaskDraft::new("")).validate().expect_err("an empty name");
    assert_eq!(invalid.to_string(), "tasks[0].name: must not be empty");
    assert!(validate(json!({"fanout": 0})).is_err());
}

#[test]
fn state_machine_is_walked() {
    let leaf = walk(&[Signal::Start, Signal::Fail]).expect("legal signals");
    assert_eq!((leaf.state, leaf.is_settled()), (State::Failed, false));
    let leaf = walk(&[Signal::Start, Signal::Fail, Signal::Retry, Signal::Start, Signal::Succeed]);
    assert!(leaf.expect("legal signals").is_settled());
    let illegal = walk(&[Signal::Succeed]).expect_err("not started");
    assert_eq!(illegal.to_string(), "succeed is not possible in state PENDING");
}

#[test]
fn retry_and_parent_are_decided() {
    let task = validate(json!({"fanout": 2})).expect("a valid task");
    let now = Timestamp::from_millis(0).expect("a timestamp");
    let attempt = FailedAttempt {
        retry_count: 0,
        max_retries: task.max_retries(),
        backoff: Backoff::fixed(500).expect("a backoff"),
        failure: &AttemptFailure::error("busy"),
    };
    assert_eq!(decide_retry(attempt, now, 0.0), RetryDecision::Retry(now.plus_millis(500)));

    let counts = task.child_counts().expect("a parent");
    let status =
        ParentStatus { counts, policy: task.policy(), cancel_cause: None, join: JoinStatus::NotStarted };
    assert_eq!(status.decide(), Decision::Wait);
    let counts = ChildCounts { created: 2, failed: 1, ..counts };
    assert_eq!(ParentStatus { counts, ..status }.decide(), Decision::StartJoin);
    let join = JoinStatus::Settled(State::Succeeded);
    assert_eq!(ParentStatus { counts, join, ..status }.decide(), Decision::Settle(State::Succeeded));
}
