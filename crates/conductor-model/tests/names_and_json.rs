//! Names, and JSON values in tasks and runs.

use conductor_model::{
    Backoff, CancelCause, ChildCounts, Fanout, IdempotencyKey, Issue, IssueCode, Join, Json, Kind,
    MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_NAME_BYTES, MaxRetries, Policy, Run, RunId, State, StateCounts, Task,
    TaskId, TaskName, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::str::FromStr as _;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON cannot express it", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("")),
        Just(json!(0)),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn sample_task(input: Option<Json>, output: Option<Json>) -> Task {
    let now = Timestamp::from_millis(1).unwrap();
    Task {
        id: TaskId::from_u128(2),
        run: RunId::from_u128(1),
        parent: None,
        index: 1,
        name: "resize#1".parse().unwrap(),
        kind: "resize".parse().unwrap(),
        state: State::Failed,
        created_at: now,
        updated_at: now,
        due_at: Some(now),
        input,
        output,
        retry_count: 1,
        max_retries: MaxRetries::default(),
        backoff: Backoff::NONE,
        timeout_ms: Some(5000),
        priority: -1,
        attempt: 2,
        lease_until: None,
        last_error: Some("boom".into()),
        child_counts: None,
        policy: Policy::Fail,
        join: None,
        cancel_cause: None,
    }
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

proptest! {
    #[test]
    fn any_value_survives_json(value in any_value()) {
        let json = Json::of(&value).unwrap();
        prop_assert_eq!(json.to::<Value>().unwrap(), value.clone());
        prop_assert_eq!(json.as_str().parse::<Json>().unwrap(), json.clone());
        let carried = serde_json::to_string(&json).unwrap();
        prop_assert_eq!(&carried, json.as_str());
        prop_assert_eq!(serde_json::from_str::<Json>(&carried).unwrap(), json.clone());
        prop_assert_eq!(serde_json::to_value(&json).unwrap(), value.clone());
        prop_assert_eq!(serde_json::from_value::<Json>(value).unwrap(), json);
    }

    #[test]
    fn any_value_survives_in_task_and_run(
        (input, output) in (prop::option::of(any_value()), prop::option::of(any_value())),
    ) {
        let json = |value: Option<Value>| value.map(|value| Json::of(&value).unwrap());
        let task = sample_task(json(input.clone()), json(output));
        let text = serde_json::to_string(&task).unwrap();
        prop_assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), task, "{}", text);

        let now = Timestamp::from_millis(0).unwrap();
        let run = Run {
            id: RunId::from_u128(1), state: State::Pending, created_at: now, updated_at: now, meta: json(input),
            idempotency_key: None, child_counts: ChildCounts::sealed(1), policy: Policy::Ignore,
            join: Some(Join { id: TaskId::from_u128(9), kind: "report".parse().unwrap() }), cancel_cause: Some(CancelCause::Deadline),
            deadline: Some(now), state_counts: StateCounts::default(),
        };
        let text = serde_json::to_string(&run).unwrap();
        prop_assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run, "{}", text);
    }

    #[test]
    fn without_fanout_removes_only_fanout(
        mut members in prop::collection::btree_map(any::<String>(), any_value(), 0..6), n in 1_u32..1000,
    ) {
        members.remove("fanout");
        let rest = Value::Object(members.clone().into_iter().collect());
        members.insert("fanout".into(), n.into());
        let input = Json::of(&members).unwrap();
        prop_assert_eq!(Fanout::of(&input).unwrap(), Some(Fanout::Count(n)));
        let child = input.without_fanout();
        prop_assert_eq!(child.to::<Value>().unwrap(), rest);
        prop_assert_eq!(Fanout::of(&child).unwrap(), None);
        prop_assert_eq!(child.as_str().parse::<Json>().unwrap(), child.clone());
        prop_assert_eq!(child.without_fanout(), child);
    }

    #[test]
    fn fanout_items_are_elements_of_array(items in prop::collection::vec(any_value(), 1..6)) {
        let input = Json::of(&json!({"other": [1], "fanout": items})).unwrap();
        let read: Vec<Value> =
            input.fanout_items().into_iter().map(|item| serde_json::from_str(item).unwrap()).collect();
        prop_assert_eq!(read, items);
    }

    #[test]
    fn name_without_control_characters_survives(text in "\\PC{1,60}") {
        let kind: Kind = text.parse().unwrap();
        prop_assert_eq!(kind.to_string(), text.clone());
        let json = serde_json::to_string(&kind).unwrap();
        prop_assert_eq!(serde_json::from_str::<Kind>(&json).unwrap(), kind);
        let key: IdempotencyKey = text.parse().unwrap();
        prop_assert_eq!(serde_json::to_value(&key).unwrap(), json!(text));
        match TaskName::root(&text) {
            Ok(name) => prop_assert_eq!(name.as_str(), text.as_str()),
            Err(issue) => {
                prop_assert!(text.contains('#'));
                prop_assert_eq!(issue.code, IssueCode::InvalidFormat);
            }
        }
        let name: TaskName = text.parse().unwrap();
        prop_assert_eq!(name.child(3).to_string(), format!("{text}#3"));
        let json = serde_json::to_string(&name.child(3)).unwrap();
        prop_assert_eq!(serde_json::from_str::<TaskName>(&json).unwrap(), name.child(3));
    }
}

#[test]
fn null_in_task_and_run_is_value() {
    let null: Json = "null".parse().unwrap();
    for (input, output) in [(None, Some(null.clone())), (Some(null.clone()), None), (None, None)] {
        let task = sample_task(input, output);
        let text = serde_json::to_string(&task).unwrap();
        assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), task, "{text}");
    }
    let now = Timestamp::from_millis(0).unwrap();
    let run = Run {
        id: RunId::from_u128(1),
        state: State::Pending,
        created_at: now,
        updated_at: now,
        meta: Some(null),
        idempotency_key: None,
        child_counts: ChildCounts::sealed(1),
        policy: Policy::Fail,
        join: None,
        cancel_cause: None,
        deadline: None,
        state_counts: StateCounts::default(),
    };
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run, "{text}");
}

#[test]
fn json_text_is_kept_verbatim() {
    for text in [
        "0",
        "false",
        "\"\"",
        "null",
        "-0",
        "1e2",
        "0.1000",
        "12345678901234567890123",
        "0.30000000000000004",
        "5e-324",
        "{ \"b\" : 1,\n\t\"a\" : [ ] }",
        r#""\u00e9\/\u0000""#,
        "{}",
        "[]",
    ] {
        let padded = format!(" \n\t{text}\r\n ");
        let json: Json = padded.parse().unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(json.to_string(), text);
        assert_eq!(format!("{json:?}"), format!("Json({text})"));
    }
}

#[test]
fn numbers_keep_all_bits() {
    for number in [0.1 + 0.2, f64::MIN_POSITIVE, f64::MAX, -0.0, 9_007_199_254_740_993.0, 5e-324] {
        let back: f64 = Json::of(&number).unwrap().to().unwrap();
        assert_eq!(back.to_bits(), number.to_bits(), "{number:e}");
    }
    assert_eq!(Json::of(&u128::MAX).unwrap().to::<u128>().unwrap(), u128::MAX);
}

#[test]
fn malformed_json_is_rejected() {
    for text in [
        "",
        " ",
        "nul",
        "{",
        "[1,]",
        "{\"a\"}",
        "'a'",
        "1 2",
        "01",
        "+1",
        ".5",
        "NaN",
        "1e999",
        "\"\u{1}\"",
        "\"\\ud800\"",
        "\u{feff}1",
        "{1:2}",
        "[1]]",
        "\u{c}1",
        "1\u{b}",
    ] {
        let issue = text.parse::<Json>().unwrap_err();
        assert_eq!(issue.code, IssueCode::InvalidFormat, "{text:?}: {issue}");
    }
    let keyed_by_lists = std::collections::BTreeMap::from([(vec![1], 2)]);
    assert_eq!(Json::of(&keyed_by_lists).unwrap_err().code, IssueCode::InvalidType);
}

#[test]
fn duplicate_key_is_rejected_at_any_depth() {
    for text in [
        r#"{"a": 1, "a": 1}"#,
        r#"{"a": 1, "\u0061": 2}"#,
        r#"[{"b": {"a": 1, "c": 3, "a": 2}}]"#,
        r#"{"": 1, "": 2}"#,
        r#"{"é": 1, "\u00e9": 2}"#,
    ] {
        assert_eq!(text.parse::<Json>().unwrap_err().code, IssueCode::DuplicateKey, "{text}");
        assert!(serde_json::from_str::<Json>(text).is_err(), "{text}");
    }
    for text in [r#"{"a": 1, "A": 1}"#, r#"{"a": {"a": {"a": 1}}}"#, r#"[{"a": 1}, {"a": 1}]"#] {
        assert!(text.parse::<Json>().is_ok(), "{text}");
    }
}

#[test]
fn nesting_above_64_is_rejected() {
    assert!(nested(MAX_JSON_DEPTH).parse::<Json>().is_ok());
    let objects = |depth| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    assert!(objects(MAX_JSON_DEPTH).parse::<Json>().is_ok());
    for text in
        [nested(MAX_JSON_DEPTH + 1), objects(MAX_JSON_DEPTH + 1), nested(500_000), "[".repeat(500_000)]
    {
        assert_eq!(text.parse::<Json>().unwrap_err().code, IssueCode::TooBig);
    }
    // The deepest valid value can be deserialized as well.
    assert!(nested(MAX_JSON_DEPTH).parse::<Json>().unwrap().to::<Value>().is_ok());
}

#[test]
fn json_above_1_mib_is_rejected() {
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(text(MAX_JSON_BYTES).parse::<Json>().unwrap().as_str().len(), 1024 * 1024);
    assert_eq!(text(MAX_JSON_BYTES + 1).parse::<Json>().unwrap_err().code, IssueCode::TooBig);
    assert_eq!(Json::of(&"x".repeat(MAX_JSON_BYTES - 1)).unwrap_err().code, IssueCode::TooBig);
}

#[test]
fn fanout_key_is_read_in_any_spelling() {
    let escaped: Json = r#"{"a": 1, "\u0066anout": 2}"#.parse().unwrap();
    assert_eq!(Fanout::of(&escaped).unwrap(), Some(Fanout::Count(2)));
    assert_eq!(escaped.without_fanout().as_str(), r#"{"a":1}"#);
    let only: Json = r#"{"fanout": 2}"#.parse().unwrap();
    assert_eq!(only.without_fanout().as_str(), "{}");
    let digits: Json =
        r#"{"fanout": 1, "n": 1.0000000000000000000001, "in": {"fanout": 0}}"#.parse().unwrap();
    assert_eq!(Fanout::of(&digits).unwrap(), Some(Fanout::Count(1)), "only the top-level key counts");
    assert_eq!(digits.without_fanout().as_str(), r#"{"in":{"fanout": 0},"n":1.0000000000000000000001}"#);
    for leaf in ["3", "null", "[{\"fanout\": 0}]", "\"fanout\"", "{\"Fanout\":0}"] {
        let leaf: Json = leaf.parse().unwrap();
        assert_eq!(Fanout::of(&leaf).unwrap(), None);
        assert_eq!(leaf.without_fanout(), leaf);
        assert!(leaf.fanout_items().is_empty());
    }
}

#[test]
fn name_out_of_bounds_is_rejected() {
    let names = |text: &str| {
        [
            TaskName::root(text).map(String::from),
            text.parse::<Kind>().map(String::from),
            text.parse::<IdempotencyKey>().map(String::from),
        ]
    };
    for good in ["a", " ", "\u{1F980}", "'; DROP TABLE tasks; --", &"x".repeat(255), &("é".repeat(127) + "x")]
    {
        for name in names(good) {
            assert_eq!(name.unwrap(), good);
        }
    }
    let bad = [
        (String::new(), IssueCode::TooSmall),
        ("x".repeat(MAX_NAME_BYTES + 1), IssueCode::TooBig),
        ("é".repeat(128), IssueCode::TooBig),
        ("a\0b".into(), IssueCode::InvalidFormat),
        ("a\n".into(), IssueCode::InvalidFormat),
        ("\u{7f}".into(), IssueCode::InvalidFormat),
        ("\u{85}".into(), IssueCode::InvalidFormat),
    ];
    for (text, code) in bad {
        for name in names(&text) {
            assert_eq!(name.unwrap_err().code, code, "{text:?}");
        }
        assert!(serde_json::from_value::<Kind>(text.into()).is_err());
    }
}

#[test]
fn issue_of_constructor_names_value() {
    let text = |issue: Issue| issue.to_string();
    assert_eq!(text(Kind::from_str("").unwrap_err()), "kind must not be empty");
    assert_eq!(text(TaskName::from_str("").unwrap_err()), "task name must not be empty");
    assert_eq!(text(IdempotencyKey::from_str("").unwrap_err()), "idempotency key must not be empty");
    assert_eq!(
        text(MaxRetries::try_from(1001).unwrap_err()),
        "max_retries must be an integer in 0..=1000, but is 1001"
    );
    assert_eq!(
        text(Policy::tolerate_percent(101).unwrap_err()),
        "percent must be an integer in 0..=100, but is 101"
    );
    assert_eq!(
        text(Timestamp::from_str("noon").unwrap_err()),
        "timestamp must be an RFC 3339 text such as 2026-03-01T12:00:00.000Z, but is \"noon\": premature end of input"
    );
}

#[test]
fn long_value_is_truncated_in_message() {
    let issue = TaskName::root(&format!("#{}", "é".repeat(100))).unwrap_err();
    let shown = format!("but is \"#{}\"…", "é".repeat(59));
    assert!(issue.message.ends_with(&shown), "{issue}");
}
