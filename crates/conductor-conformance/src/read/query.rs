//! Queries: every item exactly once, in order, in pages of bounded size.

use crate::Harness;
use crate::harness::{cursor_page, json_of, pages};
use conductor_model::{RunDraft, RunId, State, StateCounts, TaskDraft, TaskId};
use conductor_store::{EventFilter, MAX_PAGE, Page, Scope, StoreError, StuckThreshold, TaskFilter};
use serde_json::json;

/// Reads all pages, and checks that no page is longer than the limit and that only the last page is shorter.
fn paged<T, C>(limit: u32, first: C, mut page: impl FnMut(C) -> Page<T, C>) -> Vec<T> {
    pages(first, |cursor| {
        let page = page(cursor);
        assert!(page.items.len() <= limit as usize, "a page has at most {limit} items");
        assert!(
            page.next.is_none() || page.items.len() == limit as usize,
            "every page before the last is full"
        );
        page
    })
}

pub fn every_run_is_paged_in_submission_order(harness: &Harness<'_>) {
    // Ids from the caller are not ordered.
    let ids: Vec<_> = [5, 3, 9, 1, 7].map(RunId::from_u128).into();
    for id in &ids {
        assert_eq!(harness.submit(&RunDraft::new().id(*id)), *id);
    }
    for limit in 1..=6 {
        let read = paged(limit, None, |after| {
            cursor_page(harness.store().runs(after, limit).expect("query succeeds"))
        });
        assert_eq!(read.iter().map(|run| run.id).collect::<Vec<_>>(), ids, "pages of {limit}");
    }
}

pub fn every_task_is_paged_with_roots_first(harness: &Harness<'_>) {
    let parent = |name| TaskDraft::new(name).input(json!({"fanout": [{"fanout": 2}, 0]}));
    let (run, roots) = harness.submit_tasks([parent("P"), TaskDraft::new("A"), parent("Q")]);
    harness.submit_tasks([parent("Other")]);
    harness.fan_out();
    for limit in 1..=12 {
        let read = paged(limit, None, |after| {
            cursor_page(
                harness.store().tasks(run, TaskFilter::default(), after, limit).expect("query succeeds"),
            )
        });
        assert_eq!(read.len(), 11, "pages of {limit}");
        assert_eq!(read[..3].iter().map(|task| task.id).collect::<Vec<_>>(), roots);
        for siblings in read.windows(2).filter(|pair| pair[0].parent == pair[1].parent) {
            assert_eq!(
                siblings[0].index + 1,
                siblings[1].index,
                "siblings are adjacent and ordered by index"
            );
        }
    }
}

pub fn every_child_is_paged_by_index(harness: &Harness<'_>) {
    let (_, parent, ids) = harness.family(7);
    for limit in 1..=8 {
        let read =
            paged(limit, 0, |after| harness.store().children(parent, after, limit).expect("query succeeds"));
        assert_eq!(read.iter().map(|child| child.id).collect::<Vec<_>>(), ids, "pages of {limit}");
    }
    let rest = harness.store().children(parent, 5, 100).expect("query succeeds");
    assert_eq!(rest.items.iter().map(|child| child.index).collect::<Vec<_>>(), [6, 7]);
    assert!(harness.store().children(parent, u32::MAX, 100).expect("query succeeds").items.is_empty());
}

pub fn grandchildren_are_not_children(harness: &Harness<'_>) {
    let (_, root) = harness.submit_task(TaskDraft::new("P").input(json!({"fanout": [{"fanout": 2}]})));
    harness.fan_out();
    assert_eq!(harness.children(root).len(), 1);
}

pub fn every_event_is_paged_in_commit_order(harness: &Harness<'_>) {
    let (_, _, children) = harness.family(3);
    for child in &children {
        harness.succeed(*child);
    }
    harness.aggregate();
    let all = harness.events();
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
    for limit in [1, 2, 3, 5, 100] {
        let filter = EventFilter::default();
        let read =
            paged(limit, 0, |after| harness.store().events(filter, after, limit).expect("query succeeds"));
        assert_eq!(read, all, "pages of {limit}");
    }
    let after = harness.store().events(EventFilter::default(), u64::MAX, 10).expect("query succeeds");
    assert!(after.items.is_empty() && after.next.is_none());
}

pub fn following_reader_sees_new_events(harness: &Harness<'_>) {
    let (_, task) = harness.submit_leaf();
    let last = harness.events().last().expect("event exists").seq;
    let later = || harness.store().events(EventFilter::default(), last, 10).expect("query succeeds").items;
    assert!(later().is_empty());
    harness.start(task);
    assert_eq!(
        later().iter().map(|event| event.body.name()).collect::<Vec<_>>(),
        ["task.started", "run.started"]
    );
}

pub fn pages_have_at_most_1000_items(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(1001);
    for child in &children {
        harness.start(*child);
    }
    for limit in [MAX_PAGE + 1, u32::MAX] {
        let page = harness.store().children(parent, 0, limit).expect("query succeeds");
        assert_eq!((page.items.len(), page.next), (1000, Some(1000)));
        let page = harness.store().tasks(run, TaskFilter::default(), None, limit).expect("query succeeds");
        assert_eq!((page.items.len(), page.next), (1000, Some(children[998])));
        let page = harness.store().events(EventFilter::default(), 0, limit).expect("query succeeds");
        assert_eq!((page.items.len(), page.next), (1000, page.items.last().map(|event| event.seq)));
        let threshold = StuckThreshold::at(harness.now().plus_millis(3_600_000));
        assert_eq!(harness.store().stuck(Scope::All, threshold, limit).expect("query succeeds").len(), 1000);
    }
}

pub fn tasks_are_filtered_by_state(harness: &Harness<'_>) {
    let (run, parent, children) = harness.family(6);
    harness.start(children[0]);
    harness.succeed(children[1]);
    harness.fail(children[2]);
    harness.report_cancelled(children[3]);
    let of = |state, limit| {
        let filter = TaskFilter { state: Some(state) };
        let read = paged(limit, None, |after| {
            cursor_page(harness.store().tasks(run, filter, after, limit).expect("query succeeds"))
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

pub fn events_are_filtered_by_run_task_name_time(harness: &Harness<'_>) {
    let ((one, a), (other, b)) = (harness.submit_leaf(), harness.submit_leaf());
    harness.advance_ms(1000);
    harness.start(a);
    harness.start(b);
    harness.advance_ms(1000);
    harness.succeed(a);
    let all = harness.events();
    let (start, middle) = (all[0].at, all[0].at.plus_millis(1000));
    let filters = [
        EventFilter { run: Some(one), ..EventFilter::default() },
        EventFilter { task: Some(b), ..EventFilter::default() },
        EventFilter { run: Some(other), task: Some(b), ..EventFilter::default() },
        EventFilter { name: Some("task.started"), ..EventFilter::default() },
        EventFilter { since: Some(middle), ..EventFilter::default() },
        EventFilter { until: Some(middle), ..EventFilter::default() },
        EventFilter { since: Some(start), until: Some(harness.now()), ..EventFilter::default() },
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
        assert!(!expected.is_empty() && expected.len() < all.len(), "{filter:?} matches some events");
        for limit in [1, 2, 100] {
            let read = paged(limit, 0, |after| {
                harness.store().events(filter, after, limit).expect("query succeeds")
            });
            assert_eq!(read, expected, "{filter:?}, pages of {limit}");
        }
    }
}

pub fn contradictory_filters_match_nothing(harness: &Harness<'_>) {
    let ((one, _), (_, b)) = (harness.submit_leaf(), harness.submit_leaf());
    let filters = [
        EventFilter { run: Some(one), task: Some(b), ..EventFilter::default() },
        EventFilter { since: Some(harness.now()), until: Some(harness.now()), ..EventFilter::default() },
        EventFilter { name: Some("task.exploded"), ..EventFilter::default() },
        EventFilter { name: Some(""), ..EventFilter::default() },
    ];
    for filter in filters {
        let page = harness.store().events(filter, 0, 10).expect("query succeeds");
        assert!(page.items.is_empty() && page.next.is_none(), "{filter:?}");
    }
}

pub fn unknown_ids_return_nothing(harness: &Harness<'_>) {
    harness.family(2);
    let (run, task) = (RunId::from_u128(1), TaskId::from_u128(1));
    let store = harness.store();
    assert_eq!(store.run(run).expect("query succeeds"), None);
    assert_eq!(store.task(task).expect("query succeeds"), None);
    let tasks = store.tasks(run, TaskFilter::default(), None, 10).expect("query succeeds");
    assert!(tasks.items.is_empty() && tasks.next.is_none());
    let children = store.children(task, 0, 10).expect("query succeeds");
    assert!(children.items.is_empty() && children.next.is_none());
    for filter in [
        EventFilter { run: Some(run), ..EventFilter::default() },
        EventFilter { task: Some(task), ..EventFilter::default() },
    ] {
        assert!(store.events(filter, 0, 10).expect("query succeeds").items.is_empty());
    }
    let counts = store.state_counts(Scope::Run(run));
    assert!(matches!(counts, Err(StoreError::RunNotFound(id)) if id == run), "{counts:?}");
}

pub fn unknown_cursor_is_rejected(harness: &Harness<'_>) {
    let ((one, task), (other, _)) = (harness.submit_leaf(), harness.submit_leaf());
    let store = harness.store();
    let runs = store.runs(Some(RunId::from_u128(1)), 10);
    assert!(matches!(runs, Err(StoreError::RunNotFound(_))), "{runs:?}");
    for (run, after) in [(one, TaskId::from_u128(1)), (other, task)] {
        let tasks = store.tasks(run, TaskFilter::default(), Some(after), 10);
        assert!(matches!(tasks, Err(StoreError::TaskNotFound(id)) if id == after), "{tasks:?}");
    }
}

pub fn large_tasks_shorten_page(harness: &Harness<'_>) {
    let large = json_of(&format!("\"{}\"", "x".repeat(1_000_000)));
    let (run, _) = harness.submit_tasks([(); 40].map(|()| TaskDraft::new("A").input(&large)));
    let (mut seen, mut after) = (0, None);
    loop {
        let page = harness.store().tasks(run, TaskFilter::default(), after, 1000).expect("query succeeds");
        assert!((1..40).contains(&page.items.len()), "{} at once", page.items.len());
        seen += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 40);
}

pub fn leaf_has_no_children(harness: &Harness<'_>) {
    let (_, leaf) = harness.submit_leaf();
    harness.family(2);
    assert!(harness.children(leaf).is_empty());
}

pub fn new_store_is_empty(harness: &Harness<'_>) {
    let store = harness.store();
    assert!(store.runs(None, 10).expect("query succeeds").items.is_empty());
    assert!(harness.events().is_empty());
    assert_eq!(store.state_counts(Scope::All).expect("a counts"), StateCounts::default());
    harness.writes_nothing(|| harness.run_all_steps());
}

pub fn total_state_counts_are_sum_of_runs(harness: &Harness<'_>) {
    let ((one, _, children), (other, leaf)) = (harness.family(3), harness.submit_leaf());
    harness.succeed(children[0]);
    harness.fail(children[1]);
    harness.report_cancelled(leaf);
    let counts = |scope| harness.store().state_counts(scope).expect("a counts");
    let expected = StateCounts { pending: 1, running: 1, succeeded: 1, failed: 1, cancelled: 0 };
    assert_eq!(counts(Scope::Run(one)), expected);
    assert_eq!(counts(Scope::Run(other)), StateCounts { cancelled: 1, ..StateCounts::default() });
    assert_eq!(counts(Scope::All), StateCounts { cancelled: 1, ..expected });
}

pub fn monitor_queries_write_nothing(harness: &Harness<'_>) {
    let (run, _, children) = harness.family(3);
    harness.fail(children[0]);
    harness.advance_ms(3_600_000);
    harness.writes_nothing(|| {
        let (store, threshold) = (harness.store(), harness.stuck_threshold());
        store.health(Scope::All, threshold).expect("query succeeds");
        store.stuck(Scope::Run(run), threshold, 10).expect("query succeeds");
        store.retry_metrics(Scope::All).expect("query succeeds");
        store.summary(run, threshold).expect("query succeeds");
    });
}
