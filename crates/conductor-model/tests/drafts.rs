//! Validation of drafts: each bound from both sides, with the path and the code of each issue.

use conductor_model::IssueCode::{
    self, Conflict, DuplicateKey, InvalidFormat, InvalidType, Required, TooBig, TooSmall, UnrecognizedKey,
};
use conductor_model::{
    Backoff, JoinDraft, MAX_BACKOFF_MS, MAX_FANOUT, MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_TASKS,
    MAX_TIMEOUT_MS, NewRun, NewTask, Policy, RunDraft, TaskDraft, ValidationError,
};
use serde_json::json;

type Expected<'a> = &'a [(&'a str, IssueCode)];

fn paths(invalid: &ValidationError) -> Vec<(&str, IssueCode)> {
    invalid.issues().iter().map(|issue| (issue.path.as_str(), issue.code)).collect()
}

/// Asserts that `validate`, serde and `FromStr` reject the run with the same issues.
fn assert_run_rejected(json: &str, expected: Expected) {
    let draft: RunDraft = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    let excerpt: String = json.chars().take(200).collect();
    let Err(invalid) = draft.validate() else { panic!("{excerpt} is valid") };
    assert_eq!(paths(&invalid), expected, "{excerpt}: {invalid}");
    assert!(invalid.issues().iter().all(|issue| !issue.message.is_empty()));
    assert_eq!(serde_json::from_str::<NewRun>(json).unwrap_err().to_string(), invalid.to_string());
    assert_eq!(json.parse::<NewRun>().unwrap_err(), invalid);
}

/// Asserts that the task is rejected alone, and as the second task of a run with paths that begin with `tasks[1].`
fn assert_rejected(task: &str, expected: Expected) {
    let draft: TaskDraft = serde_json::from_str(task).unwrap_or_else(|error| panic!("{task}: {error}"));
    let excerpt: String = task.chars().take(200).collect();
    let Err(invalid) = draft.validate() else { panic!("{excerpt} is valid") };
    assert_eq!(paths(&invalid), expected, "{excerpt}: {invalid}");
    assert_eq!(serde_json::from_str::<NewTask>(task).unwrap_err().to_string(), invalid.to_string());
    let prefixed: Vec<_> = expected.iter().map(|(path, code)| (format!("tasks[1].{path}"), *code)).collect();
    let prefixed: Vec<_> = prefixed.iter().map(|(path, code)| (path.as_str(), *code)).collect();
    assert_run_rejected(&format!(r#"{{"tasks": [{{"name": "a"}}, {task}]}}"#), &prefixed);
}

/// Asserts that a task with this value of one key is rejected.
fn assert_value_rejected(key: &str, value: &str, path: &str, code: IssueCode) {
    let name = if key == "name" { "" } else { r#""name": "a", "# };
    assert_rejected(&format!(r#"{{{name}"{key}": {value}}}"#), &[(path, code)]);
}

fn accept(key: &str, value: &str) -> NewTask {
    let name = if key == "name" { "" } else { r#""name": "a", "# };
    let task = format!(r#"{{{name}"{key}": {value}}}"#);
    serde_json::from_str(&task).unwrap_or_else(|error| panic!("{key}: {error}"))
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn name_and_kind_out_of_bounds_are_rejected() {
    for key in ["name", "kind"] {
        for good in ["a", &"x".repeat(255), "Ünï 🦀", "'; DROP TABLE tasks; --", "../../etc/passwd", "%s{}\\"]
        {
            let task = accept(key, &json_string(good));
            assert_eq!(if key == "name" { task.name().as_str() } else { task.kind().as_str() }, good);
        }
        let bad = [
            (json_string(""), TooSmall),
            (json_string(&"x".repeat(256)), TooBig),
            (json_string(&"é".repeat(128)), TooBig),
            (json_string("a\0b"), InvalidFormat),
            (json_string("a\tb"), InvalidFormat),
            (json_string("a\u{9b}b"), InvalidFormat),
            ("7".into(), InvalidType),
            ("[\"a\"]".into(), InvalidType),
            (r#""\ud800""#.into(), InvalidType),
        ];
        for (value, code) in bad {
            assert_value_rejected(key, &value, key, code);
        }
    }
    assert_value_rejected("name", "\"a#1\"", "name", InvalidFormat);
    assert_value_rejected("name", "\"#\"", "name", InvalidFormat);
    assert_eq!(accept("kind", "\"a#1\"").kind().as_str(), "a#1", "only a name must not contain `#`");
    assert_rejected("{}", &[("name", Required)]);
    assert_rejected(r#"{"name": null}"#, &[("name", Required)]);
    assert_eq!(accept("name", "\"a\"").kind().as_str(), "a", "the kind is the name by default");
}

#[test]
fn input_too_large_deep_or_ambiguous_is_rejected() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    accept("input", &nested(MAX_JSON_DEPTH));
    assert_value_rejected("input", &nested(MAX_JSON_DEPTH + 1), "input", TooBig);
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    accept("input", &text(MAX_JSON_BYTES));
    assert_value_rejected("input", &text(MAX_JSON_BYTES + 1), "input", TooBig);
    assert_value_rejected("input", r#"{"a": 1, "a": 2}"#, "input", DuplicateKey);
    assert_value_rejected("input", r#"[[{"b": {"a": 1, "\u0061": 2}}]]"#, "input", DuplicateKey);
    assert_value_rejected("input", "1e999", "input", InvalidFormat);
    assert_value_rejected("input", r#""\udc00""#, "input", InvalidFormat);
    assert_run_rejected(&format!(r#"{{"meta": {}}}"#, nested(65)), &[("meta", TooBig)]);
    assert_run_rejected(&format!(r#"{{"meta": {}}}"#, text(MAX_JSON_BYTES + 1)), &[("meta", TooBig)]);
    assert_run_rejected(r#"{"meta": {"a": 1, "a": 1}}"#, &[("meta", DuplicateKey)]);
}

#[test]
fn endless_nesting_is_rejected_without_recursion() {
    let endless = "[".repeat(200_000) + &"]".repeat(200_000);
    assert_value_rejected("input", &endless, "input", TooBig);
    assert_value_rejected("color", &endless, "color", UnrecognizedKey);
    assert_value_rejected("name", &endless, "name", InvalidType);
    assert_value_rejected("max_retries", &endless, "max_retries", InvalidType);
    assert_value_rejected("input", &format!(r#"{{"fanout": {endless}}}"#), "input", TooBig);
    assert_run_rejected(&format!(r#"{{"meta": {endless}}}"#), &[("meta", TooBig)]);
    assert_run_rejected(&format!(r#"{{"tasks": [{endless}]}}"#), &[("tasks[0]", InvalidType)]);
}

#[test]
fn retries_and_priority_out_of_bounds_are_rejected() {
    for (value, retries) in [("0", 0), ("1", 1), ("1000", 1000), ("null", 3)] {
        assert_eq!(accept("max_retries", value).max_retries().get(), retries);
    }
    for (value, code) in [
        ("-1", TooSmall),
        ("1001", TooBig),
        ("9223372036854775807", TooBig),
        ("\"3\"", InvalidType),
        ("1.5", InvalidType),
        ("3.0", InvalidType),
        ("true", InvalidType),
        ("[]", InvalidType),
    ] {
        assert_value_rejected("max_retries", value, "max_retries", code);
    }
    for (value, priority) in [("-32768", -32768), ("32767", 32767), ("0", 0), ("null", 0)] {
        assert_eq!(accept("priority", value).priority(), priority);
    }
    for (value, code) in
        [("32768", TooBig), ("-32769", TooSmall), ("0.5", InvalidType), ("\"1\"", InvalidType)]
    {
        assert_value_rejected("priority", value, "priority", code);
    }
}

#[test]
fn timeout_out_of_bounds_is_rejected() {
    let longest = MAX_TIMEOUT_MS.to_string();
    for (value, timeout) in
        [("1", Some(1)), ("5000", Some(5000)), (longest.as_str(), Some(MAX_TIMEOUT_MS)), ("null", None)]
    {
        assert_eq!(accept("timeout_ms", value).timeout_ms(), timeout);
    }
    for (value, code) in [
        ("0", TooSmall),
        ("-1", TooSmall),
        ("604800001", TooBig),
        ("9223372036854775807", TooBig),
        ("\"5000\"", InvalidType),
        ("0.5", InvalidType),
        ("{}", InvalidType),
    ] {
        assert_value_rejected("timeout_ms", value, "timeout_ms", code);
    }
    assert_eq!(accept("name", "\"a\"").timeout_ms(), None, "by default an attempt has no limit");
    for (ms, is_valid) in [(1, true), (MAX_TIMEOUT_MS, true), (0, false), (MAX_TIMEOUT_MS + 1, false)] {
        let task = TaskDraft::new("a").timeout_ms(ms).validate();
        assert_eq!(task.ok().and_then(|task| task.timeout_ms()), is_valid.then_some(ms), "{ms}");
    }
}

#[test]
fn fan_out_sets_fanout_key_of_input() {
    let task = TaskDraft::new("a").fan_out(["x", "y", "z"]).validate().unwrap();
    assert_eq!(task.child_counts().unwrap().total, Some(3));
    assert_eq!(task.input().unwrap().as_str(), r#"{"fanout":["x","y","z"]}"#);
    let integers = TaskDraft::new("a").fan_out(1..=4_u8).validate().unwrap();
    assert_eq!(integers.input().unwrap().as_str(), r#"{"fanout":[1,2,3,4]}"#);
    let empty = TaskDraft::new("a").fan_out(Vec::<u8>::new()).validate().unwrap_err();
    assert_eq!(paths(&empty), [("input.fanout", TooSmall)]);
    let too_large = TaskDraft::new("a").fan_out(["x".repeat(MAX_JSON_BYTES)]).validate().unwrap_err();
    assert_eq!(paths(&too_large), [("input", TooBig)]);
    let both = TaskDraft::new("a").open().fan_out([1]).validate().unwrap_err();
    assert_eq!(paths(&both), [("open", Conflict)]);
}

#[test]
fn fanout_out_of_bounds_is_rejected_anywhere() {
    for (value, total) in [("1", 1), ("10000000", MAX_FANOUT), ("[null]", 1), ("[0, [], {\"fanout\": 3}]", 3)]
    {
        let task = accept("input", &format!(r#"{{"fanout": {value}}}"#));
        assert_eq!(task.child_counts().unwrap().total, Some(total), "{value}");
    }
    for (value, code) in [
        ("0", TooSmall),
        ("-0", TooSmall),
        ("-1", TooSmall),
        ("-99999999999999999999999999999999999999999999", TooSmall),
        ("10000001", TooBig),
        ("4294967296", TooBig),
        ("99999999999999999999999999999999999999999999", TooBig),
        ("1.5", InvalidType),
        ("3.0", InvalidType),
        ("1e3", InvalidType),
        ("\"3\"", InvalidType),
        ("[]", TooSmall),
        ("null", InvalidType),
        ("true", InvalidType),
        ("{}", InvalidType),
    ] {
        assert_value_rejected("input", &format!(r#"{{"fanout": {value}}}"#), "input.fanout", code);
        let nested = format!(r#"{{"fanout": [1, {{"fanout": [{{"fanout": {value}}}]}}]}}"#);
        assert_value_rejected("input", &nested, "input.fanout[1].fanout[0].fanout", code);
    }
    let two = r#"{"name": "a", "input": {"fanout": [{"fanout": 0}, {"fanout": 2}, {"fanout": "x"}]}}"#;
    assert_rejected(two, &[("input.fanout[0].fanout", TooSmall), ("input.fanout[2].fanout", InvalidType)]);
}

#[test]
fn conflicting_values_are_rejected() {
    assert_eq!(accept("open", "true").child_counts().unwrap().total, None);
    assert_eq!(accept("open", "false").child_counts(), None);
    assert_rejected(r#"{"name": "a", "open": true, "input": {"fanout": 2}}"#, &[("open", Conflict)]);
    assert_rejected(
        r#"{"name": "a", "open": true, "due_at": "2026-03-01T00:00:00Z"}"#,
        &[("due_at", Conflict)],
    );
    assert_value_rejected("open", "1", "open", InvalidType);
    assert_value_rejected("open", "\"true\"", "open", InvalidType);
    let id = "01HZXW3V5N8Q4R6T7Y9ABCDEFG";
    let twice = format!(
        r#"{{"tasks": [{{"name": "a", "id": "{id}"}}, {{"name": "b", "id": "{}"}}]}}"#,
        id.to_lowercase()
    );
    assert_run_rejected(&twice, &[("tasks[1].id", Conflict)]);
}

#[test]
fn malformed_ids_and_timestamps_are_rejected() {
    assert!(accept("id", "\"01hzxw3v5n8q4r6t7y9abcdefg\"").id().is_some());
    for value in
        ["\"\"", "\"01HZXW3V5N8Q4R6T7Y9ABCDEF\"", "\"8ZZZZZZZZZZZZZZZZZZZZZZZZZ\"", "\"' OR 1=1 --\""]
    {
        assert_value_rejected("id", value, "id", InvalidFormat);
        assert_run_rejected(&format!(r#"{{"id": {value}}}"#), &[("id", InvalidFormat)]);
    }
    assert_value_rejected("id", "12", "id", InvalidType);
    let at = accept("due_at", "\"2026-03-01T12:00:00+02:00\"").due_at().unwrap();
    assert_eq!(at.to_string(), "2026-03-01T10:00:00.000Z");
    for value in ["\"tomorrow\"", "\"2026-02-30T00:00:00Z\"", "\"\"", "\"0000-01-01T00:00:00+01:00\""] {
        assert_value_rejected("due_at", value, "due_at", InvalidFormat);
    }
    assert_value_rejected("due_at", "1772366400000", "due_at", InvalidType);
}

#[test]
fn invalid_backoff_is_rejected_with_field_path() {
    for good in [
        "null".into(),
        "{}".into(),
        format!(r#"{{"fixed_ms": {MAX_BACKOFF_MS}}}"#),
        format!(r#"{{"first_ms": 1, "cap_ms": {MAX_BACKOFF_MS}, "jitter": 1}}"#),
    ] {
        accept("backoff", &good);
    }
    let over = MAX_BACKOFF_MS + 1;
    for (value, path, code) in [
        (format!(r#"{{"fixed_ms": {over}}}"#), "backoff.fixed_ms", TooBig),
        (format!(r#"{{"first_ms": {over}, "cap_ms": 1}}"#), "backoff.first_ms", TooBig),
        (format!(r#"{{"first_ms": 1, "cap_ms": {over}}}"#), "backoff.cap_ms", TooBig),
        (r#"{"first_ms": 1, "cap_ms": 1, "jitter": 1.5}"#.into(), "backoff.jitter", InvalidFormat),
        (r#"{"fixed_ms": 1, "jitter": 0.5}"#.into(), "backoff", Conflict),
        (r#"{"fixed_ms": 1, "cap_ms": 2}"#.into(), "backoff", Conflict),
        (r#"{"first_ms": 1}"#.into(), "backoff", Conflict),
        (r#"{"fixed_ms": -1}"#.into(), "backoff.fixed_ms", TooSmall),
        (r#"{"fixed_ms": 1, "fixed_ms": 2}"#.into(), "backoff.fixed_ms", DuplicateKey),
        (r#"{"wait": 1}"#.into(), "backoff.wait", UnrecognizedKey),
        ("5".into(), "backoff", InvalidType),
        ("[500]".into(), "backoff", InvalidType),
    ] {
        assert_value_rejected("backoff", &value, path, code);
    }
}

#[test]
fn unknown_and_duplicate_keys_are_rejected() {
    assert_rejected(r#"{"name": "a", "retries": 3}"#, &[("retries", UnrecognizedKey)]);
    assert_rejected(r#"{"name": "a", "Name": null}"#, &[("Name", UnrecognizedKey)]);
    assert_rejected(r#"{"name": "a", "name": "b"}"#, &[("name", DuplicateKey)]);
    assert_rejected(r#"{"name": "a", "input": 1, "inp\u0075t": 2}"#, &[("input", DuplicateKey)]);
    assert_rejected(r#"{"kind": "a", "kind": "b"}"#, &[("kind", DuplicateKey), ("name", Required)]);
    assert_run_rejected(r#"{"task": []}"#, &[("task", UnrecognizedKey)]);
    assert_run_rejected(r#"{"tasks": [], "tasks": []}"#, &[("tasks", DuplicateKey)]);
    assert_run_rejected(r#"{"open": "yes"}"#, &[("open", InvalidType)]);
    assert_run_rejected(r#"{"idempotency_key": ""}"#, &[("idempotency_key", TooSmall)]);
    assert_run_rejected(r#"{"idempotency_key": "a\u0000"}"#, &[("idempotency_key", InvalidFormat)]);
}

#[test]
fn tasks_must_be_array_of_objects() {
    for value in ["5", "{}", "\"a\""] {
        assert_run_rejected(&format!(r#"{{"tasks": {value}}}"#), &[("tasks", InvalidType)]);
    }
    let mixed = r#"{"tasks": [{"name": ""}, 5, {"name": "a"}, null, {"nam": "a"}]}"#;
    let expected = [
        ("tasks[0].name", TooSmall),
        ("tasks[1]", InvalidType),
        ("tasks[3]", InvalidType),
        ("tasks[4].name", Required),
        ("tasks[4].nam", UnrecognizedKey),
    ];
    assert_run_rejected(mixed, &expected);
    for none in ["{}", r#"{"tasks": []}"#, r#"{"tasks": null}"#] {
        assert!(none.parse::<NewRun>().unwrap().tasks().is_empty(), "{none}");
    }
}

#[test]
fn more_than_100_000_root_tasks_are_rejected() {
    let draft = |count| RunDraft::new().tasks((0..count).map(|_| TaskDraft::new("a")));
    assert_eq!(draft(MAX_TASKS).validate().unwrap().ids_needed(), 100_001);
    assert_eq!(paths(&draft(MAX_TASKS + 1).validate().unwrap_err()), [("tasks", TooBig)]);
}

#[test]
fn malformed_json_is_one_issue() {
    for text in ["", "{", "[]", "null", "5", "{} {}", "{\"a\"}", "{\"tasks\": [}"] {
        let invalid = text.parse::<NewRun>().unwrap_err();
        assert_eq!(paths(&invalid), [("", InvalidFormat)], "{text:?}");
        assert!(serde_json::from_str::<NewRun>(text).is_err());
    }
}

#[test]
fn all_issues_are_collected_in_one_error() {
    let json = r#"{
        "id": "x", "meta": {"a": 1, "a": 1}, "idempotency_key": "", "open": 1, "color": "red",
        "tasks": [
            {"name": "a#1", "kind": "", "max_retries": -1, "priority": 1e9, "due_at": "?", "shape": 1},
            {"name": "fine"},
            {"name": "b", "input": {"fanout": []}, "backoff": {"fixed_ms": 604800001}, "id": "y", "open": true}
        ]
    }"#;
    let expected = [
        ("id", InvalidFormat),
        ("meta", DuplicateKey),
        ("idempotency_key", TooSmall),
        ("open", InvalidType),
        ("tasks[0].name", InvalidFormat),
        ("tasks[0].kind", TooSmall),
        ("tasks[0].max_retries", TooSmall),
        ("tasks[0].priority", InvalidType),
        ("tasks[0].due_at", InvalidFormat),
        ("tasks[0].shape", UnrecognizedKey),
        ("tasks[2].id", InvalidFormat),
        ("tasks[2].backoff.fixed_ms", TooBig),
        ("tasks[2].input.fanout", TooSmall),
        ("color", UnrecognizedKey),
    ];
    assert_run_rejected(json, &expected);
    let message = json.parse::<NewRun>().unwrap_err().to_string();
    assert!(message.starts_with("14 issues: id: must be a ULID"), "{message}");
    for (path, _) in expected {
        assert!(message.contains(&format!("{path}: ")), "{path} is not in {message}");
    }
}

#[test]
fn policy_is_read_in_five_forms() {
    let policies = [
        ("\"fail\"", Policy::Fail),
        ("\"ignore\"", Policy::Ignore),
        ("\"fail_fast\"", Policy::FailFast),
        ("{\"tolerate\": 3}", Policy::Tolerate(3)),
        ("{\"tolerate_percent\": 100}", Policy::tolerate_percent(100).unwrap()),
    ];
    for (text, policy) in policies {
        let json =
            format!(r#"{{"policy": {text}, "tasks": [{{"name": "a", "open": true, "policy": {text}}}]}}"#);
        let run: NewRun = json.parse().unwrap();
        assert_eq!((run.policy(), run.tasks()[0].policy()), (policy, policy), "{text}");
        let draft = RunDraft::new()
            .policy(policy)
            .task(TaskDraft::new("a").open().policy(policy))
            .validate()
            .unwrap();
        assert_eq!((draft.policy(), draft.tasks()[0].policy()), (policy, policy), "{text}");
    }
    let none: NewRun = r#"{"tasks": [{"name": "a"}]}"#.parse().unwrap();
    assert_eq!((none.policy(), none.tasks()[0].policy()), (Policy::Fail, Policy::Fail));
}

#[test]
fn join_is_read_as_kind_or_object() {
    let run: NewRun = r#"{"join": "report", "tasks": [{"name": "a", "input": {"fanout": 2},
        "join": {"kind": "sum", "max_retries": 0, "timeout_ms": 5, "backoff": {"fixed_ms": 1}}}]}"#
        .parse()
        .unwrap();
    let report = run.join().unwrap();
    assert_eq!((report.kind.as_str(), report.max_retries.get(), report.timeout_ms), ("report", 3, None));
    let sum = run.tasks()[0].join().unwrap();
    assert_eq!((sum.kind.as_str(), sum.max_retries.get(), sum.timeout_ms), ("sum", 0, Some(5)));
    assert_eq!(sum.backoff, Backoff::fixed(1).unwrap());
    let join = JoinDraft::new("sum").max_retries(0).timeout_ms(5).backoff(Backoff::fixed(1).unwrap());
    let draft =
        RunDraft::new().join("report").task(TaskDraft::new("a").input(json!({"fanout": 2})).join(join));
    let built = draft.validate().unwrap();
    assert_eq!((built.join(), built.tasks()[0].join()), (Some(report), Some(sum)));
    assert_eq!(built.ids_needed(), 4, "a run, its join, a task, its join");
}

#[test]
fn invalid_policy_join_and_deadline_have_paths() {
    let wrong = r#"{"policy": "maybe", "join": {"max_retries": 1001, "color": 1}, "deadline_ms": 0, "tasks": [
        {"name": "leaf", "policy": "ignore"}, {"name": "leaf", "join": "report"},
        {"name": "a", "open": true, "policy": {"tolerate_percent": 101}}, {"name": "a", "open": true, "join": ""}
    ]}"#;
    let invalid = wrong.parse::<NewRun>().unwrap_err();
    let paths: Vec<&str> = invalid.issues().iter().map(|issue| issue.path.as_str()).collect();
    let expected = [
        "policy",
        "join.kind",
        "join.max_retries",
        "join.color",
        "deadline_ms",
        "tasks[0].policy",
        "tasks[1].join",
        "tasks[2].policy",
        "tasks[3].join",
    ];
    assert_eq!(paths, expected, "{invalid}");
}

#[test]
fn deadline_above_one_year_is_rejected() {
    let year = 365 * 24 * 60 * 60 * 1000;
    assert_eq!(RunDraft::new().deadline_ms(year).validate().unwrap().deadline_ms(), Some(year));
    assert!(RunDraft::new().deadline_ms(year + 1).validate().is_err());
    assert_eq!(RunDraft::new().validate().unwrap().deadline_ms(), None);
}
