//! Limits, and texts that are stored unchanged.

use crate::fixture::{LEAF, OPEN_PARENT, append_items, task};
use crate::support::TestStore;
use conductor_model::{MAX_ERROR_BYTES, MAX_TASKS, RunDraft, TaskDraft};
use conductor_store::{EventFilter, Query, Report};
use serde_json::json;

#[test]
fn submission_beyond_max_tasks_is_rejected() {
    let tasks = |count| RunDraft::new().tasks((0..count).map(|_| TaskDraft::new("A")));
    assert_eq!(tasks(MAX_TASKS).validate().unwrap().tasks().len(), MAX_TASKS);
    let error = tasks(MAX_TASKS + 1).validate().unwrap_err().to_string();
    assert_eq!(
        error,
        "tasks: must be at most 100000 at a time, but are 100001; use a fan-out, or append the others"
    );
}

#[test]
fn append_beyond_max_children_is_rejected() {
    let test = TestStore::with_example();
    // Instead of ten million rows.
    let almost = "UPDATE conductor_parents SET children = 9999999, open_children = 9999999 WHERE task = ?1";
    test.connect().execute(almost, [test.row_key(task(OPEN_PARENT))]).unwrap();
    let before = test.dump();
    assert_eq!(
        append_items(&test, OPEN_PARENT, 10_000_000, &["1", "2"]).unwrap_err(),
        "10000001 children are too many; at most 10000000 per parent"
    );
    assert_eq!(test.dump(), before);
    append_items(&test, OPEN_PARENT, 10_000_000, &["1"]).unwrap();
    assert_eq!(
        append_items(&test, OPEN_PARENT, 10_000_001, &["2"]).unwrap_err(),
        "10000001 children are too many; at most 10000000 per parent"
    );
}

/// Texts that would do harm if they were read as SQL, as a format or as a path.
const INJECTIONS: [&str; 9] = [
    "'); DROP TABLE conductor_blocks;--",
    "\"; DELETE FROM conductor_runs; --",
    "' OR '1'='1",
    "?1, :name, @name, $name",
    "%s%n{}{0}\\",
    "../../conductor.db",
    "\u{202e}txt.exe\u{feff}",
    "NULL",
    "x'00'; ATTACH DATABASE 'other' AS other",
];

#[test]
fn injection_texts_are_stored_unchanged() {
    let test = TestStore::with_example();
    let schema =
        |test: &TestStore| test.dump().into_iter().filter(|line| line.starts_with('[')).collect::<Vec<_>>();
    let before = schema(&test);
    for text in INJECTIONS {
        let child = json!({"fanout": [{text: text}]});
        let tasks = [TaskDraft::new(text).kind(text).input(text), TaskDraft::new(text).input(child)];
        let run = test.submit(&RunDraft::new().idempotency_key(text).meta(text).tasks(tasks));
        let read = test.run(run);
        assert_eq!(read.idempotency_key.unwrap().as_str(), text);
        assert_eq!(read.meta.unwrap().to::<String>().unwrap(), text);
        let leaf = test.tasks(run).remove(0);
        assert_eq!((leaf.name.as_str(), leaf.kind.as_str()), (text, text));
        assert_eq!(leaf.input.unwrap().to::<String>().unwrap(), text);
        test.report_one(Report::failed(leaf.id, text)).unwrap();
        assert_eq!(test.task(leaf.id).last_error.unwrap().as_str(), text);
        let filter = EventFilter { name: Some(text), ..EventFilter::default() };
        assert!(test.store.events(filter, 0, 10).unwrap().items.is_empty());
    }
    assert_eq!(schema(&test), before);
}

#[test]
fn long_error_text_is_truncated() {
    for bytes in [MAX_ERROR_BYTES, MAX_ERROR_BYTES + 1] {
        let test = TestStore::with_example();
        test.report_one(Report::failed(task(LEAF), "x".repeat(bytes))).unwrap();
        let kept = test.task(task(LEAF)).last_error.unwrap();
        assert_eq!(
            (kept.as_str().len(), kept.as_str().ends_with('…')),
            (MAX_ERROR_BYTES, bytes > MAX_ERROR_BYTES)
        );
    }
}
