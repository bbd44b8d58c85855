//! Queries: everything once, in order, in pages that are never unbounded.

use crate::World;
use crate::harness::pages;
use conductor_model::{Backoff, RunDraft, RunId, State, StateCounts, TaskDraft, TaskId};
use conductor_store::{EventFilter, MAX_PAGE, Page, RunBlockers, Scope, StoreError, TaskFilter};
use serde_json::json;

/// Reads everything page by page: no page is longer than its limit, and only the last one is shorter.
fn paged<T, C>(limit: u32, first: C, mut page: impl FnMut(C) -> Page<T, C>) -> Vec<T> {
    pages(first, |cursor| {
        let page = page(cursor);
        assert!(page.items.len() <= limit as usize, "a page of at most {limit}");
        assert!(page.next.is_none() || page.items.len() == limit as usize, "a full page before the next");
        page
    })
}

pub fn every_run_is_paged_in_submission_order(world: &World<'_>) {
    // Ids of the caller's need not be in order.
    let ids: Vec<_> = [5, 3, 9, 1, 7].map(RunId::from_u128).into();
    for id in &ids {
        assert_eq!(world.submit(&RunDraft::new().id(*id)), *id);
    }
    for limit in 1..=6 {
        let read = paged(limit, None, |after| {
            let page = world.store().runs(after, limit).expect("a page");
            Page { items: page.items, next: page.next.map(Some) }
        });
        assert_eq!(read.iter().map(|run| run.id).collect::<Vec<_>>(), ids, "pages of {limit}");
    }
}

pub fn every_task_is_paged_with_roots_first(world: &World<'_>) {
    let parent = |name| TaskDraft::new(name).input(json!({"fanout": [{"fanout": 2}, 0]}));
    let (run, roots) = world.run_of([parent("P"), TaskDraft::new("A"), parent("Q")]);
    world.run_of([parent("Other")]);
    world.fan_out();
    for limit in 1..=12 {
        let read = paged(limit, None, |after| {
            let page = world.store().tasks(run, TaskFilter::default(), after, limit).expect("a page");
            Page { items: page.items, next: page.next.map(Some) }
        });
        assert_eq!(read.len(), 11, "pages of {limit}");
        assert_eq!(read[..3].iter().map(|task| task.id).collect::<Vec<_>>(), roots);
        for siblings in read.windows(2).filter(|pair| pair[0].parent == pair[1].parent) {
            assert_eq!(siblings[0].index + 1, siblings[1].index, "siblings stand together, by index");
        }
    }
}

pub fn every_child_is_paged_by_index(world: &World<'_>) {
    let (_, parent, ids) = world.family(7);
    for limit in 1..=8 {
        let read = paged(limit, 0, |after| world.store().children(parent, after, limit).expect("a page"));
        assert_eq!(read.iter().map(|child| child.id).collect::<Vec<_>>(), ids, "pages of {limit}");
    }
    let rest = world.store().children(parent, 5, 100).expect("a page");
    assert_eq!(rest.items.iter().map(|child| child.index).collect::<Vec<_>>(), [6, 7]);
    assert!(world.store().children(parent, u32::MAX, 100).expect("a page").items.is_empty());
}

pub fn grandchildren_are_not_children(world: &World<'_>) {
    let (_, root) = world.one(TaskDraft::new("P").input(json!({"fanout": [{"fanout": 2}]})));
    world.fan_out();
    assert_eq!(world.children(root).len(), 1);
}

pub fn every_event_is_paged_in_commit_order(world: &World<'_>) {
    let (_, _, children) = world.family(3);
    for child in &children {
        world.succeed(*child);
    }
    world.aggregate();
    let all = world.events();
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
    for limit in [1, 2, 3, 5, 100] {
        let filter = EventFilter::default();
        let read = paged(limit, 0, |after| world.store().events(filter, after, limit).expect("a page"));
        assert_eq!(read, all, "pages of {limit}");
    }
    let after = world.store().events(EventFilter::default(), u64::MAX, 10).expect("a page");
    assert!(after.items.is_empty() && after.next.is_none());
}

pub fn following_reader_sees_new_events(world: &World<'_>) {
    let (_, task) = world.leaf();
    let last = world.events().last().expect("an event").seq;
    let later = || world.store().events(EventFilter::default(), last, 10).expect("a page").items;
    assert!(later().is_empty());
    world.start(task);
    assert_eq!(
        later().iter().map(|event| event.body.name()).collect::<Vec<_>>(),
        ["task.started", "run.started"]
    );
}

pub fn pages_have_at_most_1000_items(world: &World<'_>) {
    let (run, parent, children) = world.family(1001);
    for child in &children {
        world.start(*child);
    }
    for greedy in [MAX_PAGE + 1, u32::MAX] {
        let page = world.store().children(parent, 0, greedy).expect("a page");
        assert_eq!((page.items.len(), page.next), (1000, Some(1000)));
        let page = world.store().tasks(run, TaskFilter::default(), None, greedy).expect("a page");
        assert_eq!((page.items.len(), page.next), (1000, Some(children[998])));
        let page = world.store().events(EventFilter::default(), 0, greedy).expect("a page");
        assert_eq!((page.items.len(), page.next), (1000, page.items.last().map(|event| event.seq)));
        let watch = conductor_store::StuckThreshold::at(world.now().plus_millis(3_600_000));
        assert_eq!(world.store().stuck(Scope::All, watch, greedy).expect("a list").len(), 1000);
    }
}

pub fn tasks_are_filtered_by_state(world: &World<'_>) {
    let (run, parent, children) = world.family(6);
    world.start(children[0]);
    world.succeed(children[1]);
    world.fail(children[2]);
    world.cancel(children[3]);
    let of = |state, limit| {
        let filter = TaskFilter { state: Some(state) };
        let read = paged(limit, None, |after| {
            let page = world.store().tasks(run, filter, after, limit).expect("a page");
            Page { items: page.items, next: page.next.map(Some) }
        });
        read.into_iter().map(|task| task.id).collect::<Vec<_>>()
    };
    for limit in [1, 2, 100] {
        assert_eq!(of(State::Pending, limit), children[4..]);
        assert_eq!(of(State::Running, limit), [parent, children[0]]);
        assert_eq!(of(State::Succeeded, limit), [children[1]]);
        assert_eq!(of(State::Failed, limit), [children[2]]);
        assert_eq!(of(State::Cancelled, limit), [children[3]]);
    }
}

pub fn events_are_filtered_by_run_task_name_time(world: &World<'_>) {
    let ((one, a), (other, b)) = (world.leaf(), world.leaf());
    world.pass_ms(1000);
    world.start(a);
    world.start(b);
    world.pass_ms(1000);
    world.succeed(a);
    let all = world.events();
    let (start, middle) = (all[0].at, all[0].at.plus_millis(1000));
    let filters = [
        EventFilter { run: Some(one), ..EventFilter::default() },
        EventFilter { task: Some(b), ..EventFilter::default() },
        EventFilter { run: Some(other), task: Some(b), ..EventFilter::default() },
        EventFilter { name: Some("task.started"), ..EventFilter::default() },
        EventFilter { since: Some(middle), ..EventFilter::default() },
        EventFilter { until: Some(middle), ..EventFilter::default() },
        EventFilter { since: Some(start), until: Some(world.now()), ..EventFilter::default() },
        EventFilter { run: Some(one), name: Some("task.succeeded"), ..EventFilter::default() },
        EventFilter {
            task: Some(a),
            name: Some("task.started"),
            since: Some(middle),
            ..EventFilter::default()
        },
    ];
    for filter in filters {
        let expected: Vec<_> = all
            .iter()
            .filter(|event| filter.run.is_none_or(|run| event.run == run))
            .filter(|event| filter.task.is_none_or(|task| event.task == Some(task)))
            .filter(|event| filter.name.is_none_or(|name| event.body.name() == name))
            .filter(|event| filter.since.is_none_or(|since| event.at >= since))
            .filter(|event| filter.until.is_none_or(|until| event.at < until))
            .cloned()
            .collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{filter:?} means something");
        for limit in [1, 2, 100] {
            let read = paged(limit, 0, |after| world.store().events(filter, after, limit).expect("a page"));
            assert_eq!(read, expected, "{filter:?}, pages of {limit}");
        }
    }
}

pub fn contradictory_filters_match_nothing(world: &World<'_>) {
    let ((one, _), (_, b)) = (world.leaf(), world.leaf());
    let filters = [
        EventFilter { run: Some(one), task: Some(b), ..EventFilter::default() },
        EventFilter { since: Some(world.now()), until: Some(world.now()), ..EventFilter::default() },
        EventFilter { name: Some("task.exploded"), ..EventFilter::default() },
        EventFilter { name: Some(""), ..EventFilter::default() },
    ];
    for filter in filters {
        let page = world.store().events(filter, 0, 10).expect("a page");
        assert!(page.items.is_empty() && page.next.is_none(), "{filter:?}");
    }
}

pub fn unknown_ids_return_nothing(world: &World<'_>) {
    world.family(2);
    let (run, task) = (RunId::from_u128(1), TaskId::from_u128(1));
    let store = world.store();
    assert_eq!(store.run(run).expect("an answer"), None);
    assert_eq!(store.task(task).expect("an answer"), None);
    let tasks = store.tasks(run, TaskFilter::default(), None, 10).expect("a page");
    assert!(tasks.items.is_empty() && tasks.next.is_none());
    let children = store.children(task, 0, 10).expect("a page");
    assert!(children.items.is_empty() && children.next.is_none());
    for filter in [
        EventFilter { run: Some(run), ..EventFilter::default() },
        EventFilter { task: Some(task), ..EventFilter::default() },
    ] {
        assert!(store.events(filter, 0, 10).expect("a page").items.is_empty());
    }
    let tally = store.state_counts(Scope::Run(run));
    assert!(matches!(tally, Err(StoreError::RunNotFound(id)) if id == run), "{tally:?}");
}

pub fn unknown_cursor_is_rejected(world: &World<'_>) {
    let ((one, its), (other, _)) = (world.leaf(), world.leaf());
    let store = world.store();
    let runs = store.runs(Some(RunId::from_u128(1)), 10);
    assert!(matches!(runs, Err(StoreError::RunNotFound(_))), "{runs:?}");
    for (run, after) in [(one, TaskId::from_u128(1)), (other, its)] {
        let tasks = store.tasks(run, TaskFilter::default(), Some(after), 10);
        assert!(matches!(tasks, Err(StoreError::TaskNotFound(id)) if id == after), "{tasks:?}");
    }
}

pub fn large_tasks_shorten_page(world: &World<'_>) {
    let large = || TaskDraft::new("A").input("x".repeat(1_000_000));
    let (run, _) = world.run_of([(); 40].map(|()| large()));
    let (mut seen, mut after) = (0, None);
    loop {
        let page = world.store().tasks(run, TaskFilter::default(), after, 1000).expect("a page");
        assert!((1..40).contains(&page.items.len()), "{} at once", page.items.len());
        seen += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 40);
}

pub fn leaf_has_no_children(world: &World<'_>) {
    let (_, leaf) = world.leaf();
    world.family(2);
    assert!(world.children(leaf).is_empty());
}

pub fn new_store_is_empty(world: &World<'_>) {
    let store = world.store();
    assert!(store.runs(None, 10).expect("a page").items.is_empty());
    assert!(world.events().is_empty());
    assert_eq!(store.state_counts(Scope::All).expect("a tally"), StateCounts::default());
    world.writes_nothing(|| world.settle());
}

pub fn total_state_counts_are_sum_of_runs(world: &World<'_>) {
    let ((one, _, children), (other, leaf)) = (world.family(3), world.leaf());
    world.succeed(children[0]);
    world.fail(children[1]);
    world.cancel(leaf);
    let tally = |scope| world.store().state_counts(scope).expect("a tally");
    let expected = StateCounts { pending: 1, running: 1, succeeded: 1, failed: 1, cancelled: 0 };
    assert_eq!(tally(Scope::Run(one)), expected);
    assert_eq!(tally(Scope::Run(other)), StateCounts { cancelled: 1, ..StateCounts::default() });
    assert_eq!(tally(Scope::All), StateCounts { cancelled: 1, ..expected });
}

pub fn monitor_queries_write_nothing(world: &World<'_>) {
    let (run, _, children) = world.family(3);
    world.fail(children[0]);
    world.pass_ms(3_600_000);
    world.writes_nothing(|| {
        let (store, watch) = (world.store(), world.watch());
        store.health(Scope::All, watch).expect("a report");
        store.stuck(Scope::Run(run), watch, 10).expect("a list");
        store.retry_metrics(Scope::All).expect("metrics");
        store.summary(run, watch).expect("a summary");
    });
}

pub fn change_token_changes_with_every_write(world: &World<'_>) {
    let mut last = world.store().change_token().expect("a pulse");
    let mut beats = |what: &str| {
        let change_token = world.store().change_token().expect("a pulse");
        assert_ne!(change_token, last, "{what}");
        last = change_token;
    };
    let (_, parent) = world.one(TaskDraft::new("P").input(json!({"fanout": 4})).max_retries(1));
    beats("a submission");
    world.fan_out();
    beats("a fan-out");
    let children: Vec<_> = world.children(parent).iter().map(|child| child.id).collect();
    world.fail(children[0]);
    beats("a report");
    world.retry();
    beats("a retry");
    let hands = world.hands();
    beats("an engine that comes");
    let claimed = hands.claim("P", 3);
    beats("a claim");
    world.pass_ms(1);
    let _ = hands.renew(&[claimed[0].fence]);
    beats("a renewal");
    let _ = hands.release(&[claimed[0].fence]);
    beats("a release");
    hands.end(&claimed[1], crate::harness::test_engine::success());
    beats("a settlement");
    drop(hands);
    world.rescue();
    beats("a rescue");
    world.settle();
    beats("a step");
}

pub fn change_token_stays_without_writes(world: &World<'_>) {
    let (run, _, children) = world.family(3);
    world.succeed(children[0]);
    let hands = world.hands();
    let claimed = hands.claim("P", 1);
    let change_token = || world.store().change_token().expect("a pulse");
    let before = change_token();
    world.run(run);
    world.tasks(run);
    world.rows();
    assert_eq!(world.fan_out() + world.retry() + world.promote() + world.aggregate().0 + world.rescue(), 0);
    assert!(hands.claim("Q", 10).is_empty());
    let stale = conductor_store::Fence { attempt: 9, ..claimed[0].fence };
    assert_eq!(hands.renew(&[stale]), [conductor_store::FenceOutcome::Stale]);
    assert_eq!(change_token(), before);
}

pub fn next_due_is_earliest_waiting_time(world: &World<'_>) {
    let next = || world.store().next_due().expect("an answer");
    assert_eq!(next(), None);
    let hands = world.hands();
    let start = world.now();
    let (_, task) = world.one(TaskDraft::new("A").backoff(Backoff::fixed(20_000).expect("a backoff")));
    world.start(world.leaf().1);
    assert_eq!(next(), None, "what is ready, or runs without a claim, waits for no time");
    let delayed = start.plus_millis(60_000);
    world.one(TaskDraft::new("B").due_at(delayed));
    assert_eq!(next(), Some(delayed), "a delayed start");
    let claimed = hands.claim_one();
    assert_eq!((claimed.fence.task, next()), (task, Some(start.plus_millis(30_000))), "a lease");
    world.pass_ms(5000);
    assert_eq!(hands.renew(&[claimed.fence]), [conductor_store::FenceOutcome::Applied]);
    assert_eq!(next(), Some(start.plus_millis(35_000)), "a renewed lease");
    hands.end(&claimed, crate::harness::test_engine::failure("it broke"));
    assert_eq!(next(), Some(start.plus_millis(25_000)), "a retry");
    world.pass_ms(20_000);
    assert_eq!(world.retry(), 1);
    assert_eq!(next(), Some(delayed));
    world.pass_ms(60_000);
    assert_eq!(next(), Some(delayed), "what is overdue is due");
    assert_eq!(world.promote(), 1);
    assert_eq!(next(), None);
}

pub fn run_blockers_say_what_run_waits_for(world: &World<'_>) {
    let waits = |run| world.store().run_blockers(run, 10).expect("what it waits for");
    let nothing = RunBlockers::default();
    let hands = world.hands();
    let (run, task) = world.one(TaskDraft::new("A").max_retries(1));
    assert_eq!(
        waits(run),
        RunBlockers { ready: vec!["A".parse().expect("a kind")], ..RunBlockers::default() }
    );
    let claimed = hands.claim_one();
    assert_eq!(waits(run), RunBlockers { claimed: true, ..nothing.clone() });
    hands.end(&claimed, crate::harness::test_engine::failure("no"));
    assert_eq!(waits(run), RunBlockers { other_work: true, ..nothing.clone() }, "its retry is due");
    world.retry();
    world.start(task);
    assert_eq!(waits(run), RunBlockers { external_tasks: vec![task], ..nothing.clone() });
    world.succeed(task);
    assert_eq!(waits(run), RunBlockers { other_work: true, ..nothing.clone() }, "it can be decided");
    world.aggregate();
    assert!(waits(run).is_nothing());
    let (of_items, _) = world.open_parent();
    let of_tasks = world.submit(&RunDraft::new().open());
    for open in [of_items, of_tasks] {
        assert_eq!(waits(open), RunBlockers { open: true, ..nothing.clone() });
    }
    let (wide, _) = world.one(TaskDraft::new("P").input(json!({"fanout": 2})));
    assert_eq!(waits(wide), RunBlockers { other_work: true, ..nothing }, "its children are missing");
    let late = world.submit(&RunDraft::new().deadline_ms(1000).task(TaskDraft::new("A")));
    assert!(waits(late).other_work, "its deadline will come");
    world.pass_ms(1000);
    assert_eq!(world.store().expire(&world.step()).expect("a step").changed, 1);
    world.settle();
    assert!(waits(late).is_nothing());
}
