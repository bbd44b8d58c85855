//! Submissions as JSON, from both sides of every bound: each wrong one has a clear error and writes nothing.

use crate::support::TestStore;
use conductor_model::MAX_JSON_BYTES;

/// No error: the submission is accepted.
const ACCEPTED: &str = "";

const MAX_RETRIES: &str = "tasks[0].max_retries: must be an integer in 0..=1000";
const PRIORITY: &str = "tasks[0].priority: must be an integer in -32768..=32767";
const BACKOFF: &str =
    r#"tasks[0].backoff: must be {"fixed_ms"} or {"first_ms", "cap_ms"} with an optional "jitter""#;
const RUN_KEYS: &str =
    "unknown key; the known keys are id, meta, tasks, idempotency_key, open, policy, join, deadline_ms";
const TASK_KEYS: &str = "unknown key; the known keys are name, id, kind, input, max_retries, backoff, timeout_ms, \
    priority, due_at, open, policy, join";
const FANOUT: &str =
    "tasks[0].input.fanout: must be an integer in 1..=10000000 or an array of 1 to 10000000 items";

/// A submission as JSON, and its error.
type Case = (String, String);

/// A run with one task of these members.
fn task_of(members: &str) -> String {
    format!(r#"{{"tasks": [{{{members}}}]}}"#)
}

/// A run with the task `A`, which also has this member.
fn with(member: &str) -> String {
    task_of(&format!(r#""name": "A", {member}"#))
}

/// A run with a task of this name.
fn named(name: &str) -> String {
    task_of(&format!(r#""name": "{name}""#))
}

/// A run with a task of this input.
fn input(input: &str) -> String {
    with(&format!(r#""input": {input}"#))
}

/// A run with a task of this fan-out.
fn fanout(fanout: &str) -> String {
    input(&format!(r#"{{"fanout": {fanout}}}"#))
}

/// Arrays inside arrays.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// A text whose JSON has this number of bytes.
fn text_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

fn case(json: impl Into<String>, error: impl Into<String>) -> Case {
    (json.into(), error.into())
}

/// A submission with a wrong value, which its error gives.
fn but_is(value: &str, json: impl Into<String>, error: &str) -> Case {
    (json.into(), format!("{error}, but is {value}"))
}

fn shapes() -> Vec<Case> {
    vec![
        case("{}", ACCEPTED),
        case("", "is not the JSON of a run: EOF while parsing a value at line 1 column 0"),
        case("nonsense", "is not the JSON of a run: expected ident at line 1 column 2"),
        case(
            "[]",
            "is not the JSON of a run: invalid type: sequence, expected a JSON object at line 1 column 0",
        ),
        case(
            "null",
            "is not the JSON of a run: invalid type: null, expected a JSON object at line 1 column 4",
        ),
        case(r#"{"tasks": []} {}"#, "is not the JSON of a run: trailing characters at line 1 column 15"),
        case(r#"{"tasks": null}"#, ACCEPTED),
        case(r#"{"tasks": {"name": "A"}}"#, r#"tasks: must be an array of objects, but is {"name": "A"}"#),
        case(r#"{"tasks": ["A"]}"#, r#"tasks[0]: must be an object, but is "A""#),
        case(r#"{"colour": 1}"#, format!("colour: {RUN_KEYS}")),
        case(with(r#""colour": 1"#), format!("tasks[0].colour: {TASK_KEYS}")),
        case(r#"{"meta": 1, "meta": 2}"#, "meta: duplicate key"),
        case(with(r#""name": "B""#), "tasks[0].name: duplicate key"),
        case(r#"{"open": "yes"}"#, r#"open: must be true or false, but is "yes""#),
        case(r#"{"open": false}"#, ACCEPTED),
        case(
            r#"{"tasks": [{"name": "a#b", "max_retries": -1}, {"input": {"fanout": 0}}], "id": "x", "to": 1}"#,
            "6 issues: id: must be a ULID (26 Crockford base-32 characters), but is \"x\": invalid length; \
             tasks[0].name: must not contain `#`, which separates a child's name from its index, but is \"a#b\"; \
             tasks[0].max_retries: must be an integer in 0..=1000, but is -1; tasks[1].name: is required; \
             tasks[1].input.fanout: must be an integer in 1..=10000000 or an array of 1 to 10000000 items, but is 0; \
             to: unknown key; the known keys are id, meta, tasks, idempotency_key, open, policy, join, deadline_ms",
        ),
    ]
}

fn names() -> Vec<Case> {
    let longest = "x".repeat(255);
    let wide = format!("x{}", "é".repeat(127));
    vec![
        case(task_of(r#""kind": "A""#), "tasks[0].name: is required"),
        case(task_of(r#""name": null"#), "tasks[0].name: is required"),
        case(task_of(r#""name": 7"#), "tasks[0].name: must be a string, but is 7"),
        case(named(""), "tasks[0].name: must not be empty"),
        case(named("x"), ACCEPTED),
        case(named(&longest), ACCEPTED),
        case(named(&format!("{longest}x")), "tasks[0].name: must be at most 255 bytes, but has 256"),
        case(named(&wide), ACCEPTED),
        case(named(&format!("{wide}x")), "tasks[0].name: must be at most 255 bytes, but has 256"),
        case(
            named("A#1"),
            r#"tasks[0].name: must not contain `#`, which separates a child's name from its index, but is "A#1""#,
        ),
        case(
            named(r"A\u0000"),
            r#"tasks[0].name: must not contain control characters, but "A\0" contains U+0000"#,
        ),
        case(
            named(r"A\nB"),
            r#"tasks[0].name: must not contain control characters, but "A\nB" contains U+000A"#,
        ),
        case(
            named(r"A\u0085"),
            r#"tasks[0].name: must not contain control characters, but "A\u{85}" contains U+0085"#,
        ),
        case(named(r"A\ud800"), r#"tasks[0].name: must be a string of valid Unicode, but is "A\ud800""#),
        case(with(r#""kind": """#), "tasks[0].kind: must not be empty"),
        case(with(r#""kind": "a#b""#), ACCEPTED),
        case(
            with(r#""kind": "\u0000""#),
            r#"tasks[0].kind: must not contain control characters, but "\0" contains U+0000"#,
        ),
        case(with(r#""kind": ["a"]"#), r#"tasks[0].kind: must be a string, but is ["a"]"#),
        case(with(&format!(r#""kind": "{longest}""#)), ACCEPTED),
        case(
            with(&format!(r#""kind": "{longest}x""#)),
            "tasks[0].kind: must be at most 255 bytes, but has 256",
        ),
        case(r#"{"idempotency_key": ""}"#, "idempotency_key: must not be empty"),
        case(
            r#"{"idempotency_key": "a\tb"}"#,
            r#"idempotency_key: must not contain control characters, but "a\tb" contains U+0009"#,
        ),
        case(
            r#"{"idempotency_key": "used"}"#,
            "run 00000000000000000000000002 has this idempotency key, but another payload; use another key, or submit the same payload",
        ),
        case(format!(r#"{{"idempotency_key": "{longest}"}}"#), ACCEPTED),
        case(
            format!(r#"{{"idempotency_key": "{longest}x"}}"#),
            "idempotency_key: must be at most 255 bytes, but has 256",
        ),
    ]
}

fn ids() -> Vec<Case> {
    vec![
        case(r#"{"id": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}"#, ACCEPTED),
        case(
            r#"{"id": "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"}"#,
            r#"id: must be a ULID (26 Crockford base-32 characters), but is "8ZZZZZZZZZZZZZZZZZZZZZZZZZ": the first character may not be above 7"#,
        ),
        case(r#"{"id": "0123456789abcdefghjkmnpqrs"}"#, ACCEPTED),
        case(
            r#"{"id": "0123456789ABCDEFGHJKMNPQRU"}"#,
            r#"id: must be a ULID (26 Crockford base-32 characters), but is "0123456789ABCDEFGHJKMNPQRU": invalid character"#,
        ),
        case(
            r#"{"id": "0123456789ABCDEFGHJKMNPQR"}"#,
            r#"id: must be a ULID (26 Crockford base-32 characters), but is "0123456789ABCDEFGHJKMNPQR": invalid length"#,
        ),
        case(
            r#"{"id": "0123456789ABCDEFGHJKMNPQRST"}"#,
            r#"id: must be a ULID (26 Crockford base-32 characters), but is "0123456789ABCDEFGHJKMNPQRST": invalid length"#,
        ),
        case(
            r#"{"id": ""}"#,
            r#"id: must be a ULID (26 Crockford base-32 characters), but is "": invalid length"#,
        ),
        case(r#"{"id": 1}"#, "id: must be a string, but is 1"),
        case(
            r#"{"id": "00000000000000000000000002"}"#,
            "run 00000000000000000000000002 exists already; choose another id, or none",
        ),
        case(
            with(r#""id": "00000000000000000000000002""#),
            "task 00000000000000000000000002 exists already; choose another id, or none",
        ),
        case(
            with(r#""id": "x""#),
            r#"tasks[0].id: must be a ULID (26 Crockford base-32 characters), but is "x": invalid length"#,
        ),
        case(
            r#"{"tasks": [{"name": "A", "id": "0000000000000000000000000Z"}, {"name": "B", "id": "0000000000000000000000000Z"}]}"#,
            "tasks[1].id: 0000000000000000000000000Z is the id of an earlier task of this call too",
        ),
    ]
}

fn times() -> Vec<Case> {
    vec![
        case(with(r#""due_at": "9999-12-31T23:59:59.999Z""#), ACCEPTED),
        case(
            with(r#""due_at": "9999-12-31T23:59:59.999-00:01""#),
            r#"tasks[0].due_at: must be an RFC 3339 text such as 2026-03-01T12:00:00.000Z, but is "9999-12-31T23:59:59.999-00:01": 253402300859999 ms since 1970 is outside the years 0000 to 9999"#,
        ),
        case(with(r#""due_at": "0000-01-01T00:00:00Z""#), ACCEPTED),
        case(
            with(r#""due_at": "0000-01-01T00:00:00+00:01""#),
            r#"tasks[0].due_at: must be an RFC 3339 text such as 2026-03-01T12:00:00.000Z, but is "0000-01-01T00:00:00+00:01": -62167219260000 ms since 1970 is outside the years 0000 to 9999"#,
        ),
        case(
            with(r#""due_at": "2026-02-30T00:00:00Z""#),
            r#"tasks[0].due_at: must be an RFC 3339 text such as 2026-03-01T12:00:00.000Z, but is "2026-02-30T00:00:00Z": input is out of range"#,
        ),
        case(
            with(r#""due_at": "2026-02-28""#),
            r#"tasks[0].due_at: must be an RFC 3339 text such as 2026-03-01T12:00:00.000Z, but is "2026-02-28": premature end of input"#,
        ),
        case(with(r#""due_at": 0"#), "tasks[0].due_at: must be a string, but is 0"),
        case(
            with(r#""open": true, "due_at": "2026-03-01T12:00:00Z""#),
            "tasks[0].due_at: an open fan-out starts with its first append: delay the appends instead",
        ),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        but_is("-1", with(r#""max_retries": -1"#), MAX_RETRIES),
        case(with(r#""max_retries": 0"#), ACCEPTED),
        case(with(r#""max_retries": 1000"#), ACCEPTED),
        but_is("1001", with(r#""max_retries": 1001"#), MAX_RETRIES),
        but_is("1.5", with(r#""max_retries": 1.5"#), MAX_RETRIES),
        but_is(r#""3""#, with(r#""max_retries": "3""#), MAX_RETRIES),
        but_is("-32769", with(r#""priority": -32769"#), PRIORITY),
        case(with(r#""priority": -32768"#), ACCEPTED),
        case(with(r#""priority": 32767"#), ACCEPTED),
        but_is("32768", with(r#""priority": 32768"#), PRIORITY),
        but_is("true", with(r#""priority": true"#), PRIORITY),
        case(with(r#""backoff": {"fixed_ms": 604800000}"#), ACCEPTED),
        case(
            with(r#""backoff": {"fixed_ms": 604800001}"#),
            "tasks[0].backoff.fixed_ms: must be an integer in 0..=604800000, but is 604800001",
        ),
        case(
            with(r#""backoff": {"fixed_ms": -1}"#),
            "tasks[0].backoff.fixed_ms: must be an integer in 0..=604800000, but is -1",
        ),
        case(with(r#""backoff": {"first_ms": 1}"#), BACKOFF),
        case(
            with(r#""backoff": {"first_ms": 1, "cap_ms": 604800001}"#),
            "tasks[0].backoff.cap_ms: must be an integer in 0..=604800000, but is 604800001",
        ),
        case(with(r#""backoff": {"first_ms": 1, "cap_ms": 2, "jitter": 1.0}"#), ACCEPTED),
        case(
            with(r#""backoff": {"first_ms": 1, "cap_ms": 2, "jitter": 1.1}"#),
            "tasks[0].backoff.jitter: must be between 0.0 and 1.0, but is 1.1",
        ),
        case(with(r#""backoff": {"fixed_ms": 1, "jitter": 0.5}"#), BACKOFF),
        case(
            with(r#""backoff": "none""#),
            r#"tasks[0].backoff: must be an object: {"fixed_ms": 500}, or {"first_ms": 100, "cap_ms": 60000, "jitter": 0.2}, but is "none""#,
        ),
    ]
}

fn fanouts() -> Vec<Case> {
    vec![
        but_is("0", fanout("0"), FANOUT),
        case(fanout("1"), ACCEPTED),
        case(fanout("10000000"), ACCEPTED),
        but_is("10000001", fanout("10000001"), FANOUT),
        but_is("-1", fanout("-1"), FANOUT),
        but_is("1.5", fanout("1.5"), FANOUT),
        but_is("3.0", fanout("3.0"), FANOUT),
        but_is("1e3", fanout("1e3"), FANOUT),
        but_is(
            "340282366920938463463374607431768211456",
            fanout("340282366920938463463374607431768211456"),
            FANOUT,
        ),
        but_is(r#""3""#, fanout(r#""3""#), FANOUT),
        but_is("null", fanout("null"), FANOUT),
        but_is("true", fanout("true"), FANOUT),
        but_is(r#"{"fanout": 3}"#, fanout(r#"{"fanout": 3}"#), FANOUT),
        but_is("[]", fanout("[]"), FANOUT),
        case(fanout("[0]"), ACCEPTED),
        case(
            fanout(r#"[1, {"fanout": [{"fanout": 0}, {"fanout": []}]}]"#),
            "2 issues: tasks[0].input.fanout[1].fanout[0].fanout: must be an integer in 1..=10000000 or an \
             array of 1 to 10000000 items, but is 0; \
             tasks[0].input.fanout[1].fanout[1].fanout: must be an integer in 1..=10000000 or an array of 1 to 10000000 items, but is []",
        ),
        case(
            with(r#""open": true, "input": {"fanout": 2}"#),
            "tasks[0].open: an open fan-out gets its children by append, not from `input.fanout`",
        ),
    ]
}

fn jsons() -> Vec<Case> {
    vec![
        case(input(&nested(64)), ACCEPTED),
        case(
            input(&nested(65)),
            "tasks[0].input: is not accepted as JSON: arrays and objects nest deeper than 64 at line 1 column 66",
        ),
        case(
            input(&nested(100_000)),
            "tasks[0].input: is not accepted as JSON: arrays and objects nest deeper than 64 at line 1 column 65",
        ),
        case(format!(r#"{{"meta": {}}}"#, nested(64)), ACCEPTED),
        case(
            format!(r#"{{"meta": {}}}"#, nested(65)),
            "meta: is not accepted as JSON: arrays and objects nest deeper than 64 at line 1 column 66",
        ),
        case(input(&text_of(MAX_JSON_BYTES)), ACCEPTED),
        case(
            input(&text_of(MAX_JSON_BYTES + 1)),
            "tasks[0].input: must be at most 1048576 bytes of JSON, but has 1048577",
        ),
        case(
            format!(r#"{{"meta": {}}}"#, text_of(MAX_JSON_BYTES + 1)),
            "meta: must be at most 1048576 bytes of JSON, but has 1048577",
        ),
        case(
            input(r#"{"a": 1, "b": 2, "a": 3}"#),
            r#"tasks[0].input: is not accepted as JSON: duplicate key "a" at line 1 column 24"#,
        ),
        case(
            input(r#"{"a": 1, "\u0061": 3}"#),
            r#"tasks[0].input: is not accepted as JSON: duplicate key "a" at line 1 column 21"#,
        ),
        case(
            input(r#"[{"deep": {"a": 1, "a": 1}}]"#),
            r#"tasks[0].input: is not accepted as JSON: duplicate key "a" at line 1 column 26"#,
        ),
        case(
            input(r#""\ud800""#),
            "tasks[0].input: is not accepted as JSON: unexpected end of hex escape at line 1 column 8",
        ),
        case(
            input("1e400"),
            "tasks[0].input: is not accepted as JSON: number out of range at line 1 column 5",
        ),
        case(input(r#""\u0000""#), ACCEPTED),
        case(
            input("\"\0\""),
            r"is not the JSON of a run: control character (\u0000-\u001F) found while parsing a string at line 1 column 35",
        ),
        case(input("[1,]"), "is not the JSON of a run: expected value at line 1 column 38"),
        case(input("NaN"), "is not the JSON of a run: expected value at line 1 column 35"),
    ]
}

/// A run with an open parent that also has this member.
fn parent(member: &str) -> String {
    with(&format!(r#""open": true, {member}"#))
}

const POLICY: &str = r#"policy: must be "fail", "ignore", "fail_fast", {"tolerate": n}, or {"tolerate_percent": n} with n up to 100"#;
const TASK_POLICY: &str = r#"tasks[0].policy: must be "fail", "ignore", "fail_fast", {"tolerate": n}, or {"tolerate_percent": n} with n up to 100"#;
const JOIN: &str = r#"tasks[0].join: must be a kind, or an object: {"kind": "report", "max_retries": 3}"#;
const DEADLINE: &str = "deadline_ms: must be an integer in 1..=31536000000";

fn policies() -> Vec<Case> {
    vec![
        case(r#"{"policy": "fail"}"#, ACCEPTED),
        case(r#"{"policy": "fail_fast"}"#, ACCEPTED),
        case(r#"{"policy": null}"#, ACCEPTED),
        but_is(r#""FAIL""#, r#"{"policy": "FAIL"}"#, POLICY),
        but_is(r#""""#, r#"{"policy": ""}"#, POLICY),
        but_is("1", r#"{"policy": 1}"#, POLICY),
        but_is("[]", r#"{"policy": []}"#, POLICY),
        but_is(r#""tolerate""#, r#"{"policy": "tolerate"}"#, POLICY),
        but_is("{}", r#"{"policy": {}}"#, POLICY),
        but_is(
            r#"{"tolerate": 1, "ignore": null}"#,
            r#"{"policy": {"tolerate": 1, "ignore": null}}"#,
            POLICY,
        ),
        case(r#"{"policy": {"tolerate": 0}}"#, ACCEPTED),
        case(r#"{"policy": {"tolerate": 4294967295}}"#, ACCEPTED),
        but_is(r#"{"tolerate": 4294967296}"#, r#"{"policy": {"tolerate": 4294967296}}"#, POLICY),
        but_is(r#"{"tolerate": -1}"#, r#"{"policy": {"tolerate": -1}}"#, POLICY),
        but_is(r#"{"tolerate": 0.5}"#, r#"{"policy": {"tolerate": 0.5}}"#, POLICY),
        case(r#"{"policy": {"tolerate_percent": 0}}"#, ACCEPTED),
        case(r#"{"policy": {"tolerate_percent": 100}}"#, ACCEPTED),
        but_is(r#"{"tolerate_percent": 101}"#, r#"{"policy": {"tolerate_percent": 101}}"#, POLICY),
        but_is(r#"{"tolerate_percent": 256}"#, r#"{"policy": {"tolerate_percent": 256}}"#, POLICY),
        but_is(r#"{"tolerate_percent": "10"}"#, r#"{"policy": {"tolerate_percent": "10"}}"#, POLICY),
        case(parent(r#""policy": "ignore""#), ACCEPTED),
        but_is(r#""never""#, parent(r#""policy": "never""#), TASK_POLICY),
        case(input(r#"{"fanout": 2}, "policy": {"tolerate": 1}"#), ACCEPTED),
        case(
            with(r#""policy": "ignore""#),
            "tasks[0].policy: applies to children: give the task a fan-out, or make it `open`",
        ),
    ]
}

fn joins_and_deadlines() -> Vec<Case> {
    let longest = "x".repeat(255);
    vec![
        case(r#"{"join": "a#b"}"#, ACCEPTED),
        case(format!(r#"{{"join": "{longest}"}}"#), ACCEPTED),
        case(format!(r#"{{"join": "{longest}x"}}"#), "join: must be at most 255 bytes, but has 256"),
        case(r#"{"join": ""}"#, "join: must not be empty"),
        case(
            r#"{"join": "a\u0000"}"#,
            r#"join: must not contain control characters, but "a\0" contains U+0000"#,
        ),
        case(r#"{"join": {"kind": ""}}"#, "join.kind: must not be empty"),
        case(r#"{"join": {"max_retries": 1}}"#, "join.kind: is required"),
        case(r#"{"join": {"kind": "a", "kind": "b"}}"#, "join.kind: duplicate key"),
        case(
            r#"{"join": {"kind": "a", "priority": 1}}"#,
            "join.priority: unknown key; the known keys are kind, max_retries, backoff, timeout_ms",
        ),
        case(r#"{"join": {"kind": "a", "max_retries": 1000, "timeout_ms": 604800000}}"#, ACCEPTED),
        case(
            r#"{"join": {"kind": "a", "max_retries": 1001}}"#,
            "join.max_retries: must be an integer in 0..=1000, but is 1001",
        ),
        case(
            r#"{"join": {"kind": "a", "timeout_ms": 0}}"#,
            "join.timeout_ms: must be an integer in 1..=604800000, but is 0",
        ),
        case(
            r#"{"join": {"kind": "a", "timeout_ms": 604800001}}"#,
            "join.timeout_ms: must be an integer in 1..=604800000, but is 604800001",
        ),
        case(
            r#"{"join": {"kind": "a", "backoff": {"fixed_ms": 604800001}}}"#,
            "join.backoff.fixed_ms: must be an integer in 0..=604800000, but is 604800001",
        ),
        case(parent(r#""join": "a""#), ACCEPTED),
        but_is(r#"["a"]"#, parent(r#""join": ["a"]"#), JOIN),
        but_is("1", parent(r#""join": 1"#), JOIN),
        case(
            with(r#""join": "a""#),
            "tasks[0].join: applies to children: give the task a fan-out, or make it `open`",
        ),
        case(r#"{"deadline_ms": 1}"#, ACCEPTED),
        case(r#"{"deadline_ms": 31536000000}"#, ACCEPTED),
        but_is("31536000001", r#"{"deadline_ms": 31536000001}"#, DEADLINE),
        but_is("0", r#"{"deadline_ms": 0}"#, DEADLINE),
        but_is("-1", r#"{"deadline_ms": -1}"#, DEADLINE),
        but_is("1.5", r#"{"deadline_ms": 1.5}"#, DEADLINE),
        but_is(r#""1000""#, r#"{"deadline_ms": "1000"}"#, DEADLINE),
        case(with(r#""deadline_ms": 1"#), format!("tasks[0].deadline_ms: {TASK_KEYS}")),
    ]
}

#[test]
fn submission_is_validated_at_every_bound() {
    let tables =
        [shapes(), names(), ids(), times(), numbers(), fanouts(), jsons(), policies(), joins_and_deadlines()];
    let mut wrong = Vec::new();
    let mut unused = None;
    for (json, error) in tables.concat() {
        // A rejected submission leaves the store as it was, so the next case can have it.
        let (test, before) = unused.take().unwrap_or_else(|| {
            let test = TestStore::with_example();
            let before = test.dump();
            (test, before)
        });
        let answer = test.submit_json(&json).err().unwrap_or_default();
        let is_unchanged = test.dump() == before;
        if answer != error || is_unchanged == error.is_empty() {
            let shown: String = json.chars().take(200).collect();
            wrong.push(format!("{shown}\n  {answer}\n  unchanged: {is_unchanged}\n"));
        }
        unused = is_unchanged.then_some((test, before));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
