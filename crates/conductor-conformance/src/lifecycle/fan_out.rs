//! Fan-out: children are created by count or by item, once each, in bounded steps.

use crate::Harness;
use conductor_model::{Backoff, ChildCounts, IdBlock, RunId, State, Task, TaskDraft};
use conductor_store::{FanOut, RotationCursor, Scope, StoreError};
use serde_json::json;

fn names(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.name.as_str()).collect()
}

pub fn children_are_named_after_parent_and_index(harness: &Harness<'_>) {
    let (_, parent, _) = harness.family(3);
    let children = harness.children(parent);
    assert_eq!(names(&children), ["P#1", "P#2", "P#3"]);
    assert_eq!(children.iter().map(|child| child.index).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(children.iter().all(|child| child.parent == Some(parent) && child.state == State::Pending));
}

pub fn counted_child_inherits_input_without_fanout_key(harness: &Harness<'_>) {
    let (_, parent) =
        harness.submit_task(TaskDraft::new("P").input(json!({"width": 80, "fanout": 2, "to": null})));
    let (_, bare) = harness.submit_task(TaskDraft::new("Q").input(json!({"fanout": 1})));
    harness.fan_out();
    assert_eq!(harness.child_inputs(parent), [r#"{"to":null,"width":80}"#; 2]);
    assert_eq!(harness.child_inputs(bare), ["{}"]);
}

pub fn item_is_input_of_its_child(harness: &Harness<'_>) {
    let items = json!({"fanout": ["a.png", 2, null, {"deep": [1]}, [], false]});
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(items));
    assert_eq!(harness.fan_out(), 6);
    assert_eq!(harness.child_inputs(parent), [r#""a.png""#, "2", "null", r#"{"deep":[1]}"#, "[]", "false"]);
}

pub fn item_with_fanout_becomes_parent(harness: &Harness<'_>) {
    let items = json!({"fanout": [{"fanout": 2, "x": 1}, "leaf", {"fanout": [{"fanout": 1}]}]});
    let (run, parent) = harness.submit_task(TaskDraft::new("P").input(items));
    assert_eq!(harness.fan_out(), 7);
    let level = harness.children(parent);
    assert_eq!(
        level.iter().map(|child| child.child_counts.is_some()).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(harness.child_inputs(level[0].id), [r#"{"x":1}"#; 2]);
    let all = harness.tasks(run);
    let mut all = names(&all);
    all.sort_unstable();
    assert_eq!(all, ["P", "P#1", "P#1#1", "P#1#2", "P#2", "P#3", "P#3#1", "P#3#1#1"]);
}

pub fn step_that_creates_parent_reports_more(harness: &Harness<'_>) {
    harness.submit_task(TaskDraft::new("P").input(json!({"fanout": [{"fanout": 2}]})));
    assert!(harness.fan_out_step(Scope::All, 1).more, "no id is left for the children of P#1");
    let done = harness.fan_out_step(Scope::All, 100);
    assert_eq!((done.children, done.more), (2, false));
}

pub fn children_inherit_kind_retries_backoff_timeout_priority(harness: &Harness<'_>) {
    let backoff = Backoff::fixed(250).expect("backoff is valid");
    let draft = TaskDraft::new("P").kind("image").max_retries(9).backoff(backoff).timeout_ms(700).priority(5);
    let (_, parent) = harness.submit_task(draft.input(json!({"fanout": [1, {"fanout": 1}]})));
    harness.fan_out();
    let children = harness.children(parent);
    let grandchildren = harness.children(children[1].id);
    for child in children.iter().chain(&grandchildren) {
        assert_eq!(child.kind.as_str(), "image", "{}", child.name);
        assert_eq!((child.max_retries.get(), child.backoff, child.priority), (9, backoff, 5));
        assert_eq!(child.timeout_ms, Some(700));
        assert_eq!((child.attempt, child.retry_count, child.due_at), (0, 0, None));
    }
}

pub fn step_creates_one_child_per_id(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 5})));
    let done = harness.fan_out_step(Scope::All, 2);
    assert_eq!((done.parents, done.children, done.more), (1, 2, true));
    assert_eq!(names(&harness.children(parent)), ["P#1", "P#2"]);
    assert_eq!(
        harness.child_counts(parent),
        ChildCounts { total: Some(5), created: 2, open: 2, failed: 0, cancelled: 0 }
    );
}

pub fn step_continues_where_last_stopped(harness: &Harness<'_>) {
    let (_, parent) =
        harness.submit_task(TaskDraft::new("P").input(json!({"fanout": ["a", "b", "c", "d", "e"]})));
    let mut steps = Vec::new();
    while harness.child_counts(parent).created < 5 {
        steps.push(harness.fan_out_step(Scope::All, 2).children);
    }
    assert_eq!(steps, [2, 2, 1]);
    assert_eq!(names(&harness.children(parent)), ["P#1", "P#2", "P#3", "P#4", "P#5"]);
    assert_eq!(harness.child_inputs(parent), [r#""a""#, r#""b""#, r#""c""#, r#""d""#, r#""e""#]);
}

pub fn step_without_ids_creates_nothing(harness: &Harness<'_>) {
    harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 5})));
    let done = harness.writes_nothing(|| harness.fan_out_step(Scope::All, 0));
    // Another step without ids would not help, so that `more` is false.
    assert_eq!((done.children, done.more), (0, false));
}

pub fn repeated_fan_out_creates_nothing(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(3);
    harness.succeed(children[0]);
    assert_eq!(harness.writes_nothing(|| harness.fan_out()), 0);
    assert!(!harness.fan_out_step(Scope::All, 10).more);
}

pub fn fan_out_after_settlement_creates_nothing(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(2);
    for child in children {
        harness.fail_permanently(child);
    }
    harness.aggregate();
    assert_eq!(harness.writes_nothing(|| harness.fan_out()), 0);
}

pub fn one_step_serves_several_parents(harness: &Harness<'_>) {
    let (run, _) =
        harness.submit_tasks(["P", "Q", "R"].map(|name| TaskDraft::new(name).input(json!({"fanout": 2}))));
    let done = harness.fan_out_step(Scope::All, 6);
    assert_eq!((done.parents, done.children), (3, 6));
    assert_eq!(harness.run(run).state_counts.total(), 9);
}

pub fn large_fan_out_does_not_block_small_one(harness: &Harness<'_>) {
    let of = |children: u32| harness.submit_task(TaskDraft::new("P").input(json!({"fanout": children}))).1;
    let (large, small, last) = (of(10_000), of(3), of(50));
    let done = harness.fan_out_step(Scope::All, 99);
    assert_eq!((done.parents, done.children, done.more), (3, 33 + 3 + 50, true));
    // The small parents are complete, so that the next step serves the large one alone.
    let created = [large, small, last].map(|parent| harness.child_counts(parent).created);
    assert_eq!(created, [33, 3, 50]);
    assert_eq!(harness.fan_out_step(Scope::All, 99).children, 99);
    assert_eq!(harness.child_counts(large).created, 33 + 99);
}

pub fn parents_with_items_get_half_of_step(harness: &Harness<'_>) {
    let items = || harness.submit_task(TaskDraft::new("P").input(json!({"fanout": vec![(); 100]}))).1;
    let parents =
        [items(), items(), items(), harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 100}))).1];
    let created = || parents.map(|parent| harness.child_counts(parent).created);
    let mut cursor = RotationCursor::default();
    for expected in [[20, 20, 0, 0], [33, 20, 20, 7], [33, 40, 40, 7], [53, 50, 40, 17]] {
        cursor = harness.fan_out_from(cursor, Scope::All, 40).cursor;
        assert_eq!(created(), expected);
    }
}

pub fn large_inputs_shorten_step(harness: &Harness<'_>) {
    let input = json!({"fanout": 1, "text": "x".repeat(1_000_000)});
    let (_, roots) = harness.submit_tasks((0..20).map(|_| TaskDraft::new("P").input(&input)));
    let done = harness.fan_out_step(Scope::All, 1000);
    assert!((1..20).contains(&done.parents) && done.more, "{done:?}");
    harness.fan_out();
    assert!(roots.iter().all(|parent| harness.child_counts(*parent).created == 1));
}

pub fn nested_parent_counts_twice(harness: &Harness<'_>) {
    let nested = || json!({"fanout": 9});
    let (_, parent) =
        harness.submit_task(TaskDraft::new("P").input(json!({"fanout": [nested(), 0, nested(), 0, 0]})));
    // The outer parent gets all its children before the first nested parent gets one.
    for (limit, created) in [(1, 1), (3, 3), (3, 5)] {
        let _ = harness.fan_out_step(Scope::All, limit);
        assert_eq!(harness.child_counts(parent).created, created);
    }
    assert_eq!(harness.child_counts(harness.children(parent)[0].id).created, 1);
}

pub fn rotation_continues_after_last_run(harness: &Harness<'_>) {
    let parents: Vec<_> =
        (0..5).map(|_| harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 100}))).1).collect();
    let mut cursor = RotationCursor::default();
    for created in [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [2, 1, 1, 1, 1], [2, 2, 2, 1, 1]] {
        let done = harness.fan_out_from(cursor, Scope::All, 2);
        assert_eq!((done.children, done.more), (2, true));
        cursor = done.cursor;
        assert_eq!(
            parents.iter().map(|parent| harness.child_counts(*parent).created).collect::<Vec<_>>(),
            created
        );
    }
}

pub fn ids_follow_child_indices(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 4})));
    let mut ids = harness.env().ids(4);
    let step = FanOut { scope: Scope::All, now: harness.now(), ids, cursor: RotationCursor::default() };
    let _ = harness.store().fan_out(&step).expect("step succeeds");
    for child in harness.children(parent) {
        assert_eq!(Some(child.id), ids.take_task());
    }
}

pub fn parent_and_run_start_with_first_child(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 5})));
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Pending, State::Pending));
    let _ = harness.fan_out_step(Scope::All, 1);
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Running, State::Running));
}

pub fn children_have_timestamp_of_their_step(harness: &Harness<'_>) {
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})));
    harness.advance_ms(5000);
    harness.fan_out();
    let moments = harness.children(parent).into_iter().map(|child| (child.created_at, child.updated_at));
    assert!(moments.into_iter().all(|moments| moments == (harness.now(), harness.now())));
}

pub fn delayed_parent_waits_for_due_time(harness: &Harness<'_>) {
    let due = harness.now().plus_millis(1000);
    let (run, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})).due_at(due));
    harness.advance_ms(999);
    harness.writes_nothing(|| harness.run_all_steps());
    assert_eq!((harness.state(parent), harness.run_state(run)), (State::Pending, State::Pending));
    harness.advance_ms(1);
    assert_eq!((harness.promote(), harness.fan_out()), (1, 2));
}

pub fn scope_of_one_run_excludes_others(harness: &Harness<'_>) {
    let (one, _) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})));
    let (_, other) = harness.submit_task(TaskDraft::new("Q").input(json!({"fanout": 2})));
    assert_eq!(harness.fan_out_step(Scope::Run(one), 100).children, 2);
    assert!(!harness.fan_out_step(Scope::Run(one), 100).more);
    assert_eq!(harness.state(other), State::Pending);
}

pub fn unknown_run_is_rejected_by_every_step(harness: &Harness<'_>) {
    harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2})));
    let (store, run) = (harness.store(), RunId::from_u128(1));
    let step = harness.bounded_step(Scope::Run(run), 100);
    let fan_out = FanOut {
        scope: step.scope,
        now: step.now,
        ids: harness.env().ids(100),
        cursor: RotationCursor::default(),
    };
    harness.writes_nothing(|| {
        let rejected = [
            store.fan_out(&fan_out).map(|_| ()),
            store.aggregate(&step).map(|_| ()),
            store.retry(&step).map(|_| ()),
            store.promote(&step).map(|_| ()),
        ];
        for refusal in rejected {
            assert!(matches!(refusal, Err(StoreError::RunNotFound(id)) if id == run), "{refusal:?}");
        }
    });
}

pub fn leaf_never_fans_out(harness: &Harness<'_>) {
    let inputs = [json!([{"fanout": 2}]), json!({"nested": {"fanout": 2}}), json!("fanout")];
    let (_, roots) = harness.submit_tasks(inputs.map(|input| TaskDraft::new("A").input(input)));
    assert_eq!(harness.writes_nothing(|| harness.fan_out()), 0);
    assert!(roots.iter().all(|root| harness.task(*root).child_counts.is_none()));
}

pub fn wide_fan_out_creates_every_child(harness: &Harness<'_>) {
    let (run, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 2500})));
    while harness.fan_out_step(Scope::Run(run), 999).more {}
    let children = harness.children(parent);
    assert_eq!(children.len(), 2500);
    assert!((1..).zip(&children).all(|(index, child)| child.name.as_str() == format!("P#{index}")));
}

/// Long and mixed, to find a store that writes many rows per statement and confuses their items.
pub fn long_list_gives_each_child_its_item(harness: &Harness<'_>) {
    // Four of the first 400 items are parents, all others are leaves.
    let nested = |n: u32| (n < 400 && n.is_multiple_of(97)).then_some(n % 5 + 1);
    let item = |n: u32| nested(n).map_or_else(|| json!(n), |total| json!({"fanout": total, "n": n}));
    let items: Vec<_> = (1..=1000).map(item).collect();
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": &items})));
    let mut ids = harness.env().ids(700);
    let done = harness
        .store()
        .fan_out(&FanOut { scope: Scope::All, now: harness.now(), ids, cursor: RotationCursor::default() })
        .expect("step succeeds");
    // The four parents count twice.
    let created = 700 - 4;
    assert_eq!((done.children, done.more), (created, true));
    harness.fan_out();

    let children = harness.children(parent);
    assert_eq!(children.len(), 1000);
    for ((n, child), item) in (1..).zip(&children).zip(&items) {
        assert_eq!((child.index, child.name.to_string()), (n, format!("P#{n}")));
        assert_eq!(child.input.as_ref().map(ToString::to_string), Some(item.to_string()), "{}", child.name);
        let whole = |total| ChildCounts { created: total, open: total, ..ChildCounts::sealed(total) };
        assert_eq!(child.child_counts, nested(n).map(whole), "{}", child.name);
        if n <= created {
            assert_eq!(Some(child.id), ids.take_task(), "{}", child.name);
        }
        if let Some(total) = nested(n) {
            assert_eq!(harness.child_inputs(child.id), vec![json!({"n": n}).to_string(); total as usize]);
        }
    }
}

pub fn id_of_other_task_is_rejected(harness: &Harness<'_>) {
    let (_, other) = harness.submit_leaf();
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": 100})));
    // The first id of the children, one in the middle, and the last one.
    for before in [0, 50, 99] {
        let ids = IdBlock::new(other.as_u128() - before, 100).expect("block is in the range of ids");
        let step = FanOut { scope: Scope::All, now: harness.now(), ids, cursor: RotationCursor::default() };
        let rejected = harness.writes_nothing(|| harness.store().fan_out(&step));
        assert!(matches!(rejected, Err(StoreError::CorruptRow { .. })), "{before}: {rejected:?}");
    }
    harness.fan_out();
    assert_eq!(harness.child_counts(parent).created, 100);
}
