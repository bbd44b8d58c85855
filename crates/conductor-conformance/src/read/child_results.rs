//! What a join reads: the outputs of its children, and the children that have none.

use crate::Harness;
use crate::harness::{json_of, pages};
use conductor_model::{Json, MAX_ERROR_BYTES, State, TaskDraft, TaskId};
use conductor_store::{ErrorText, NodeId, Page, Report};

/// The outputs below a parent or a run, in pages of each size.
#[track_caller]
fn assert_outputs(harness: &Harness<'_>, parent: NodeId, expected: &[(u32, Option<&str>)]) {
    for limit in 1..=4 {
        let read =
            pages(0, |after| harness.store().child_outputs(parent, after, limit).expect("query succeeds"));
        let read: Vec<_> = read.iter().map(|child| (child.index, child.output.as_deref())).collect();
        assert_eq!(read, expected, "pages of {limit}");
    }
}

/// The failures below a parent or a run, in pages of each size.
#[track_caller]
fn assert_failures(harness: &Harness<'_>, parent: NodeId, expected: &[(u32, TaskId, State, Option<&str>)]) {
    for limit in 1..=4 {
        let read =
            pages(0, |after| harness.store().child_failures(parent, after, limit).expect("query succeeds"));
        let read: Vec<_> = read
            .iter()
            .map(|child| (child.index, child.id, child.state, child.error.as_ref().map(ErrorText::as_str)))
            .collect();
        assert_eq!(read, expected, "pages of {limit}");
    }
}

fn succeed_with(harness: &Harness<'_>, task: TaskId, output: u32) {
    harness.apply(Report::succeeded_with(task, Json::of(&output).expect("a number is JSON")));
}

pub fn children_results_are_paged_by_index(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family(6);
    // Settled in another order than that of the indices.
    succeed_with(harness, children[4], 50);
    harness.succeed(children[2]);
    succeed_with(harness, children[0], 10);
    harness.fail(children[5]);
    harness.start(children[1]);
    assert_outputs(harness, parent.into(), &[(1, Some("10")), (3, None), (5, Some("50"))]);
    assert_failures(
        harness,
        parent.into(),
        &[
            (2, children[1], State::Running, None),
            (4, children[3], State::Pending, None),
            (6, children[5], State::Failed, Some("it broke")),
        ],
    );
}

pub fn root_tasks_have_results_in_run(harness: &Harness<'_>) {
    let (run, roots) = harness.submit_tasks(["A", "B", "C"].map(TaskDraft::new));
    harness.submit_tasks([TaskDraft::new("other")]);
    succeed_with(harness, roots[2], 3);
    harness.fail(roots[0]);
    assert_outputs(harness, run.into(), &[(3, Some("3"))]);
    assert_failures(
        harness,
        run.into(),
        &[(1, roots[0], State::Failed, Some("it broke")), (2, roots[1], State::Pending, None)],
    );
}

pub fn unknown_parent_has_no_results(harness: &Harness<'_>) {
    let unknown = NodeId::from(TaskId::from_u128(7));
    assert_outputs(harness, unknown, &[]);
    assert_failures(harness, unknown, &[]);
}

/// Checks that a page ends before the last of the children, and returns the indices of all pages.
fn indices_of_short_pages<T>(mut page: impl FnMut(u32) -> Page<T, u32>, index: fn(&T) -> u32) -> Vec<u32> {
    assert_ne!(page(0).next, None, "the first page is shorter than the limit");
    pages(0, page).iter().map(index).collect()
}

pub fn large_results_shorten_page(harness: &Harness<'_>) {
    let store = harness.store();
    let (_, parent, children) = harness.family(20);
    let output = json_of(&format!("\"{}\"", "x".repeat(1_000_000)));
    for child in &children {
        harness.apply(Report::succeeded_with(*child, output.clone()));
    }
    let outputs = |after| store.child_outputs(parent.into(), after, 1000).expect("query succeeds");
    assert!(indices_of_short_pages(outputs, |child| child.index).into_iter().eq(1..=20));

    let (_, parent, children) = harness.family(300);
    let error = "x".repeat(MAX_ERROR_BYTES);
    harness.reports(children.iter().map(|child| Report::failed(*child, error.as_str())));
    let failures = |after| store.child_failures(parent.into(), after, 1000).expect("query succeeds");
    assert!(indices_of_short_pages(failures, |child| child.index).into_iter().eq(1..=300));
}

pub fn outputs_of_each_length_are_read(harness: &Harness<'_>) {
    let (_, parent, children) = harness.family(9);
    // A store may keep long outputs apart from short ones.
    let texts: Vec<Option<String>> = [2, 3000, 0, 100, 101, 99, 0, 5000, 50]
        .map(|length: usize| length.checked_sub(2).map(|inner| format!("\"{}\"", "x".repeat(inner))))
        .into();
    for (child, text) in children.iter().zip(&texts) {
        match text {
            Some(text) => harness.apply(Report::succeeded_with(*child, json_of(text))),
            None if *child == children[2] => harness.succeed(*child),
            None => harness.fail(*child),
        }
    }
    let expected: Vec<_> = (1..).zip(&texts).map(|(index, text)| (index, text.as_deref())).collect();
    let expected: Vec<_> = expected.into_iter().filter(|(index, _)| *index != 7).collect();
    assert_outputs(harness, parent.into(), &expected);
    assert_failures(harness, parent.into(), &[(7, children[6], State::Failed, Some("it broke"))]);
}
