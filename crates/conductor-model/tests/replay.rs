//! Replay of histories, and rejection of impossible events.

use conductor_model::{
    CancelCause, ChildCounts, Event, EventBody, FailureReason, FanoutSize, Policy, Replay, ReplayError,
    RunId, State, StateCounts, TaskId, Timestamp,
};

const RUN: u128 = 1;

/// A history of one run, event by event.
#[derive(Default)]
struct History(Vec<Event>);

impl History {
    fn run(mut self, body: EventBody) -> Self {
        self.push(RUN, None, body);
        self
    }

    fn task(mut self, task: u128, body: EventBody) -> Self {
        self.push(RUN, Some(task), body);
        self
    }

    fn push(&mut self, run: u128, task: Option<u128>, body: EventBody) {
        let seq = self.0.len() as u64 + 1;
        let at = Timestamp::from_millis(0).unwrap();
        self.0.push(Event { seq, run: RunId::from_u128(run), task: task.map(TaskId::from_u128), at, body });
    }

    fn replay(&self) -> Result<Replay, ReplayError> {
        let mut replay = Replay::new();
        self.0.iter().try_for_each(|event| replay.apply(event))?;
        Ok(replay)
    }

    /// Asserts that the last event, and no earlier one, is rejected with this message.
    #[track_caller]
    fn assert_last_rejected(&self, message: &str) {
        let error = self.replay().unwrap_err();
        assert_eq!((error.seq, error.message.as_str()), (self.0.len() as u64, message));
        assert_eq!(error.name, self.0.last().unwrap().body.name());
    }
}

fn run_created() -> EventBody {
    EventBody::RunCreated { policy: Policy::Fail, has_join: false }
}

fn created(index: u32) -> EventBody {
    EventBody::TaskCreated { index, parent: None, fanout: None, policy: Policy::Fail, has_join: false }
}

fn parent(index: u32, total: u32) -> EventBody {
    EventBody::TaskCreated {
        index,
        parent: None,
        fanout: Some(FanoutSize::Fixed(total)),
        policy: Policy::Fail,
        has_join: false,
    }
}

fn fanned_out(first: u32, last: u32, first_id: u128) -> EventBody {
    EventBody::TaskFannedOut { first, last, first_id: TaskId::from_u128(first_id), parents: vec![] }
}

fn failed(due: bool) -> EventBody {
    let due_at = due.then(|| Timestamp::from_millis(5).unwrap());
    EventBody::TaskFailed { reason: FailureReason::Error, error: "boom".into(), due_at }
}

fn aggregated(state: State) -> EventBody {
    EventBody::TaskAggregated { state }
}

/// A run with a leaf (2) and a parent (3) of three children (10, 11, 12), all created.
fn history() -> History {
    History::default()
        .run(run_created())
        .task(2, created(1))
        .task(3, parent(2, 3))
        .run(EventBody::RunSealed { total: 2 })
        .run(EventBody::RunStarted)
        .task(3, EventBody::TaskStarted)
        .task(3, fanned_out(1, 2, 10))
        .task(3, fanned_out(3, 3, 12))
}

#[test]
fn history_gives_states_and_counts() {
    let replay = history()
        .task(2, EventBody::TaskStarted)
        .task(2, failed(true))
        .task(10, EventBody::TaskStarted)
        .task(10, EventBody::TaskSucceeded)
        .task(11, EventBody::TaskStarted)
        .task(11, failed(false))
        .task(12, EventBody::TaskStarted)
        .task(12, EventBody::TaskReleased)
        .task(12, EventBody::TaskStarted)
        .replay()
        .unwrap();

    let run = replay.run(RunId::from_u128(RUN)).unwrap();
    assert_eq!(run.state, State::Running);
    assert_eq!(
        run.status.counts,
        ChildCounts { total: Some(2), created: 2, open: 2, failed: 0, cancelled: 0 }
    );
    assert_eq!(
        run.state_counts,
        StateCounts { pending: 0, running: 2, succeeded: 1, failed: 2, cancelled: 0 }
    );
    let task = |id| replay.task(TaskId::from_u128(id)).unwrap();
    assert_eq!((task(2).state, task(2).retry_scheduled, task(2).attempt), (State::Failed, true, 1));
    assert_eq!((task(3).state, task(3).attempt, task(3).parent), (State::Running, 0, None));
    let expected = ChildCounts { total: Some(3), created: 3, open: 1, failed: 1, cancelled: 0 };
    assert_eq!(task(3).child_counts(), Some(expected));
    assert_eq!((task(11).state, task(11).retry_scheduled, task(11).index), (State::Failed, false, 2));
    assert_eq!((task(12).state, task(12).attempt, task(12).retry_count), (State::Running, 2, 0));
    assert_eq!(task(12).parent, Some(TaskId::from_u128(3)));
    assert_eq!(task(12).child_counts(), None);
    assert_eq!((replay.run_count(), replay.task_count()), (1, 5));
}

#[test]
fn complete_and_revived_history_is_replayed() {
    let history = history()
        .task(2, EventBody::TaskStarted)
        .task(2, failed(true))
        .task(2, EventBody::TaskRetried)
        .task(2, EventBody::TaskStarted)
        .task(2, EventBody::TaskSucceeded)
        .task(10, EventBody::TaskCancelled { reason: None })
        .task(11, EventBody::TaskStarted)
        .task(11, failed(true))
        .task(11, EventBody::TaskRetried)
        .task(11, EventBody::TaskStarted)
        .task(11, failed(false))
        .task(12, EventBody::TaskStarted)
        .task(12, EventBody::TaskSucceeded)
        .task(3, aggregated(State::Failed))
        .run(EventBody::RunAggregated { state: State::Failed });
    let replay = history.replay().unwrap();
    let run = replay.run(RunId::from_u128(RUN)).unwrap();
    assert_eq!(run.state, State::Failed);
    assert_eq!(
        run.status.counts,
        ChildCounts { total: Some(2), created: 2, open: 0, failed: 1, cancelled: 0 }
    );
    assert_eq!(
        run.state_counts,
        StateCounts { pending: 0, running: 0, succeeded: 2, failed: 2, cancelled: 1 }
    );
    let leaf = replay.task(TaskId::from_u128(2)).unwrap();
    assert_eq!((leaf.retry_count, leaf.attempt, leaf.retry_scheduled), (1, 2, false));

    // A user revives the failed child; only its ancestors are reopened.
    let replay = history
        .task(11, EventBody::TaskRevived)
        .task(3, EventBody::TaskReopened)
        .run(EventBody::RunReopened)
        .replay()
        .unwrap();
    let run = replay.run(RunId::from_u128(RUN)).unwrap();
    assert_eq!((run.state, run.status.counts.open, run.status.counts.failed), (State::Running, 1, 0));
    let parent = replay.task(TaskId::from_u128(3)).unwrap();
    let expected = ChildCounts { total: Some(3), created: 3, open: 1, failed: 0, cancelled: 1 };
    assert_eq!((parent.state, parent.child_counts()), (State::Running, Some(expected)));
    let revived = replay.task(TaskId::from_u128(11)).unwrap();
    assert_eq!((revived.state, revived.retry_count, revived.attempt), (State::Pending, 0, 2));
}

#[test]
fn nested_parents_and_open_fan_outs_are_replayed() {
    let nested = EventBody::TaskFannedOut {
        first: 1,
        last: 2,
        first_id: TaskId::from_u128(20),
        parents: vec![(2, 4)],
    };
    let open = EventBody::TaskCreated {
        index: 1,
        parent: None,
        fanout: Some(FanoutSize::Open),
        policy: Policy::Fail,
        has_join: false,
    };
    let replay = History::default()
        .run(run_created())
        .task(2, open)
        .task(2, nested)
        .task(21, fanned_out(1, 4, 30))
        .task(2, EventBody::TaskSealed { total: 2 })
        .replay()
        .unwrap();
    let counts = |id| replay.task(TaskId::from_u128(id)).unwrap().child_counts();
    assert_eq!(counts(2), Some(ChildCounts { created: 2, open: 2, ..ChildCounts::sealed(2) }));
    assert_eq!(counts(20), None);
    assert_eq!(counts(21), Some(ChildCounts { created: 4, open: 4, ..ChildCounts::sealed(4) }));
    assert_eq!(replay.run(RunId::from_u128(RUN)).unwrap().status.counts.total, None);
}

#[test]
fn imported_history_begins_with_imported_state() {
    let counts = ChildCounts { created: 1, open: 1, ..ChildCounts::sealed(1) };
    let state_counts = StateCounts { failed: 1, ..StateCounts::default() };
    let replay = History::default()
        .run(EventBody::RunAdopted { state: State::Running, child_counts: counts, state_counts })
        .task(
            2,
            EventBody::TaskAdopted {
                parent: None,
                index: 1,
                state: State::Failed,
                retry_scheduled: true,
                retry_count: 1,
                attempt: 2,
                child_counts: None,
            },
        )
        .task(2, EventBody::Legacy { id: "1".into(), name: "task.failed".into(), payload: None })
        .run(EventBody::Legacy { id: "2".into(), name: "run.created".into(), payload: None })
        .task(2, EventBody::TaskRetried)
        .replay()
        .unwrap();
    let run = replay.run(RunId::from_u128(RUN)).unwrap();
    assert_eq!((run.state_counts.pending, run.state_counts.failed, run.status.counts), (1, 0, counts));
    assert_eq!(replay.task(TaskId::from_u128(2)).unwrap().retry_count, 2);
}

#[test]
fn illegal_transition_is_rejected_at_its_event() {
    let not = |signal: &str, state: &str| format!("{signal} is not possible in state {state}");
    history().task(2, EventBody::TaskSucceeded).assert_last_rejected(&not("succeed", "PENDING"));
    history().task(2, EventBody::TaskRetried).assert_last_rejected(&not("retry", "PENDING"));
    history().run(EventBody::RunStarted).assert_last_rejected(&not("start", "RUNNING"));
    history().task(3, EventBody::TaskReleased).assert_last_rejected(&not("release", "RUNNING"));
    let done = || history().task(2, EventBody::TaskStarted).task(2, EventBody::TaskSucceeded);
    for (body, signal) in [
        (EventBody::TaskStarted, "start"),
        (failed(false), "fail"),
        (EventBody::TaskCancelled { reason: None }, "cancel"),
        (EventBody::TaskRevived, "revive"),
    ] {
        done().task(2, body).assert_last_rejected(&not(signal, "SUCCEEDED"));
    }
    let waiting = history().task(2, EventBody::TaskStarted).task(2, failed(true));
    waiting
        .task(2, EventBody::TaskRevived)
        .assert_last_rejected("revive is not possible in state FAILED with a retry scheduled");
    let error = done().task(2, EventBody::TaskStarted).replay().unwrap_err().to_string();
    assert_eq!(error, "event 11 (task.started): start is not possible in state SUCCEEDED");
}

#[test]
fn event_of_missing_or_wrong_target_is_rejected() {
    let id = |bits| TaskId::from_u128(bits);
    history()
        .task(99, EventBody::TaskStarted)
        .assert_last_rejected(&format!("task {} does not exist", id(99)));
    history().task(2, EventBody::RunStarted).assert_last_rejected("not an event of a task");
    history().run(EventBody::TaskStarted).assert_last_rejected("not an event of a run");
    let pending = aggregated(State::Pending);
    history().task(3, pending).assert_last_rejected("settled as PENDING, but Wait follows");
    let none = RunId::from_u128(RUN);
    History::default().run(EventBody::RunStarted).assert_last_rejected(&format!("run {none} does not exist"));
    History::default().task(2, created(1)).assert_last_rejected(&format!("run {none} does not exist"));
    history().run(run_created()).assert_last_rejected(&format!("run {none} already exists"));
    let twice = History::default().run(run_created()).task(2, created(1)).task(2, created(2));
    twice.assert_last_rejected(&format!("task {} already exists", id(2)));
    history().task(2, EventBody::TaskSealed { total: 1 }).assert_last_rejected("a leaf cannot be sealed");
}

#[test]
fn child_out_of_order_or_bounds_is_rejected() {
    let base = || {
        History::default()
            .run(run_created())
            .run(EventBody::RunSealed { total: 2 })
            .task(2, created(1))
            .task(3, parent(2, 3))
    };
    base()
        .task(4, created(3))
        .assert_last_rejected("child 3 is created, but its parent is sealed with 2 children");
    base().task(4, created(1)).assert_last_rejected("child 1 is created, but the next index is 3");
    base().task(3, fanned_out(2, 3, 10)).assert_last_rejected("child 2 is created, but the next index is 1");
    base()
        .task(3, fanned_out(1, 4, 10))
        .assert_last_rejected("child 4 is created, but its parent is sealed with 3 children");
    base()
        .task(3, fanned_out(3, 1, 10))
        .assert_last_rejected("children 3 to 1 do not match the created children");
    base().task(2, fanned_out(1, 1, 10)).assert_last_rejected("a leaf cannot have children");
    base().task(3, fanned_out(0, 3, 10)).assert_last_rejected("child 0 is created, but the next index is 1");
    // The ids of the children exceed the largest id.
    base()
        .task(3, fanned_out(1, 3, u128::MAX - 1))
        .assert_last_rejected("children 1 to 3 do not match the created children");
    base().task(3, fanned_out(1, 3, u128::MAX - 2)).replay().unwrap();
    let elsewhere =
        EventBody::TaskFannedOut { first: 1, last: 2, first_id: TaskId::from_u128(9), parents: vec![(3, 1)] };
    base().task(3, elsewhere).assert_last_rejected("children 1 to 2 do not match the created children");
    base()
        .task(3, cancel_requested(CancelCause::Requested))
        .task(3, fanned_out(1, 1, 10))
        .assert_last_rejected("child 1 is created, but its parent is being cancelled");
    base()
        .task(3, cancel_requested(CancelCause::Requested))
        .task(3, aggregated(State::Cancelled))
        .task(3, fanned_out(1, 1, 10))
        .assert_last_rejected("child 1 is created, but its parent is CANCELLED");
}

#[test]
fn second_or_smaller_seal_is_rejected() {
    let again = EventBody::RunSealed { total: 2 };
    history().run(again).assert_last_rejected("already sealed with 2 children");
    let again = EventBody::TaskSealed { total: 3 };
    history().task(3, again).assert_last_rejected("already sealed with 3 children");
    let open = EventBody::TaskCreated {
        index: 1,
        parent: None,
        fanout: Some(FanoutSize::Open),
        policy: Policy::Fail,
        has_join: false,
    };
    let history = History::default().run(run_created()).task(2, open).task(2, fanned_out(1, 2, 10));
    history
        .task(2, EventBody::TaskSealed { total: 1 })
        .assert_last_rejected("sealed with 1 children, but has 2");
}

#[test]
fn leaf_event_on_parent_is_rejected() {
    let follows = "a parent's state follows from its children";
    history().task(3, EventBody::TaskSucceeded).assert_last_rejected(follows);
    history().task(3, failed(true)).assert_last_rejected(follows);
    // A parent with an unreadable input fails permanently.
    history().task(3, failed(false)).replay().unwrap();
    let started = history().task(2, EventBody::TaskStarted);
    started.task(2, aggregated(State::Succeeded)).assert_last_rejected("a leaf has no children");
}

#[test]
fn second_run_or_import_of_task_is_rejected() {
    let mut two = history();
    two.push(7, None, run_created());
    two.push(7, Some(2), EventBody::TaskStarted);
    let (task, run) = (TaskId::from_u128(2), RunId::from_u128(RUN));
    two.assert_last_rejected(&format!("task {task} belongs to run {run}"));

    let state = State::Pending;
    let adopted = EventBody::TaskAdopted {
        parent: None,
        index: 1,
        state,
        retry_scheduled: false,
        retry_count: 0,
        attempt: 0,
        child_counts: None,
    };
    history().task(2, adopted).assert_last_rejected(&format!("task {task} already exists"));
    let adopted = EventBody::RunAdopted {
        state,
        child_counts: ChildCounts::open(),
        state_counts: StateCounts::default(),
    };
    history().run(adopted).assert_last_rejected(&format!("run {run} already exists"));
}

fn cancel_requested(cause: CancelCause) -> EventBody {
    EventBody::TaskCancelRequested { cause, reason: None }
}

fn swept(children: &[(u32, u32)]) -> EventBody {
    EventBody::TaskSwept { children: children.to_vec() }
}

#[test]
fn sweep_cancels_leaves_and_requests_parent_cancel() {
    let history = history()
        .task(2, EventBody::TaskStarted)
        .run(EventBody::RunCancelRequested { cause: CancelCause::Deadline, reason: None })
        .run(EventBody::RunSwept { children: vec![(1, 2)] })
        .task(11, EventBody::TaskStarted)
        .task(11, EventBody::TaskSucceeded)
        .task(3, swept(&[(1, 1), (3, 3)]));
    let replay = history.replay().unwrap();
    let state = |id| replay.task(TaskId::from_u128(id)).unwrap().state;
    assert_eq!(
        [2, 3, 10, 11, 12].map(state),
        [State::Cancelled, State::Running, State::Cancelled, State::Succeeded, State::Cancelled]
    );
    let parent = replay.task(TaskId::from_u128(3)).unwrap().status.unwrap();
    assert_eq!(
        (parent.cancel_cause, parent.counts.open, parent.counts.cancelled),
        (Some(CancelCause::Ancestor), 0, 2)
    );
    let end = EventBody::RunAggregated { state: State::Cancelled };
    let whole = history.task(3, aggregated(State::Cancelled)).run(end);
    assert_eq!(whole.replay().unwrap().run(RunId::from_u128(RUN)).unwrap().state, State::Cancelled);
    let too_early = self::history()
        .task(3, cancel_requested(CancelCause::Requested))
        .task(3, aggregated(State::Cancelled));
    too_early.assert_last_rejected("settled as CANCELLED, but Wait follows");
    let unknown = self::history().task(3, cancel_requested(CancelCause::Requested)).task(3, swept(&[(4, 4)]));
    unknown.assert_last_rejected("child 4 is swept, but does not exist");
    let twice = self::history()
        .task(3, cancel_requested(CancelCause::Requested))
        .task(3, cancel_requested(CancelCause::Ancestor));
    twice.assert_last_rejected("cancelled, but it is settled or already being cancelled");
    let tolerant = self::history().task(3, cancel_requested(CancelCause::FailFast));
    tolerant.assert_last_rejected("cancelled by fail-fast, but its policy does not require it");
}

fn join(parent: Option<u128>) -> EventBody {
    let parent = parent.map(TaskId::from_u128);
    EventBody::TaskCreated { index: 0, parent, fanout: None, policy: Policy::Fail, has_join: false }
}

/// A run with a join and a parent (3) with a join, whose only child (10) is created.
fn history_with_joins() -> History {
    let parent = EventBody::TaskCreated {
        index: 1,
        parent: None,
        fanout: Some(FanoutSize::Fixed(1)),
        policy: Policy::Ignore,
        has_join: true,
    };
    History::default()
        .run(EventBody::RunCreated { policy: Policy::Fail, has_join: true })
        .task(3, parent)
        .run(EventBody::RunSealed { total: 1 })
        .run(EventBody::RunStarted)
        .task(3, EventBody::TaskStarted)
        .task(3, fanned_out(1, 1, 10))
}

/// The same; the child has failed, which the policy ignores.
fn history_ready_to_join() -> History {
    history_with_joins().task(10, EventBody::TaskStarted).task(10, failed(false))
}

/// The same; the join (20) of the parent is running.
fn history_with_running_join() -> History {
    history_ready_to_join().task(20, join(Some(3))).task(20, EventBody::TaskStarted)
}

#[test]
fn join_starts_after_children_and_settles_parent() {
    let too_early = "the join is created too early, or twice";
    history_with_joins().task(20, join(Some(3))).assert_last_rejected(too_early);
    history_ready_to_join()
        .task(3, aggregated(State::Succeeded))
        .assert_last_rejected("settled as SUCCEEDED, but StartJoin follows");
    history_with_running_join().task(21, join(Some(3))).assert_last_rejected(too_early);
    let ended =
        history_with_running_join().task(20, EventBody::TaskSucceeded).task(3, aggregated(State::Succeeded));
    let replay = ended.replay().unwrap();
    let run = replay.run(RunId::from_u128(RUN)).unwrap();
    assert_eq!(
        run.state_counts,
        StateCounts { failed: 1, succeeded: 1, ..StateCounts::default() },
        "the join is not counted by state"
    );
    assert_eq!(
        replay.task(TaskId::from_u128(3)).unwrap().child_counts().unwrap().created,
        1,
        "the join is not counted as child"
    );
}

#[test]
fn revived_join_reopens_and_settles_parent() {
    // A failed join fails its parent. Reviving the join reopens the parent.
    let reopened = || {
        history_with_running_join()
            .task(20, failed(false))
            .task(3, aggregated(State::Failed))
            .task(3, EventBody::TaskReopened)
    };
    let too_early = reopened().task(10, EventBody::TaskRevived).task(20, EventBody::TaskRevived);
    too_early.assert_last_rejected("the join is revived too early");
    let again = reopened()
        .task(20, EventBody::TaskRevived)
        .task(20, EventBody::TaskStarted)
        .task(20, EventBody::TaskSucceeded)
        .task(3, aggregated(State::Succeeded))
        .task(30, join(None))
        .task(30, EventBody::TaskCancelled { reason: None })
        .run(EventBody::RunAggregated { state: State::Cancelled });
    assert_eq!(again.replay().unwrap().run(RunId::from_u128(RUN)).unwrap().state, State::Cancelled);
}
