//! The JSON form of events: `{seq, run, task, at, name, payload}`.

use conductor_model::{
    CancelCause, ChildCounts, EVENT_NAMES, Event, EventBody, FailureReason, FanoutSize, Policy, RunId, State,
    StateCounts, TaskId, Timestamp, event_code,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

fn child_counts() -> ChildCounts {
    ChildCounts { total: None, created: 5, open: 2, failed: 1, cancelled: 1 }
}

fn created(index: u32, fanout: Option<FanoutSize>) -> EventBody {
    EventBody::TaskCreated { index, parent: None, fanout, policy: Policy::Fail, has_join: false }
}

/// Returns all variants, with and without their optional fields.
fn all_bodies() -> Vec<EventBody> {
    let mut bodies = [run_bodies(), creating_bodies(), task_bodies(), imported_bodies()].concat();
    for reason in [FailureReason::Error, FailureReason::RetriesExhausted, FailureReason::NotRetryable] {
        for due_at in [None, Some(Timestamp::MAX)] {
            bodies.push(EventBody::TaskFailed { reason, error: "\"boom\"\n".into(), due_at });
        }
    }
    for state in State::ALL {
        bodies.push(EventBody::RunAggregated { state });
        bodies.push(EventBody::TaskAggregated { state });
    }
    bodies
}

fn run_bodies() -> Vec<EventBody> {
    vec![
        EventBody::RunCreated { policy: Policy::Fail, has_join: false },
        EventBody::RunCreated { policy: Policy::Tolerate(3), has_join: true },
        EventBody::RunSealed { total: u32::MAX },
        EventBody::RunStarted,
        EventBody::RunCancelRequested { cause: CancelCause::Deadline, reason: None },
        EventBody::RunCancelRequested { cause: CancelCause::Requested, reason: Some("enough".into()) },
        EventBody::RunSwept { children: vec![(0, 0), (1, 9)] },
        EventBody::RunReopened,
    ]
}

fn creating_bodies() -> Vec<EventBody> {
    let task = TaskId::from_u128(u128::MAX);
    let (fanout, policy) = (Some(FanoutSize::Open), Policy::tolerate_percent(5).unwrap());
    let parents = vec![(1, 2), (9, 10_000_000)];
    vec![
        created(1, None),
        created(2, Some(FanoutSize::Fixed(7))),
        created(3, Some(FanoutSize::Open)),
        EventBody::TaskCreated {
            index: 0,
            parent: Some(task),
            fanout: None,
            policy: Policy::Fail,
            has_join: false,
        },
        EventBody::TaskCreated { index: 1, parent: None, fanout, policy, has_join: true },
        EventBody::TaskFannedOut { first: 1, last: 9, first_id: task, parents: vec![] },
        EventBody::TaskFannedOut { first: 1, last: 9, first_id: task, parents },
    ]
}

fn task_bodies() -> Vec<EventBody> {
    vec![
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
        EventBody::TaskRevived,
        EventBody::TaskReopened,
    ]
}

/// Returns the events of runs and tasks from the TypeScript version.
fn imported_bodies() -> Vec<EventBody> {
    let state_counts = StateCounts { pending: 1, running: 2, succeeded: u64::MAX, failed: 4, cancelled: 5 };
    vec![
        EventBody::RunAdopted { state: State::Running, child_counts: child_counts(), state_counts },
        EventBody::TaskAdopted {
            parent: None,
            index: 1,
            state: State::Pending,
            retry_scheduled: false,
            retry_count: 0,
            attempt: 0,
            child_counts: None,
        },
        EventBody::TaskAdopted {
            parent: Some(TaskId::from_u128(u128::MAX)),
            index: u32::MAX,
            state: State::Failed,
            retry_scheduled: true,
            retry_count: 3,
            attempt: 4,
            child_counts: Some(child_counts()),
        },
        EventBody::Legacy { id: "x".into(), name: "task.done".into(), payload: None },
        EventBody::Legacy { id: String::new(), name: "ü\0".into(), payload: Some("{not json".into()) },
    ]
}

fn event(body: EventBody) -> Event {
    let at = Timestamp::from_millis(1_772_366_400_123).unwrap();
    let task = (!body.name().starts_with("run.")).then_some(TaskId::from_u128(2));
    Event { seq: 7, run: RunId::from_u128(1), task, at, body }
}

#[test]
fn event_survives_json() {
    for body in all_bodies() {
        let event = event(body);
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event, "{text}");
    }
}

#[test]
fn event_json_has_documented_keys() {
    for body in all_bodies() {
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
fn event_without_payload_omits_payload() {
    let started = event(EventBody::TaskStarted);
    let expected = json!({
        "seq": 7, "run": "00000000000000000000000001", "task": "00000000000000000000000002",
        "at": "2026-03-01T12:00:00.123Z", "name": "task.started",
    });
    assert_eq!(serde_json::to_value(&started).unwrap(), expected);
    // A store with a payload column returns NULL.
    let mut with_null = expected;
    with_null["payload"] = Value::Null;
    assert_eq!(serde_json::from_value::<Event>(with_null).unwrap(), started);
}

#[test]
fn payload_omits_defaults() {
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
fn unknown_or_malformed_event_is_rejected() {
    let known = serde_json::to_value(event(EventBody::TaskStarted)).unwrap();
    let changes = [
        ("name", json!("task.exploded")),
        ("name", json!("task.sealed")), // without its payload
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
    fn any_failure_survives_event_json(
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

#[test]
fn each_name_has_stable_code() {
    for body in all_bodies() {
        let code = event_code(body.name()).expect("a code");
        assert_eq!(EVENT_NAMES[usize::try_from(code).unwrap()], body.name());
    }
    assert_eq!(EVENT_NAMES.iter().collect::<HashSet<_>>().len(), EVENT_NAMES.len());
    let codes = [("run.created", 0), ("task.created", 6), ("original", 20), ("task.swept", 23)];
    for (name, code) in codes {
        assert_eq!(event_code(name), Some(code), "{name}");
    }
    assert_eq!(event_code("task.exploded"), None);
}
