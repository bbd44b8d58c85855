//! Values: what went in comes out, to the last digit.

use crate::World;
use crate::harness::json_of;
use conductor_model::{
    Json, MAX_ERROR_BYTES, MAX_JSON_BYTES, MAX_NAME_BYTES, RunDraft, TaskDraft, Timestamp,
};
use conductor_store::Report;
use serde_json::json;

/// JSON that a store may be tempted to lose, or to write in another way.
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
    r#""'); DROP TABLE conductor_tasks;--""#,
    "[]",
    "{}",
    r#"{"b": 1, "a": [null, {"": 0}]}"#,
    "[ 1 , 2 ]",
];

/// A draft with this text, as it stands there.
fn draft(value: &str) -> RunDraft {
    let json = format!(r#"{{"meta": {value}, "tasks": [{{"name": "A", "input": {value}}}]}}"#);
    serde_json::from_str(&json).expect("a draft")
}

pub fn any_json_survives_as_meta_input_output(world: &World<'_>) {
    for value in VALUES {
        let run = world.submit(&draft(value));
        let task = world.roots(run)[0].id;
        world.apply(Report::succeeded_with(task, json_of(value)));
        let (meta, task) = (world.run(run).meta, world.task(task));
        for read in [meta, task.input, task.output] {
            assert_eq!(read.as_ref().map(Json::as_str), Some(value));
        }
    }
}

pub fn null_differs_from_absence(world: &World<'_>) {
    let (with, without) =
        (world.submit(&draft("null")), world.submit(&RunDraft::new().task(TaskDraft::new("A"))));
    assert_eq!(world.run(with).meta.as_ref().map(Json::as_str), Some("null"));
    assert_eq!(world.roots(with)[0].input.as_ref().map(Json::as_str), Some("null"));
    assert_eq!((world.run(without).meta, world.roots(without)[0].input.clone()), (None, None));
}

pub fn any_json_survives_as_item(world: &World<'_>) {
    let items = format!(r#"{{"fanout": [{}]}}"#, VALUES.join(","));
    let (_, counted) = world.one(TaskDraft::new("P").input(json_of(&items)));
    world.fan_out();
    assert_eq!(world.inputs(counted), VALUES);
    let (_, open) = world.open_parent();
    world.append(open, 1, &VALUES).expect("an append");
    assert_eq!(world.inputs(open), VALUES);
}

pub fn inherited_input_keeps_its_digits(world: &World<'_>) {
    let input = json_of(r#"{"big": 123456789012345678901234567890, "fanout": 1, "small": 1e-7}"#);
    let (_, parent) = world.one(TaskDraft::new("P").input(input));
    world.fan_out();
    assert_eq!(world.inputs(parent), [r#"{"big":123456789012345678901234567890,"small":1e-7}"#]);
}

pub fn any_text_survives_as_name_kind_key(world: &World<'_>) {
    let longest = "x".repeat(MAX_NAME_BYTES);
    for text in
        ["'); DROP TABLE conductor_tasks;--", "a b", " ", "%_\\\"`$?1", "日本語", "é", "null", "0", &longest]
    {
        let draft = RunDraft::new().idempotency_key(text).task(TaskDraft::new(text).kind(text));
        let run = world.submit(&draft);
        assert_eq!(world.run(run).idempotency_key.expect("a key").as_str(), text);
        let task = &world.roots(run)[0];
        assert_eq!((task.name.as_str(), task.kind.as_str()), (text, text));
        assert!(!world.try_submit(&draft).expect("the same run").created);
    }
}

pub fn kinds_and_keys_compare_exactly(world: &World<'_>) {
    let keys = ["a", "A", "a ", "á", "a\u{301}"];
    let runs = keys
        .map(|key| world.submit(&RunDraft::new().idempotency_key(key).task(TaskDraft::new("A").kind(key))));
    for (key, run) in keys.iter().zip(runs) {
        assert_eq!(world.run(run).idempotency_key.expect("a key").as_str(), *key);
        assert_eq!(world.roots(run)[0].kind.as_str(), *key);
    }
}

pub fn any_error_survives(world: &World<'_>) {
    let longest = "x".repeat(MAX_ERROR_BYTES);
    for text in ["", " ", "two\nlines\t", "'); DROP TABLE conductor_tasks;--", "日本語", "null", &longest]
    {
        let (_, task) = world.leaf();
        world.apply(Report::failed(task, text));
        assert_eq!(world.task(task).last_error.expect("an error").as_str(), text);
    }
}

pub fn overlong_error_is_truncated_and_nul_replaced(world: &World<'_>) {
    let (_, roots) = world.run_of(["A", "B"].map(TaskDraft::new));
    let long = "é".repeat(MAX_ERROR_BYTES);
    world.apply(Report::failed(roots[0], long.as_str()));
    let read = world.task(roots[0]).last_error.expect("an error");
    assert!(read.as_str().len() <= MAX_ERROR_BYTES && read.as_str().ends_with("é…"));
    let again = world.report(Report::failed(roots[0], long.as_str()));
    assert_eq!(again, conductor_store::ReportOutcome::Unchanged, "cut in the same place");
    world.apply(Report::failed(roots[1], "before\0after"));
    assert_eq!(world.task(roots[1]).last_error.expect("an error").as_str(), "before\u{FFFD}after");
}

pub fn largest_json_is_kept_whole(world: &World<'_>) {
    let text = "x".repeat(MAX_JSON_BYTES - 2);
    let run = world.submit(&RunDraft::new().meta(&text).task(TaskDraft::new("A").input(&text)));
    let quoted = format!("\"{text}\"");
    assert_eq!(world.run(run).meta.expect("meta").as_str(), quoted);
    assert_eq!(world.roots(run)[0].input.as_ref().expect("an input").as_str(), quoted);
}

pub fn extreme_numbers_are_kept(world: &World<'_>) {
    for (priority, retries) in [(i16::MIN, 0), (i16::MAX, 1000)] {
        let (_, task) = world.one(TaskDraft::new("A").priority(priority).max_retries(retries));
        let task = world.task(task);
        assert_eq!((task.priority, i64::from(task.max_retries.get())), (priority, retries));
    }
}

pub fn extreme_timestamps_are_kept(world: &World<'_>) {
    for due in [Timestamp::MIN, Timestamp::MAX] {
        let (_, task) = world.one(TaskDraft::new("A").due_at(due));
        assert_eq!(world.task(task).due_at, Some(due));
    }
    assert_eq!(world.promote(), 1);
}

pub fn names_grow_down_to_deepest_child(world: &World<'_>) {
    let mut input = json!({"fanout": 1});
    for _ in 0..30 {
        input = json!({"fanout": [input]});
    }
    let name = "x".repeat(MAX_NAME_BYTES);
    let (run, _) = world.one(TaskDraft::new(&name).input(input));
    assert_eq!(world.fan_out(), 31);
    let deepest = format!("{name}{}", "#1".repeat(31));
    assert!(world.tasks(run).iter().any(|task| task.name.as_str() == deepest));
}
