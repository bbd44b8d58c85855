//! Valid drafts, and the hash of a draft.

use conductor_model::{
    Backoff, Json, NewRun, NewTask, PayloadHash, RunDraft, RunId, TaskDraft, TaskId, Timestamp,
};
use proptest::collection::btree_map;
use proptest::prelude::*;
use serde_json::{Value, json};

const ID: &str = "01HZXW3V5N8Q4R6T7Y9ABCDEFG";

/// Returns the hash of a draft under the key `k`.
fn hash(json: &str) -> PayloadHash {
    let draft: RunDraft = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    hash_of_draft(&draft)
}

fn hash_of_draft(draft: &RunDraft) -> PayloadHash {
    let run =
        draft.clone().idempotency_key("k").validate().unwrap_or_else(|error| panic!("{draft:?}: {error}"));
    run.payload().expect("a run with a key has a hash")
}

fn run_from_value(value: &Value) -> NewRun {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[test]
fn built_draft_equals_parsed_draft() {
    let at: Timestamp = "2026-03-01T12:00:00.000Z".parse().unwrap();
    let built = RunDraft::new()
        .id(ID.parse::<RunId>().unwrap())
        .meta(json!({"by": "me"}))
        .idempotency_key("k")
        .open()
        .task(
            TaskDraft::new("resize")
                .id(ID.parse::<TaskId>().unwrap())
                .kind("image")
                .input(json!({"fanout": 3, "width": 80}))
                .max_retries(7)
                .backoff(Backoff::exponential(100, 60_000).unwrap().with_jitter(0.25).unwrap())
                .priority(-5)
                .due_at(at),
        )
        .tasks([TaskDraft::new("more").open(), TaskDraft::new("least")])
        .validate()
        .unwrap();
    let read = format!(
        r#"{{"id":"{ID}","meta":{{"by":"me"}},"idempotency_key":"k","open":true,"tasks":[
            {{"name":"resize","id":"{ID}","kind":"image","input":{{"fanout":3,"width":80}},"max_retries":7,
              "backoff":{{"first_ms":100,"cap_ms":60000,"jitter":0.25}},"priority":-5,
              "due_at":"2026-03-01T12:00:00.000Z"}},
            {{"name":"more","open":true}},
            {{"name":"least"}}]}}"#
    );
    assert_eq!(serde_json::from_str::<NewRun>(&read).unwrap(), built);
    assert_eq!(read.parse::<NewRun>().unwrap(), built);
    assert_eq!(run_from_value(&serde_json::from_str(&read).unwrap()), built);

    assert_eq!(built.id().unwrap().to_string(), ID);
    assert_eq!(built.meta().unwrap().as_str(), r#"{"by":"me"}"#);
    assert_eq!(built.idempotency_key().unwrap().as_str(), "k");
    assert!(built.is_open());
    assert_eq!(built.ids_needed(), 4);
    let [resize, more, least] = built.tasks() else { panic!("three tasks") };
    assert_eq!((resize.max_retries().get(), resize.priority(), resize.due_at()), (7, -5, Some(at)));
    assert_eq!(resize.kind().as_str(), "image");
    assert_eq!(resize.backoff().delay_ms(1, 0.0), 200);
    assert_eq!(resize.child_counts().unwrap().total, Some(3));
    assert_eq!(more.child_counts().unwrap().total, None);
    assert_eq!((least.child_counts(), least.id(), least.input(), least.due_at()), (None, None, None, None));
}

#[test]
fn parsed_and_built_tasks_are_combined() {
    let draft: RunDraft = serde_json::from_str(r#"{"tasks": [{"name": "a"}]}"#).unwrap();
    let run = draft.task(TaskDraft::new("b")).validate().unwrap();
    let names: Vec<&str> = run.tasks().iter().map(|task| task.name().as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn null_input_is_value() {
    let input = |json: &str| serde_json::from_str::<NewTask>(json).unwrap().input().cloned();
    assert_eq!(input(r#"{"name": "a"}"#), None);
    for value in ["null", "0", "false", "\"\"", "[]", "{}"] {
        let kept = input(&format!(r#"{{"name": "a", "input": {value}}}"#));
        assert_eq!(kept.as_ref().map(Json::as_str), Some(value));
    }
    let built = TaskDraft::new("a").input(None::<u8>).validate().unwrap();
    assert_eq!(built.input().map(Json::as_str), Some("null"));
    let run: NewRun = r#"{"meta": null}"#.parse().unwrap();
    assert_eq!(run.meta().map(Json::as_str), Some("null"));
}

#[test]
fn other_null_is_missing() {
    let keys = ["id", "kind", "max_retries", "backoff", "priority", "due_at", "open"];
    let nulls = keys.map(|key| format!("\"{key}\": null")).join(", ");
    let task: NewTask = serde_json::from_str(&format!(r#"{{"name": "a", {nulls}}}"#)).unwrap();
    assert_eq!(task, TaskDraft::new("a").validate().unwrap());
}

#[test]
fn value_without_json_form_is_issue() {
    let keyed_by_lists = std::collections::BTreeMap::from([(vec![1], 2)]);
    let invalid = RunDraft::new()
        .meta(&keyed_by_lists)
        .task(TaskDraft::new("a").input(&keyed_by_lists))
        .validate()
        .unwrap_err();
    let paths: Vec<&str> = invalid.issues().iter().map(|issue| issue.path.as_str()).collect();
    assert_eq!(paths, ["meta", "tasks[0].input"]);
}

#[test]
fn hash_ignores_key_order_white_space_and_escapes() {
    let one = hash(
        r#"{"meta":{"a":1,"b":[1,2]},"idempotency_key":"k","tasks":[{"name":"é","input":{"x":1,"y":2}},{"name":"b"}]}"#,
    );
    let other = hash(
        "\n{ \"tasks\" : [ { \"input\":{\"y\":2, \"x\":1}, \"n\\u0061me\":\"\\u00e9\" } , {\"name\":\"b\"} ],
            \"idempotency_key\":\"k\", \"meta\": {\"b\":[ 1,2 ], \"a\":1} }",
    );
    assert_eq!(one, other);
}

#[test]
fn hash_ignores_generated_values() {
    // The hash excludes ids, times and defaults, so it never changes.
    let draft = RunDraft::new().task(TaskDraft::new("a"));
    assert_eq!(hash_of_draft(&draft), hash_of_draft(&draft));
    assert_eq!(hash_of_draft(&draft), hash(r#"{"tasks": [{"name": "a"}]}"#));
    assert_eq!(hash("{}"), hash(r#"{"tasks": []}"#));
}

#[test]
fn run_without_idempotency_key_has_no_hash() {
    assert_eq!(RunDraft::new().task(TaskDraft::new("a")).validate().unwrap().payload(), None);
    assert_eq!(r#"{"meta": {"a": 1}}"#.parse::<NewRun>().unwrap().payload(), None);
}

#[test]
fn hash_differs_for_any_given_difference() {
    let drafts = [
        "{}".into(),
        r#"{"open": true}"#.into(),
        r#"{"open": false}"#.into(),
        r#"{"meta": null}"#.into(),
        r#"{"meta": {}}"#.into(),
        r#"{"meta": []}"#.into(),
        r#"{"meta": [[]]}"#.into(),
        r#"{"meta": 1}"#.into(),
        r#"{"meta": 1.0}"#.into(),
        r#"{"meta": "1"}"#.into(),
        r#"{"meta": [1, 2]}"#.into(),
        r#"{"meta": [2, 1]}"#.into(),
        r#"{"meta": [12]}"#.into(),
        r#"{"meta": {"a": "b"}}"#.into(),
        r#"{"meta": {"a\":\"b": ""}}"#.into(),
        format!(r#"{{"id": "{ID}"}}"#),
        r#"{"tasks": [{"name": "a"}]}"#.into(),
        r#"{"tasks": [{"name": "b"}]}"#.into(),
        r#"{"tasks": [{"name": "a"}, {"name": "b"}]}"#.into(),
        r#"{"tasks": [{"name": "b"}, {"name": "a"}]}"#.into(),
        r#"{"tasks": [{"name": "a", "kind": "a"}]}"#.into(),
        r#"{"tasks": [{"name": "a", "input": null}]}"#.into(),
        r#"{"tasks": [{"name": "a", "max_retries": 3}]}"#.into(),
        r#"{"tasks": [{"name": "a", "max_retries": 4}]}"#.into(),
        r#"{"tasks": [{"name": "a", "priority": 1}]}"#.into(),
        r#"{"tasks": [{"name": "a", "backoff": {"fixed_ms": 1}}]}"#.into(),
        r#"{"tasks": [{"name": "a", "open": true}]}"#.into(),
        r#"{"tasks": [{"name": "a", "due_at": "2026-03-01T12:00:00Z"}]}"#.into(),
        format!(r#"{{"tasks": [{{"name": "a", "id": "{ID}"}}]}}"#),
    ];
    let hashes: Vec<PayloadHash> = drafts.iter().map(|draft| hash(draft)).collect();
    for (i, a) in hashes.iter().enumerate() {
        for (j, b) in hashes.iter().enumerate().skip(i + 1) {
            assert_ne!(a, b, "{} and {}", drafts[i], drafts[j]);
        }
    }
}

/// Returns the same JSON with its keys in another order, and with white space.
fn reordered(value: &Value, turn: usize) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let mut members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!(" {} :\t{}", Value::from(key.as_str()), reordered(value, turn / 2)))
        .collect();
    let by = turn % members.len().max(1);
    members.rotate_left(by);
    format!("{{{}\n}}", members.join(","))
}

proptest! {
    #[test]
    fn any_key_order_gives_same_hash(
        meta in btree_map("\\PC{0,4}", btree_map(".{0,3}", any::<i32>(), 0..4), 0..6), turn in any::<usize>(),
    ) {
        let plain = json!({"meta": meta, "tasks": [{"name": "a", "input": meta}], "open": true});
        let reordered = reordered(&plain, turn);
        prop_assert_eq!(hash(&plain.to_string()), hash(&reordered), "{}", reordered);
    }

    #[test]
    fn different_meta_gives_different_hash(a in any::<i64>(), b in any::<i64>(), text in any::<String>()) {
        let of = |meta: Value| hash_of_draft(&RunDraft::new().meta(meta));
        prop_assert_eq!(of(json!([a, text])) == of(json!([b, text])), a == b);
        prop_assert_ne!(of(json!(text)), of(json!([text])));
    }
}
