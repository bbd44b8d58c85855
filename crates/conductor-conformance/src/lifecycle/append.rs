//! Append: children are added by several calls, each once, without gaps.

use crate::Harness;
use crate::harness::json_of;
use conductor_model::{ChildCounts, IdBlock, MAX_TASKS, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{Append, AppendError, NodeId};
use serde_json::json;

pub fn appended_items_are_child_inputs(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    let done = harness.append(parent, 1, &[r#""a""#, "null"]).expect("append succeeds");
    assert_eq!((done.created, done.next_index), (2, 3));
    let done = harness.append(parent, 3, &["[3]"]).expect("append succeeds");
    assert_eq!((done.created, done.next_index), (1, 4));
    assert_eq!(harness.child_inputs(parent), [r#""a""#, "null", "[3]"]);
    let names: Vec<_> = harness.children(parent).into_iter().map(|child| child.name.to_string()).collect();
    assert_eq!(names, ["P#1", "P#2", "P#3"]);
}

pub fn long_append_gives_each_child_its_item(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    let item = |n: u32| if n.is_multiple_of(97) { format!(r#"{{"fanout":{n}}}"#) } else { n.to_string() };
    let items: Vec<String> = (1..=600).map(item).collect();
    let texts: Vec<&str> = items.iter().map(String::as_str).collect();
    let done = harness.append(parent, 1, &texts).expect("append succeeds");
    assert_eq!((done.created, done.next_index), (600, 601));
    assert_eq!(harness.child_inputs(parent), items);
    for (n, child) in (1..).zip(harness.children(parent)) {
        assert_eq!((child.index, child.name.to_string()), (n, format!("P#{n}")));
        assert_eq!((child.state, child.child_counts), (State::Pending, None), "{}", child.name);
    }
}

pub fn fanout_in_appended_item_is_ignored(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &[r#"{"fanout": 3}"#, r#"{"fanout": 0}"#]).expect("append succeeds");
    assert_eq!(harness.fan_out(), 0);
    assert_eq!(harness.child_inputs(parent), [r#"{"fanout": 3}"#, r#"{"fanout": 0}"#]);
    assert!(harness.children(parent).iter().all(|child| child.child_counts.is_none()));
}

pub fn first_append_starts_parent_and_run(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Pending, State::Pending));
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Running, State::Running));
}

pub fn children_run_while_more_arrive(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    harness.succeed(harness.children(parent)[0].id);
    assert_eq!(harness.aggregate(), (0, 0), "the parent is decided only after the seal");
    harness.append(parent, 2, &["2"]).expect("append succeeds");
    harness.succeed(harness.children(parent)[1].id);
    harness.seal(parent, 2).expect("seal succeeds");
    assert_eq!(harness.aggregate(), (1, 1));
    assert_eq!(harness.state(parent), State::Succeeded);
}

pub fn gap_is_rejected_with_expected_index(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    let rejected = harness.writes_nothing(|| harness.append(parent, 2, &["2"]));
    assert!(matches!(rejected, Err(AppendError::IndexGap { given: 2, expected: 1 })), "{rejected:?}");
    harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
    let rejected = harness.writes_nothing(|| harness.append(parent, u32::MAX, &["4"]));
    assert!(matches!(rejected, Err(AppendError::IndexGap { given: u32::MAX, expected: 3 })), "{rejected:?}");
}

pub fn repeated_append_adds_nothing(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
    harness.advance_ms(1000);
    let again = harness.writes_nothing(|| harness.append(parent, 1, &["1", "2"])).expect("query succeeds");
    assert_eq!((again.created, again.next_index), (0, 3));
}

pub fn overlapping_append_adds_rest(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
    let rest = harness.append(parent, 2, &["2", "3", "4"]).expect("append succeeds");
    assert_eq!((rest.created, rest.next_index), (2, 5));
    assert_eq!(harness.child_inputs(parent), ["1", "2", "3", "4"]);
}

pub fn empty_append_returns_next_index(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1", "2"]).expect("append succeeds");
    let nothing = harness.writes_nothing(|| harness.append(parent, 3, &[])).expect("query succeeds");
    assert_eq!((nothing.created, nothing.next_index), (0, 3));
}

pub fn append_to_sealed_parent_is_rejected(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    harness.seal(parent, 1).expect("seal succeeds");
    let rejected = harness.writes_nothing(|| harness.append(parent, 2, &["2"]));
    let sealed = matches!(rejected, Err(AppendError::Sealed(NodeId::Task(sealed))) if sealed == parent);
    assert!(sealed, "{rejected:?}");
}

pub fn repeated_append_succeeds_after_seal_and_settlement(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    harness.append(parent, 1, &["1"]).expect("append succeeds");
    harness.seal(parent, 1).expect("seal succeeds");
    let again = harness.writes_nothing(|| harness.append(parent, 1, &["1"])).expect("query succeeds");
    assert_eq!((again.created, again.next_index), (0, 2));
    harness.succeed(harness.children(parent)[0].id);
    harness.run_all_steps();
    let again = harness.writes_nothing(|| harness.append(parent, 1, &["1"])).expect("query succeeds");
    assert_eq!((again.created, again.next_index), (0, 2));
}

pub fn append_to_settled_parent_is_rejected(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    harness.seal(parent, 0).expect("seal succeeds");
    harness.run_all_steps();
    let rejected = harness.writes_nothing(|| harness.append(parent, 1, &["1"]));
    assert!(matches!(rejected, Err(AppendError::Sealed(_) | AppendError::AlreadySettled(_))), "{rejected:?}");
    let rejected = harness.writes_nothing(|| harness.append_tasks(run, 2, [TaskDraft::new("B")]));
    assert!(matches!(rejected, Err(AppendError::Sealed(_) | AppendError::AlreadySettled(_))), "{rejected:?}");
}

pub fn append_to_counted_fan_out_is_rejected(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})));
    let rejected = harness.writes_nothing(|| harness.append(parent, 1, &["1"]));
    assert!(matches!(rejected, Err(AppendError::Sealed(_))), "{rejected:?}");
}

pub fn append_to_leaf_is_rejected(harness: &Harness<'_>) {
    let (_, leaf) = harness.submit_leaf();
    let rejected = harness.writes_nothing(|| harness.append(leaf, 1, &["1"]));
    assert!(matches!(rejected, Err(AppendError::NotAParent(task)) if task == leaf), "{rejected:?}");
}

pub fn append_to_unknown_node_is_rejected(harness: &Harness<'_>) {
    let (task, run) = (TaskId::from_u128(1), RunId::from_u128(1));
    let rejected = harness.writes_nothing(|| harness.append(task, 1, &["1"]));
    assert!(matches!(rejected, Err(AppendError::NotFound(NodeId::Task(id))) if id == task), "{rejected:?}");
    let rejected = harness.writes_nothing(|| harness.append_tasks(run, 1, [TaskDraft::new("A")]));
    assert!(matches!(rejected, Err(AppendError::NotFound(NodeId::Run(id))) if id == run), "{rejected:?}");
}

pub fn append_from_index_zero_is_rejected(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_open_parent();
    let rejected = harness.writes_nothing(|| harness.append(parent, 0, &["1"]));
    assert!(matches!(rejected, Err(AppendError::IndexZero)), "{rejected:?}");
    let rejected = harness.writes_nothing(|| harness.append_tasks(run, 0, [TaskDraft::new("A")]));
    assert!(matches!(rejected, Err(AppendError::IndexZero)), "{rejected:?}");
}

pub fn append_with_too_few_ids_is_rejected(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    let items = vec![json_of("1"), json_of("2")];
    let request = Append::Items { parent, first_index: 1, items, now: harness.now(), ids: one_id(harness) };
    let rejected = harness.writes_nothing(|| harness.store().append(&request));
    assert!(matches!(rejected, Err(AppendError::TooFewIds(1))), "{rejected:?}");
    let run = harness.submit(&RunDraft::new().open());
    let tasks = ["A", "B"].map(|name| TaskDraft::new(name).validate().expect("task is valid")).into();
    let request = Append::Tasks { run, first_index: 1, tasks, now: harness.now(), ids: one_id(harness) };
    let rejected = harness.writes_nothing(|| harness.store().append(&request));
    assert!(matches!(rejected, Err(AppendError::TooFewIds(1))), "{rejected:?}");
}

fn one_id(harness: &Harness<'_>) -> IdBlock {
    harness.env().ids(1)
}

pub fn oversized_append_is_rejected(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_open_parent();
    let items = vec![json_of("0"); MAX_TASKS + 1];
    let request = Append::items(parent, 1, items, harness.env());
    let rejected = harness.writes_nothing(|| harness.store().append(&request));
    let too_many = matches!(
        rejected,
        Err(AppendError::TooMany { len: given, max: MAX_TASKS, at_once: true }) if given == MAX_TASKS + 1
    );
    assert!(too_many, "{rejected:?}");
}

pub fn root_tasks_are_appended_to_open_run(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    let more = [TaskDraft::new("B").input(json!({"fanout": 2})), TaskDraft::new("C").priority(4)];
    let done = harness.append_tasks(run, 2, more).expect("append succeeds");
    assert_eq!((done.created, done.next_index), (2, 4));
    let roots = harness.roots(run);
    let places: Vec<_> = roots.iter().map(|task| (task.index, task.name.as_str())).collect();
    assert_eq!(places, [(1, "A"), (2, "B"), (3, "C")]);
    assert_eq!((harness.fan_out(), roots[2].priority), (2, 4));
    let counts = ChildCounts { total: None, created: 3, open: 3, failed: 0, cancelled: 0 };
    assert_eq!(harness.run(run).child_counts, counts);
}

pub fn repeated_root_tasks_are_appended_once(harness: &Harness<'_>) {
    let run = harness.submit(&RunDraft::new().open());
    let tasks = || ["A", "B"].map(TaskDraft::new);
    harness.append_tasks(run, 1, tasks()).expect("append succeeds");
    let again = harness.writes_nothing(|| harness.append_tasks(run, 1, tasks())).expect("query succeeds");
    assert_eq!((again.created, again.next_index), (0, 3));
    let rest = harness.append_tasks(run, 2, ["B", "C"].map(TaskDraft::new)).expect("append succeeds");
    assert_eq!((rest.created, rest.next_index), (1, 4));
    let rejected = harness.writes_nothing(|| harness.append_tasks(run, 5, tasks()));
    assert!(matches!(rejected, Err(AppendError::IndexGap { given: 5, expected: 4 })), "{rejected:?}");
}

pub fn root_tasks_for_sealed_run_are_rejected(harness: &Harness<'_>) {
    let (run, _) = harness.submit_leaf();
    let rejected = harness.writes_nothing(|| harness.append_tasks(run, 2, [TaskDraft::new("B")]));
    assert!(matches!(rejected, Err(AppendError::Sealed(NodeId::Run(id))) if id == run), "{rejected:?}");
}

pub fn taken_task_id_rejects_whole_append(harness: &Harness<'_>) {
    let (_, taken) = harness.submit_leaf();
    let run = harness.submit(&RunDraft::new().open());
    let tasks = || [TaskDraft::new("B"), TaskDraft::new("C").id(taken)];
    let rejected = harness.writes_nothing(|| harness.append_tasks(run, 1, tasks()));
    assert!(matches!(rejected, Err(AppendError::TaskIdTaken(id)) if id == taken), "{rejected:?}");
}
