//! Append: children that arrive one call after the other, each once, without a gap.

use crate::World;
use crate::harness::json_of;
use conductor_model::{ChildCounts, IdBlock, MAX_TASKS, RunDraft, RunId, State, TaskDraft, TaskId};
use conductor_store::{Append, AppendError, NodeId};
use serde_json::json;

pub fn appended_items_are_child_inputs(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    let done = world.append(parent, 1, &[r#""a""#, "null"]).expect("an append");
    assert_eq!((done.created, done.next_index), (2, 3));
    let done = world.append(parent, 3, &["[3]"]).expect("an append");
    assert_eq!((done.created, done.next_index), (1, 4));
    assert_eq!(world.inputs(parent), [r#""a""#, "null", "[3]"]);
    let names: Vec<_> = world.children(parent).into_iter().map(|child| child.name.to_string()).collect();
    assert_eq!(names, ["P#1", "P#2", "P#3"]);
}

pub fn long_append_gives_each_child_its_item(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    let item = |n: u32| if n.is_multiple_of(97) { format!(r#"{{"fanout":{n}}}"#) } else { n.to_string() };
    let items: Vec<String> = (1..=600).map(item).collect();
    let texts: Vec<&str> = items.iter().map(String::as_str).collect();
    let done = world.append(parent, 1, &texts).expect("an append");
    assert_eq!((done.created, done.next_index), (600, 601));
    assert_eq!(world.inputs(parent), items);
    for (n, child) in (1..).zip(world.children(parent)) {
        assert_eq!((child.index, child.name.to_string()), (n, format!("P#{n}")));
        assert_eq!((child.state, child.child_counts), (State::Pending, None), "{}", child.name);
    }
}

pub fn fanout_in_appended_item_is_ignored(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &[r#"{"fanout": 3}"#, r#"{"fanout": 0}"#]).expect("an append");
    assert_eq!(world.fan_out(), 0);
    assert_eq!(world.inputs(parent), [r#"{"fanout": 3}"#, r#"{"fanout": 0}"#]);
    assert!(world.children(parent).iter().all(|child| child.child_counts.is_none()));
}

pub fn first_append_starts_parent_and_run(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    assert_eq!((world.state(parent), world.run_state(run)), (State::Pending, State::Pending));
    world.append(parent, 1, &["1"]).expect("an append");
    assert_eq!((world.state(parent), world.run_state(run)), (State::Running, State::Running));
}

pub fn children_run_while_more_arrive(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1"]).expect("an append");
    world.succeed(world.children(parent)[0].id);
    assert_eq!(world.aggregate(), (0, 0), "nothing is decided before the seal");
    world.append(parent, 2, &["2"]).expect("an append");
    world.succeed(world.children(parent)[1].id);
    world.seal(parent, 2).expect("a seal");
    assert_eq!(world.aggregate(), (1, 1));
    assert_eq!(world.state(parent), State::Succeeded);
}

pub fn gap_is_rejected_with_expected_index(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    let refused = world.writes_nothing(|| world.append(parent, 2, &["2"]));
    assert!(matches!(refused, Err(AppendError::IndexGap { given: 2, expected: 1 })), "{refused:?}");
    world.append(parent, 1, &["1", "2"]).expect("an append");
    let refused = world.writes_nothing(|| world.append(parent, u32::MAX, &["4"]));
    assert!(matches!(refused, Err(AppendError::IndexGap { given: u32::MAX, expected: 3 })), "{refused:?}");
}

pub fn repeated_append_adds_nothing(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1", "2"]).expect("an append");
    world.pass_ms(1000);
    let again = world.writes_nothing(|| world.append(parent, 1, &["1", "2"])).expect("an answer");
    assert_eq!((again.created, again.next_index), (0, 3));
}

pub fn overlapping_append_adds_rest(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1", "2"]).expect("an append");
    let rest = world.append(parent, 2, &["2", "3", "4"]).expect("an append");
    assert_eq!((rest.created, rest.next_index), (2, 5));
    assert_eq!(world.inputs(parent), ["1", "2", "3", "4"]);
}

pub fn empty_append_returns_next_index(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1", "2"]).expect("an append");
    let nothing = world.writes_nothing(|| world.append(parent, 3, &[])).expect("an answer");
    assert_eq!((nothing.created, nothing.next_index), (0, 3));
}

pub fn append_to_sealed_parent_is_rejected(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1"]).expect("an append");
    world.seal(parent, 1).expect("a seal");
    let refused = world.writes_nothing(|| world.append(parent, 2, &["2"]));
    let sealed = matches!(refused, Err(AppendError::Sealed(NodeId::Task(sealed))) if sealed == parent);
    assert!(sealed, "{refused:?}");
}

pub fn repeated_append_succeeds_after_seal_and_settlement(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    world.append(parent, 1, &["1"]).expect("an append");
    world.seal(parent, 1).expect("a seal");
    let again = world.writes_nothing(|| world.append(parent, 1, &["1"])).expect("an answer");
    assert_eq!((again.created, again.next_index), (0, 2));
    world.succeed(world.children(parent)[0].id);
    world.settle();
    let again = world.writes_nothing(|| world.append(parent, 1, &["1"])).expect("an answer");
    assert_eq!((again.created, again.next_index), (0, 2));
}

pub fn append_to_settled_parent_is_rejected(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    world.seal(parent, 0).expect("a seal");
    world.settle();
    let refused = world.writes_nothing(|| world.append(parent, 1, &["1"]));
    assert!(matches!(refused, Err(AppendError::Sealed(_) | AppendError::AlreadySettled(_))), "{refused:?}");
    let refused = world.writes_nothing(|| world.append_tasks(run, 2, [TaskDraft::new("B")]));
    assert!(matches!(refused, Err(AppendError::Sealed(_) | AppendError::AlreadySettled(_))), "{refused:?}");
}

pub fn append_to_counted_fan_out_is_rejected(world: &World<'_>) {
    let (_, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": 2})));
    let refused = world.writes_nothing(|| world.append(parent, 1, &["1"]));
    assert!(matches!(refused, Err(AppendError::Sealed(_))), "{refused:?}");
}

pub fn append_to_leaf_is_rejected(world: &World<'_>) {
    let (_, leaf) = world.leaf();
    let refused = world.writes_nothing(|| world.append(leaf, 1, &["1"]));
    assert!(matches!(refused, Err(AppendError::NotAParent(task)) if task == leaf), "{refused:?}");
}

pub fn append_to_unknown_node_is_rejected(world: &World<'_>) {
    let (task, run) = (TaskId::from_u128(1), RunId::from_u128(1));
    let refused = world.writes_nothing(|| world.append(task, 1, &["1"]));
    assert!(matches!(refused, Err(AppendError::NotFound(NodeId::Task(id))) if id == task), "{refused:?}");
    let refused = world.writes_nothing(|| world.append_tasks(run, 1, [TaskDraft::new("A")]));
    assert!(matches!(refused, Err(AppendError::NotFound(NodeId::Run(id))) if id == run), "{refused:?}");
}

pub fn append_from_index_zero_is_rejected(world: &World<'_>) {
    let (run, parent) = world.open_parent();
    let refused = world.writes_nothing(|| world.append(parent, 0, &["1"]));
    assert!(matches!(refused, Err(AppendError::IndexZero)), "{refused:?}");
    let refused = world.writes_nothing(|| world.append_tasks(run, 0, [TaskDraft::new("A")]));
    assert!(matches!(refused, Err(AppendError::IndexZero)), "{refused:?}");
}

pub fn append_with_too_few_ids_is_rejected(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    let items = vec![json_of("1"), json_of("2")];
    let request = Append::Items { parent, first_index: 1, items, now: world.now(), ids: one_id(world) };
    let refused = world.writes_nothing(|| world.store().append(&request));
    assert!(matches!(refused, Err(AppendError::TooFewIds(1))), "{refused:?}");
    let run = world.submit(&RunDraft::new().open());
    let tasks = ["A", "B"].map(|name| TaskDraft::new(name).validate().expect("a task")).into();
    let request = Append::Tasks { run, first_index: 1, tasks, now: world.now(), ids: one_id(world) };
    let refused = world.writes_nothing(|| world.store().append(&request));
    assert!(matches!(refused, Err(AppendError::TooFewIds(1))), "{refused:?}");
}

fn one_id(world: &World<'_>) -> IdBlock {
    world.env().ids(1)
}

pub fn oversized_append_is_rejected(world: &World<'_>) {
    let (_, parent) = world.open_parent();
    let items = vec![json_of("0"); MAX_TASKS + 1];
    let request = Append::items(parent, 1, items, world.env());
    let refused = world.writes_nothing(|| world.store().append(&request));
    let too_many = matches!(
        refused,
        Err(AppendError::TooMany { len: given, max: MAX_TASKS, at_once: true }) if given == MAX_TASKS + 1
    );
    assert!(too_many, "{refused:?}");
}

pub fn root_tasks_are_appended_to_open_run(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open().task(TaskDraft::new("A")));
    let more = [TaskDraft::new("B").input(json!({"fanout": 2})), TaskDraft::new("C").priority(4)];
    let done = world.append_tasks(run, 2, more).expect("an append");
    assert_eq!((done.created, done.next_index), (2, 4));
    let roots = world.roots(run);
    let places: Vec<_> = roots.iter().map(|task| (task.index, task.name.as_str())).collect();
    assert_eq!(places, [(1, "A"), (2, "B"), (3, "C")]);
    assert_eq!((world.fan_out(), roots[2].priority), (2, 4));
    let numbers = ChildCounts { total: None, created: 3, open: 3, failed: 0, cancelled: 0 };
    assert_eq!(world.run(run).child_counts, numbers);
}

pub fn repeated_root_tasks_are_appended_once(world: &World<'_>) {
    let run = world.submit(&RunDraft::new().open());
    let tasks = || ["A", "B"].map(TaskDraft::new);
    world.append_tasks(run, 1, tasks()).expect("an append");
    let again = world.writes_nothing(|| world.append_tasks(run, 1, tasks())).expect("an answer");
    assert_eq!((again.created, again.next_index), (0, 3));
    let rest = world.append_tasks(run, 2, ["B", "C"].map(TaskDraft::new)).expect("an append");
    assert_eq!((rest.created, rest.next_index), (1, 4));
    let refused = world.writes_nothing(|| world.append_tasks(run, 5, tasks()));
    assert!(matches!(refused, Err(AppendError::IndexGap { given: 5, expected: 4 })), "{refused:?}");
}

pub fn root_tasks_for_sealed_run_are_rejected(world: &World<'_>) {
    let (run, _) = world.leaf();
    let refused = world.writes_nothing(|| world.append_tasks(run, 2, [TaskDraft::new("B")]));
    assert!(matches!(refused, Err(AppendError::Sealed(NodeId::Run(id))) if id == run), "{refused:?}");
}

pub fn taken_task_id_rejects_whole_append(world: &World<'_>) {
    let (_, taken) = world.leaf();
    let run = world.submit(&RunDraft::new().open());
    let tasks = || [TaskDraft::new("B"), TaskDraft::new("C").id(taken)];
    let refused = world.writes_nothing(|| world.append_tasks(run, 1, tasks()));
    assert!(matches!(refused, Err(AppendError::TaskIdTaken(id)) if id == taken), "{refused:?}");
}
