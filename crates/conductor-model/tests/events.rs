//! Events: each is written as `{seq, run, task, at, name, payload}` and read back equal.

use conductor_model::{
    CancelCause, ChildCounts, Event, EventBody, FailureReason, FanoutSize, Policy, RunId, State, StateCounts,
    TaskId, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

fn numbers() -> ChildCounts {
    ChildCounts { total: None, created: 5, open: 2, failed: 1, cancelled: 1 }
}

fn created(index: u32, fanout: Option<FanoutSize>) -> EventBody {
    EventBody::TaskCreated { index, parent: None, fanout, policy: Policy::Fail, has_join: false }
}

/// Every variant, those with optional parts with and without them.
fn every_body() -> Vec<EventBody> {
    let task = TaskId::from_u128(u128::MAX);
    let tally = StateCounts { pending: 1, running: 2, succeeded: u64::MAX, failed: 4, cancelled: 5 };
    let at = Timestamp::MAX;
    let mut bodies = vec![
        EventBody::RunCreated { policy: Policy::Fail, has_join: false },
        EventBody::RunCreated { policy: Policy::Tolerate(3), has_join: true },
        EventBody::RunSealed { total: u32::MAX },
        EventBody::RunStarted,
        EventBody::RunCancelRequested { cause: CancelCause::Deadline, reason: None },
        EventBody::RunCancelRequested { cause: CancelCause::Requested, reason: Some("enough".into()) },
        EventBody::RunSwept { children: vec![(0, 0), (1, 9)] },
        EventBody::RunReopened,
        created(1, None),
        created(2, Some(FanoutSize::Fixed(7))),
        created(3, Some(FanoutSize::Open)),
        EventBody::TaskFannedOut { first: 1, last: 9, first_id: task, parents: vec![] },
        EventBody::TaskFannedOut {
            first: 1,
            last: 9,
            first_id: task,
            parents: vec![(1, 2), (9, 10_000_000)],
        },
        EventBody::TaskSealed { total: 0 },
        EventBody::TaskStarted,
        EventBody::TaskSucceeded,
        EventBody::TaskRetried,
        EventBody::TaskReleased,
        EventBody::TaskCancelled { reason: None },
        EventBody::TaskCancelled { reason: Some("enough".into()) },
        EventBody::TaskCancelRequested { cause: CancelCause::FailFast, reason: None },
        EventBody::TaskCancelRequested { cause: CancelCause::Requested, reason: Some("enough".into()) },
        EventBody::TaskSwept { children: vec![(1, u32::MAX)] },
        EventBody::TaskCreated {
            index: 0,
            parent: Some(task),
            fanout: None,
            policy: Policy::Fail,
            has_join: false,
        },
        EventBody::TaskCreated {
            index: 1,
            parent: None,
            fanout: Some(FanoutSize::Open),
            policy: Policy::tolerate_percent(5).unwrap(),
            has_join: true,
        },
        EventBody::TaskRevived,
        EventBody::TaskReopened,
        EventBody::RunAdopted { state: State::Running, child_counts: numbers(), state_counts: tally },
        EventBody::TaskAdopted {
            parent: None,
            index: 1,
            state: State::Pending,
            retry_due: false,
            retry_count: 0,
            attempt: 0,
            child_counts: None,
        },
        EventBody::TaskAdopted {
            parent: Some(task),
            index: u32::MAX,
            state: State::Failed,
            retry_due: true,
            retry_count: 3,
            attempt: 4,
            child_counts: Some(numbers()),
        },
        EventBody::Legacy { id: "x".into(), name: "task.done".into(), payload: None },
        EventBody::Legacy { id: String::new(), name: "ü\0".into(), payload: Some("{not json".into()) },
    ];
    for reason in [FailureReason::Error, FailureReason::RetriesExhausted, FailureReason::NotRetryable] {
        for due_at in [None, Some(at)] {
            bodies.push(EventBody::TaskFailed { reason, error: "\"boom\"\n".into(), due_at });
        }
    }
    for state in State::ALL {
        bodies.push(EventBody::RunAggregated { state });
        bodies.push(EventBody::TaskAggregated { state });
    }
    bodies
}

fn event(body: EventBody) -> Event {
    let at = Timestamp::from_millis(1_772_366_400_123).unwrap();
    let task = (!body.name().starts_with("run.")).then_some(TaskId::from_u128(2));
    Event { seq: 7, run: RunId::from_u128(1), task, at, body }
}

#[test]
fn every_event_is_read_back_as_it_was_written() {
    for body in every_body() {
        let event = event(body);
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event, "{text}");
    }
}

#[test]
fn an_event_has_the_columns_of_the_original() {
    for body in every_body() {
        let event = event(body);
        let value = serde_json::to_value(&event).unwrap();
        let keys: HashSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = HashSet::from(["seq", "run", "task", "at", "name"]);
        if keys.contains("payload") {
            assert!(value["payload"].is_object(), "{value}");
            expected.insert("payload");
        }
        assert_eq!(keys, expected, "{value}");
        assert_eq!(value["name"], event.body.name());
        assert_eq!(value["at"], "2026-03-01T12:00:00.123Z");
    }
}

#[test]
fn an_event_without_a_payload_has_none() {
    let started = event(EventBody::TaskStarted);
    let expected = json!({
        "seq": 7, "run": "00000000000000000000000001", "task": "00000000000000000000000002",
        "at": "2026-03-01T12:00:00.123Z", "name": "task.started",
    });
    assert_eq!(serde_json::to_value(&started).unwrap(), expected);
    // Whoever stores events in columns gives back a NULL.
    let mut with_null = expected;
    with_null["payload"] = Value::Null;
    assert_eq!(serde_json::from_value::<Event>(with_null).unwrap(), started);
}

#[test]
fn a_payload_says_only_what_there_is_to_say() {
    let payload = |body| serde_json::to_value(event(body)).unwrap()["payload"].clone();
    assert_eq!(payload(created(1, None)), json!({"index": 1}));
    let open = created(1, Some(FanoutSize::Open));
    assert_eq!(payload(open), json!({"index": 1, "fanout": "open"}));
    let sealed = created(1, Some(FanoutSize::Fixed(3)));
    assert_eq!(payload(sealed), json!({"index": 1, "fanout": {"fixed": 3}}));
    let reason = FailureReason::RetriesExhausted;
    let failed = EventBody::TaskFailed { reason, error: "boom".into(), due_at: None };
    assert_eq!(payload(failed), json!({"reason": "retries_exhausted", "error": "boom"}));
}

#[test]
fn an_event_that_nobody_knows_is_refused() {
    let known = serde_json::to_value(event(EventBody::TaskStarted)).unwrap();
    let changes = [
        ("name", json!("task.exploded")),
        ("name", json!("task.sealed")), // its payload is absent
        ("seq", json!(-1)),
        ("run", json!("x")),
        ("task", json!("x")),
        ("at", json!("yesterday")),
    ];
    for (key, value) in changes {
        let mut event = known.clone();
        event[key] = value;
        assert!(serde_json::from_value::<Event>(event.clone()).is_err(), "{event}");
    }
}

proptest! {
    #[test]
    fn any_failure_survives_its_event(
        error in any::<String>(), seq in any::<u64>(), (run, task) in any::<(u128, u128)>(),
        millis in Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis(),
    ) {
        let at = Timestamp::from_millis(millis).unwrap();
        let body = EventBody::TaskFailed { reason: FailureReason::Error, error: error.into(), due_at: Some(at) };
        let event =
            Event { seq, run: RunId::from_u128(run), task: Some(TaskId::from_u128(task)), at, body };
        let text = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
