//! Edge values: texts, numbers and JSON are read exactly as they were written.

use crate::Harness;
use crate::harness::json_of;
use conductor_model::{
    Json, MAX_ERROR_BYTES, MAX_JSON_BYTES, MAX_NAME_BYTES, RunDraft, TaskDraft, Timestamp,
};
use conductor_store::{Report, ReportOutcome};
use serde_json::json;

/// JSON that a store may easily lose, or write differently.
const VALUES: [&str; 22] = [
    "0",
    "-0",
    "0.0",
    "1e2",
    "1E-7",
    "0.1",
    "3.141592653589793",
    "9007199254740993",
    "-9223372036854775808",
    "18446744073709551615",
    "123456789012345678901234567890",
    "true",
    "false",
    "null",
    "\"\"",
    "\"null\"",
    r#""é\u00e9\"\\ \u0000 𝄞""#,
    r#""'); DROP TABLE conductor_blocks;--""#,
    "[]",
    "{}",
    r#"{"b": 1, "a": [null, {"": 0}]}"#,
    "[ 1 , 2 ]",
];

/// A draft with this text as `meta` and `input`.
fn draft(value: &str) -> RunDraft {
    let json = format!(r#"{{"meta": {value}, "tasks": [{{"name": "A", "input": {value}}}]}}"#);
    serde_json::from_str(&json).expect("draft is valid")
}

pub fn any_json_survives_as_meta_input_output(harness: &Harness<'_>) {
    for value in VALUES {
        let run = harness.submit(&draft(value));
        let task = harness.roots(run)[0].id;
        harness.apply(Report::succeeded_with(task, json_of(value)));
        let (meta, task) = (harness.run(run).meta, harness.task(task));
        for read in [meta, task.input, task.output] {
            assert_eq!(read.as_ref().map(Json::as_str), Some(value));
        }
    }
}

pub fn null_differs_from_absence(harness: &Harness<'_>) {
    let (with, without) =
        (harness.submit(&draft("null")), harness.submit(&RunDraft::new().task(TaskDraft::new("A"))));
    assert_eq!(harness.run(with).meta.as_ref().map(Json::as_str), Some("null"));
    assert_eq!(harness.roots(with)[0].input.as_ref().map(Json::as_str), Some("null"));
    assert_eq!((harness.run(without).meta, harness.roots(without)[0].input.clone()), (None, None));
}

pub fn any_json_survives_as_item(harness: &Harness<'_>) {
    let items = format!(r#"{{"fanout": [{}]}}"#, VALUES.join(","));
    let (_, counted) = harness.submit_task(TaskDraft::new("P").input(json_of(&items)));
    harness.fan_out();
    assert_eq!(harness.child_inputs(counted), VALUES);
    let (_, open) = harness.submit_open_parent();
    harness.append(open, 1, &VALUES).expect("append succeeds");
    assert_eq!(harness.child_inputs(open), VALUES);
}

pub fn inherited_input_keeps_its_digits(harness: &Harness<'_>) {
    let input = json_of(r#"{"big": 123456789012345678901234567890, "fanout": 1, "small": 1e-7}"#);
    let (_, parent) = harness.submit_task(TaskDraft::new("P").input(input));
    harness.fan_out();
    assert_eq!(harness.child_inputs(parent), [r#"{"big":123456789012345678901234567890,"small":1e-7}"#]);
}

pub fn any_text_survives_as_name_kind_key(harness: &Harness<'_>) {
    let longest = "x".repeat(MAX_NAME_BYTES);
    for text in
        ["'); DROP TABLE conductor_blocks;--", "a b", " ", "%_\\\"`$?1", "日本語", "é", "null", "0", &longest]
    {
        let draft = RunDraft::new().idempotency_key(text).task(TaskDraft::new(text).kind(text));
        let run = harness.submit(&draft);
        assert_eq!(harness.run(run).idempotency_key.expect("key is stored").as_str(), text);
        let task = &harness.roots(run)[0];
        assert_eq!((task.name.as_str(), task.kind.as_str()), (text, text));
        assert!(!harness.try_submit(&draft).expect("submit succeeds").created);
    }
}

pub fn kinds_and_keys_compare_exactly(harness: &Harness<'_>) {
    let keys = ["a", "A", "a ", "á", "a\u{301}"];
    let runs = keys
        .map(|key| harness.submit(&RunDraft::new().idempotency_key(key).task(TaskDraft::new("A").kind(key))));
    for (key, run) in keys.iter().zip(runs) {
        assert_eq!(harness.run(run).idempotency_key.expect("key is stored").as_str(), *key);
        assert_eq!(harness.roots(run)[0].kind.as_str(), *key);
    }
}

pub fn any_error_survives(harness: &Harness<'_>) {
    let longest = "x".repeat(MAX_ERROR_BYTES);
    for text in ["", " ", "two\nlines\t", "'); DROP TABLE conductor_blocks;--", "日本語", "null", &longest]
    {
        let (_, task) = harness.submit_leaf();
        harness.apply(Report::failed(task, text));
        assert_eq!(harness.task(task).last_error.expect("error is stored").as_str(), text);
    }
}

pub fn overlong_error_is_truncated_and_nul_replaced(harness: &Harness<'_>) {
    let (_, roots) = harness.submit_tasks(["A", "B"].map(TaskDraft::new));
    let long = "é".repeat(MAX_ERROR_BYTES);
    harness.apply(Report::failed(roots[0], long.as_str()));
    let read = harness.task(roots[0]).last_error.expect("error is stored");
    assert!(read.as_str().len() <= MAX_ERROR_BYTES && read.as_str().ends_with("é…"));
    let again = harness.report(Report::failed(roots[0], long.as_str()));
    assert_eq!(again, ReportOutcome::Unchanged, "a repeated error is truncated to the same text");
    harness.apply(Report::failed(roots[1], "before\0after"));
    assert_eq!(harness.task(roots[1]).last_error.expect("error is stored").as_str(), "before\u{FFFD}after");
}

pub fn largest_json_is_kept_whole(harness: &Harness<'_>) {
    let text = "x".repeat(MAX_JSON_BYTES - 2);
    let run = harness.submit(&RunDraft::new().meta(&text).task(TaskDraft::new("A").input(&text)));
    let quoted = format!("\"{text}\"");
    assert_eq!(harness.run(run).meta.expect("meta is stored").as_str(), quoted);
    assert_eq!(harness.roots(run)[0].input.as_ref().expect("input is stored").as_str(), quoted);
}

pub fn extreme_numbers_are_kept(harness: &Harness<'_>) {
    for (priority, retries) in [(i16::MIN, 0), (i16::MAX, 1000)] {
        let (_, task) = harness.submit_task(TaskDraft::new("A").priority(priority).max_retries(retries));
        let task = harness.task(task);
        assert_eq!((task.priority, i64::from(task.max_retries.get())), (priority, retries));
    }
}

pub fn extreme_timestamps_are_kept(harness: &Harness<'_>) {
    for due in [Timestamp::MIN, Timestamp::MAX] {
        let (_, task) = harness.submit_task(TaskDraft::new("A").due_at(due));
        assert_eq!(harness.task(task).due_at, Some(due));
    }
    assert_eq!(harness.promote(), 1);
}

pub fn names_grow_down_to_deepest_child(harness: &Harness<'_>) {
    let mut input = json!({"fanout": 1});
    for _ in 0..30 {
        input = json!({"fanout": [input]});
    }
    let name = "x".repeat(MAX_NAME_BYTES);
    let (run, _) = harness.submit_task(TaskDraft::new(&name).input(input));
    assert_eq!(harness.fan_out(), 31);
    let deepest = format!("{name}{}", "#1".repeat(31));
    assert!(harness.tasks(run).iter().any(|task| task.name.as_str() == deepest));
}
