//! The sentences of explanations.

use conductor_model::{
    CancelCause, EngineId, ErrorText, ExplainTarget, Explanation, Kind, RunId, State, StateReason, TaskId,
    Timestamp,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1000 * second).unwrap()
}

fn kind() -> Kind {
    "resize".parse().unwrap()
}

/// Replaces the times and ids of this file by short names.
fn shorten(sentence: &str) -> String {
    let engine = EngineId::from_u128(7).to_string();
    sentence.replace(&at(1).to_string(), "T1").replace(&at(2).to_string(), "T2").replace(&engine, "E7")
}

fn failed(error: Option<ErrorText>, failed_children: u32) -> StateReason {
    StateReason::Failed { error, failed_children }
}

fn cancelled(cause: Option<CancelCause>, reason: Option<ErrorText>) -> StateReason {
    StateReason::Cancelled { cause, reason }
}

fn being_cancelled(cause: CancelCause, open: u32, engines: u32) -> StateReason {
    StateReason::BeingCancelled { cause, reason: None, open, engines }
}

fn retry_due(error: Option<ErrorText>, engines: Option<u32>) -> StateReason {
    StateReason::RetryDue { at: at(1), retry_count: 1, max_retries: 3, error, engines }
}

fn creating(engines: u32) -> StateReason {
    StateReason::CreatingChildren { children: 2, total: 5, since: at(1), engines }
}

fn ready(engines: u32, isolated: bool) -> StateReason {
    StateReason::Ready { since: at(1), engines, isolated }
}

fn claimed(engine: Option<EngineId>, engine_alive: bool, engines: Option<u32>) -> StateReason {
    StateReason::Claimed { engine, engine_alive, attempt: 4, until: at(2), heartbeat: at(1), engines }
}

#[test]
fn each_settled_reason_has_sentence() {
    let enough = || Some("enough".into());
    assert_sentences(&[
        (StateReason::Succeeded, "it succeeded"),
        (failed(Some("disk full".into()), 0), "it failed permanently: disk full"),
        (failed(None, 1), "1 child failed permanently"),
        (failed(None, 3), "3 children failed permanently"),
        (StateReason::JoinFailed, "its join failed permanently"),
        (cancelled(None, None), "it was cancelled"),
        (cancelled(None, enough()), "cancelled: enough"),
        (cancelled(Some(CancelCause::Requested), enough()), "cancelled on request: enough"),
        (cancelled(Some(CancelCause::Requested), None), "cancelled on request"),
        (cancelled(Some(CancelCause::Deadline), None), "cancelled because the run's deadline passed"),
        (
            cancelled(Some(CancelCause::FailFast), None),
            "cancelled because a child failed and the policy is fail-fast",
        ),
        (cancelled(Some(CancelCause::Ancestor), None), "cancelled together with an ancestor"),
    ]);
}

#[test]
fn each_waiting_reason_has_sentence() {
    let since = at(1);
    assert_sentences(&[
        (being_cancelled(CancelCause::Requested, 0, 1), "being cancelled on request"),
        (being_cancelled(CancelCause::Requested, 1, 1), "being cancelled on request; 1 child is still open"),
        (
            being_cancelled(CancelCause::Ancestor, 2, 0),
            "being cancelled together with an ancestor; 2 children are still open, but no engine is working",
        ),
        (retry_due(None, None), "retry 2 of 3 is due at T1"),
        (retry_due(Some("busy".into()), None), "retry 2 of 3 is due at T1; last error: busy"),
        (retry_due(None, Some(0)), "retry 2 of 3 is due since T1, but no engine is working"),
        (retry_due(None, Some(1)), "retry 2 of 3 is due since T1; an engine takes it up in its next step"),
        (StateReason::Delayed { until: since, engines: None }, "delayed until T1"),
        (StateReason::Delayed { until: since, engines: Some(0) }, "due since T1, but no engine is working"),
        (
            StateReason::Delayed { until: since, engines: Some(2) },
            "due since T1; an engine takes it up in its next step",
        ),
        (creating(1), "2 of 5 children exist; the others are being created since T1"),
        (
            creating(0),
            "2 of 5 children exist; the others are waiting to be created since T1, but no engine is working",
        ),
        (StateReason::WaitingForChildren { open: 1, children: 3 }, "waits for 1 of 3 children"),
        (
            StateReason::WaitingForAppend { children: 3, since },
            "open, and all 3 children are settled: no append and no seal since T1",
        ),
        (StateReason::WaitingForJoin, "its children are settled, and its join is not"),
        (
            StateReason::ReadyToAggregate { since, engines: 1 },
            "all its children are settled since T1; an engine decides it in its next step",
        ),
        (
            StateReason::ReadyToAggregate { since, engines: 0 },
            "all its children are settled since T1, but no engine is working",
        ),
    ]);
}

#[test]
fn each_ready_or_running_reason_has_sentence() {
    let (since, engine) = (at(1), EngineId::from_u128(7));
    assert_sentences(&[
        (
            StateReason::NoEngineForKind { kind: kind(), since },
            "ready since T1, but no engine handles kind resize",
        ),
        (
            StateReason::AtConcurrencyLimit { kind: kind(), limit: 4, since },
            "ready since T1, but the limit of 4 running tasks of kind resize is reached",
        ),
        (ready(1, false), "ready since T1; waits for a free worker (1 engine handles its kind)"),
        (
            ready(2, true),
            "ready since T1; waits for a free worker (2 engines handle its kind); isolated after lost leases: \
             an engine runs at most one such task at a time",
        ),
        (claimed(Some(engine), true, None), "attempt 4 is claimed by engine E7 until T2, last heartbeat T1"),
        (
            claimed(Some(engine), false, Some(0)),
            "attempt 4 is claimed by engine E7, which is not running, until T2, last heartbeat T1, but no \
             engine is working",
        ),
        (
            claimed(None, false, Some(1)),
            "attempt 4 is claimed by an engine that is no longer registered until T2, last heartbeat T1; an \
             engine rescues it in its next step",
        ),
        (StateReason::RunningExternally { since }, "running in another program, which reported last at T1"),
        (
            StateReason::HandlerOverran,
            "the handler of an earlier attempt is still running, although that attempt is over",
        ),
    ]);
}

#[track_caller]
fn assert_sentences(table: &[(StateReason, &str)]) {
    for (reason, expected) in table {
        assert_eq!(shorten(&reason.to_string()), *expected, "{reason:?}");
        let json = serde_json::to_string(reason).unwrap();
        assert_eq!(serde_json::from_str::<StateReason>(&json).unwrap(), *reason, "{json}");
    }
}

#[test]
fn explanation_contains_its_causes() {
    let waits = StateReason::WaitingForChildren { open: 1, children: 2 };
    let leaf = Explanation {
        target: ExplainTarget::Task { id: TaskId::from_u128(2), name: "a#1".parse().unwrap() },
        state: State::Running,
        reason: StateReason::HandlerOverran,
        caused_by: None,
    };
    let run = ExplainTarget::Run(RunId::from_u128(1));
    let mut explanation =
        Explanation { target: run, state: State::Running, reason: waits.clone(), caused_by: None };
    let run = format!("run {} is RUNNING: waits for 1 of 2 children", RunId::from_u128(1));
    assert_eq!(
        explanation.to_string(),
        format!("{run}; the child that causes this was not found among the searched children")
    );
    assert_eq!(explanation.root_cause(), &waits);

    explanation.caused_by = Some(Box::new(leaf));
    let leaf = format!("task a#1 ({}) is RUNNING: {}", TaskId::from_u128(2), StateReason::HandlerOverran);
    assert_eq!(explanation.to_string(), format!("{run}; {leaf}"));
    assert_eq!(explanation.root_cause(), &StateReason::HandlerOverran);
}
