//! Bad input: a clear error for each, and not one row of the tables changed; good input from the other side of
//! every bound; and texts that look like an attack, which come back as they went in.

mod desk;

use conductor_model::{
    IdBlock, Jitter, MAX_ERROR_BYTES, MAX_JSON_BYTES, MAX_TASKS, RunDraft, TaskDraft, Timestamp,
};
use conductor_store::{
    Admin, Append, Cancel, EventFilter, NodeId, Query, Report, ReportBatch, ReportOutcome, Revive,
    ReviveFilter, Seal, Store, Submit,
};
use desk::{
    CANCELLED, Desk, ENDED_RUN, FAILED, LEAF, OPEN_PARENT, OPEN_RUN, PARENT, RETRY_DUE, RUNNING, SEALED_RUN,
    SUCCEEDED, UNKNOWN, json, new_task, run, task, words,
};

/// Nothing is wrong with it.
const FINE: &str = "";

const MAX_RETRIES: &str = "tasks[0].max_retries: must be an integer in 0..=1000";
const PRIORITY: &str = "tasks[0].priority: must be an integer in -32768..=32767";
const BACKOFF: &str =
    r#"tasks[0].backoff: must be {"fixed_ms"} or {"first_ms", "cap_ms"} with an optional "jitter""#;
const FANOUT: &str =
    "tasks[0].input.fanout: must be an integer in 1..=10000000 or an array of 1 to 10000000 items";

/// What is given, and what is said of it.
type Case = (String, &'static str);

/// A run with one task of these members.
fn task_of(members: &str) -> String {
    format!(r#"{{"tasks": [{{{members}}}]}}"#)
}

/// A run with the task `A`, which has this member too.
fn and(member: &str) -> String {
    task_of(&format!(r#""name": "A", {member}"#))
}

/// A run with a task of that name.
fn named(name: &str) -> String {
    task_of(&format!(r#""name": "{name}""#))
}

/// A run with a task of that input.
fn input(input: &str) -> String {
    and(&format!(r#""input": {input}"#))
}

/// A run with a task of that fan-out.
fn fanout(fanout: &str) -> String {
    input(&format!(r#"{{"fanout": {fanout}}}"#))
}

/// Arrays inside arrays.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// A text whose JSON has that many bytes.
fn text_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

fn case(given: impl Into<String>, said: &'static str) -> Case {
    (given.into(), said)
}

fn shapes() -> Vec<Case> {
    vec![
        case("{}", FINE),
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
        case(r#"{"tasks": null}"#, FINE),
        case(r#"{"tasks": {"name": "A"}}"#, "tasks: must be an array of objects"),
        case(r#"{"tasks": ["A"]}"#, "tasks[0]: must be an object"),
        case(r#"{"colour": 1}"#, "colour: unknown key"),
        case(and(r#""colour": 1"#), "tasks[0].colour: unknown key"),
        case(r#"{"meta": 1, "meta": 2}"#, "meta: duplicate key"),
        case(and(r#""name": "B""#), "tasks[0].name: duplicate key"),
        case(r#"{"open": "yes"}"#, "open: must be true or false"),
        case(r#"{"open": false}"#, FINE),
        case(
            r#"{"tasks": [{"name": "a#b", "max_retries": -1}, {"input": {"fanout": 0}}], "id": "x", "to": 1}"#,
            "6 issues: id: must be a ULID (26 Crockford base-32 characters): invalid length; \
             tasks[0].name: `#` separates a child's name from its index and must not appear in this name; \
             tasks[0].max_retries: must be an integer in 0..=1000; tasks[1].name: is required; \
             tasks[1].input.fanout: must be an integer in 1..=10000000 or an array of 1 to 10000000 items; \
             to: unknown key",
        ),
    ]
}

fn names() -> Vec<Case> {
    let longest = "x".repeat(255);
    let wide = format!("x{}", "é".repeat(127));
    vec![
        case(task_of(r#""kind": "A""#), "tasks[0].name: is required"),
        case(task_of(r#""name": null"#), "tasks[0].name: is required"),
        case(task_of(r#""name": 7"#), "tasks[0].name: must be a text"),
        case(named(""), "tasks[0].name: must not be empty"),
        case(named("x"), FINE),
        case(named(&longest), FINE),
        case(named(&format!("{longest}x")), "tasks[0].name: must be at most 255 bytes, but has 256"),
        case(named(&wide), FINE),
        case(named(&format!("{wide}x")), "tasks[0].name: must be at most 255 bytes, but has 256"),
        case(
            named("A#1"),
            "tasks[0].name: `#` separates a child's name from its index and must not appear in this name",
        ),
        case(named(r"A\u0000"), "tasks[0].name: must not contain control characters, but contains U+0000"),
        case(named(r"A\nB"), "tasks[0].name: must not contain control characters, but contains U+000A"),
        case(named(r"A\u0085"), "tasks[0].name: must not contain control characters, but contains U+0085"),
        case(named(r"A\ud800"), "tasks[0].name: must be a text"),
        case(and(r#""kind": """#), "tasks[0].kind: must not be empty"),
        case(and(r#""kind": "a#b""#), FINE),
        case(
            and(r#""kind": "\u0000""#),
            "tasks[0].kind: must not contain control characters, but contains U+0000",
        ),
        case(and(r#""kind": ["a"]"#), "tasks[0].kind: must be a text"),
        case(and(&format!(r#""kind": "{longest}""#)), FINE),
        case(
            and(&format!(r#""kind": "{longest}x""#)),
            "tasks[0].kind: must be at most 255 bytes, but has 256",
        ),
        case(r#"{"idempotency_key": ""}"#, "idempotency_key: must not be empty"),
        case(
            r#"{"idempotency_key": "a\tb"}"#,
            "idempotency_key: must not contain control characters, but contains U+0009",
        ),
        case(
            r#"{"idempotency_key": "used"}"#,
            "the idempotency key was used for run 00000000000000000000000002 with another payload; use another key, or submit the same",
        ),
        case(format!(r#"{{"idempotency_key": "{longest}"}}"#), FINE),
        case(
            format!(r#"{{"idempotency_key": "{longest}x"}}"#),
            "idempotency_key: must be at most 255 bytes, but has 256",
        ),
    ]
}

fn ids_and_times() -> Vec<Case> {
    vec![
        case(r#"{"id": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}"#, FINE),
        case(
            r#"{"id": "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"}"#,
            "id: must be a ULID (26 Crockford base-32 characters): the first character may not be above 7",
        ),
        case(r#"{"id": "0123456789abcdefghjkmnpqrs"}"#, FINE),
        case(
            r#"{"id": "0123456789ABCDEFGHJKMNPQRU"}"#,
            "id: must be a ULID (26 Crockford base-32 characters): invalid character",
        ),
        case(
            r#"{"id": "0123456789ABCDEFGHJKMNPQR"}"#,
            "id: must be a ULID (26 Crockford base-32 characters): invalid length",
        ),
        case(
            r#"{"id": "0123456789ABCDEFGHJKMNPQRST"}"#,
            "id: must be a ULID (26 Crockford base-32 characters): invalid length",
        ),
        case(r#"{"id": ""}"#, "id: must be a ULID (26 Crockford base-32 characters): invalid length"),
        case(r#"{"id": 1}"#, "id: must be a text"),
        case(
            r#"{"id": "00000000000000000000000002"}"#,
            "there is a run 00000000000000000000000002 already; choose another id, or none",
        ),
        case(
            and(r#""id": "00000000000000000000000002""#),
            "there is a task 00000000000000000000000002 already; choose another id, or none",
        ),
        case(
            and(r#""id": "x""#),
            "tasks[0].id: must be a ULID (26 Crockford base-32 characters): invalid length",
        ),
        case(
            r#"{"tasks": [{"name": "A", "id": "0000000000000000000000000Z"}, {"name": "B", "id": "0000000000000000000000000Z"}]}"#,
            "tasks[1].id: is the id of an earlier task of this call too",
        ),
        case(and(r#""due_at": "9999-12-31T23:59:59.999Z""#), FINE),
        case(
            and(r#""due_at": "9999-12-31T23:59:59.999-00:01""#),
            "tasks[0].due_at: must be an RFC 3339 timestamp such as 2026-03-01T12:00:00.000Z: \
             253402300859999 ms since 1970 is outside the years 0000 to 9999",
        ),
        case(and(r#""due_at": "0000-01-01T00:00:00Z""#), FINE),
        case(
            and(r#""due_at": "0000-01-01T00:00:00+00:01""#),
            "tasks[0].due_at: must be an RFC 3339 timestamp such as 2026-03-01T12:00:00.000Z: \
             -62167219260000 ms since 1970 is outside the years 0000 to 9999",
        ),
        case(
            and(r#""due_at": "2026-02-30T00:00:00Z""#),
            "tasks[0].due_at: must be an RFC 3339 timestamp such as 2026-03-01T12:00:00.000Z: input is out of range",
        ),
        case(
            and(r#""due_at": "2026-02-28""#),
            "tasks[0].due_at: must be an RFC 3339 timestamp such as 2026-03-01T12:00:00.000Z: premature end of input",
        ),
        case(and(r#""due_at": 0"#), "tasks[0].due_at: must be a text"),
        case(
            and(r#""open": true, "due_at": "2026-03-01T12:00:00Z""#),
            "tasks[0].due_at: an open fan-out starts with its first append: delay the appends instead",
        ),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        case(and(r#""max_retries": -1"#), MAX_RETRIES),
        case(and(r#""max_retries": 0"#), FINE),
        case(and(r#""max_retries": 1000"#), FINE),
        case(and(r#""max_retries": 1001"#), MAX_RETRIES),
        case(and(r#""max_retries": 1.5"#), MAX_RETRIES),
        case(and(r#""max_retries": "3""#), MAX_RETRIES),
        case(and(r#""priority": -32769"#), PRIORITY),
        case(and(r#""priority": -32768"#), FINE),
        case(and(r#""priority": 32767"#), FINE),
        case(and(r#""priority": 32768"#), PRIORITY),
        case(and(r#""priority": true"#), PRIORITY),
        case(and(r#""backoff": {"fixed_ms": 604800000}"#), FINE),
        case(
            and(r#""backoff": {"fixed_ms": 604800001}"#),
            "tasks[0].backoff.fixed_ms: must be an integer in 0..=604800000",
        ),
        case(
            and(r#""backoff": {"fixed_ms": -1}"#),
            "tasks[0].backoff.fixed_ms: must be an integer in 0..=604800000",
        ),
        case(and(r#""backoff": {"first_ms": 1}"#), BACKOFF),
        case(
            and(r#""backoff": {"first_ms": 1, "cap_ms": 604800001}"#),
            "tasks[0].backoff.cap_ms: must be an integer in 0..=604800000",
        ),
        case(and(r#""backoff": {"first_ms": 1, "cap_ms": 2, "jitter": 1.0}"#), FINE),
        case(
            and(r#""backoff": {"first_ms": 1, "cap_ms": 2, "jitter": 1.1}"#),
            "tasks[0].backoff.jitter: must be between 0.0 and 1.0",
        ),
        case(and(r#""backoff": {"fixed_ms": 1, "jitter": 0.5}"#), BACKOFF),
        case(
            and(r#""backoff": "none""#),
            r#"tasks[0].backoff: must be an object: {"fixed_ms": 500}, or {"first_ms": 100, "cap_ms": 60000, "jitter": 0.2}"#,
        ),
    ]
}

fn fanouts() -> Vec<Case> {
    vec![
        case(fanout("0"), FANOUT),
        case(fanout("1"), FINE),
        case(fanout("10000000"), FINE),
        case(fanout("10000001"), FANOUT),
        case(fanout("-1"), FANOUT),
        case(fanout("1.5"), FANOUT),
        case(fanout("3.0"), FANOUT),
        case(fanout("1e3"), FANOUT),
        case(fanout("340282366920938463463374607431768211456"), FANOUT),
        case(fanout(r#""3""#), FANOUT),
        case(fanout("null"), FANOUT),
        case(fanout("true"), FANOUT),
        case(fanout(r#"{"fanout": 3}"#), FANOUT),
        case(fanout("[]"), FANOUT),
        case(fanout("[0]"), FINE),
        case(
            fanout(r#"[1, {"fanout": [{"fanout": 0}, {"fanout": []}]}]"#),
            "2 issues: tasks[0].input.fanout[1].fanout[0].fanout: must be an integer in 1..=10000000 or an \
             array of 1 to 10000000 items; \
             tasks[0].input.fanout[1].fanout[1].fanout: must be an integer in 1..=10000000 or an array of 1 to 10000000 items",
        ),
        case(
            and(r#""open": true, "input": {"fanout": 2}"#),
            "tasks[0].open: an open fan-out gets its children by append, not from `input.fanout`",
        ),
    ]
}

fn jsons() -> Vec<Case> {
    vec![
        case(input(&nested(64)), FINE),
        case(
            input(&nested(65)),
            "tasks[0].input: is not accepted as JSON: arrays and objects nest deeper than 64 at line 1 column 66",
        ),
        case(
            input(&nested(100_000)),
            "tasks[0].input: is not accepted as JSON: arrays and objects nest deeper than 64 at line 1 column 65",
        ),
        case(format!(r#"{{"meta": {}}}"#, nested(64)), FINE),
        case(
            format!(r#"{{"meta": {}}}"#, nested(65)),
            "meta: is not accepted as JSON: arrays and objects nest deeper than 64 at line 1 column 66",
        ),
        case(input(&text_of(MAX_JSON_BYTES)), FINE),
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
        case(input(r#""\u0000""#), FINE),
        case(
            input("\"\0\""),
            r"is not the JSON of a run: control character (\u0000-\u001F) found while parsing a string at line 1 column 35",
        ),
        case(input("[1,]"), "is not the JSON of a run: expected value at line 1 column 38"),
        case(input("NaN"), "is not the JSON of a run: expected value at line 1 column 35"),
    ]
}

/// A run with a parent that has this member too.
fn parent(member: &str) -> String {
    and(&format!(r#""open": true, {member}"#))
}

const POLICY: &str = r#"policy: must be "fail", "ignore", "fail_fast", {"tolerate": n}, or {"tolerate_percent": n} with n up to 100"#;
const TASK_POLICY: &str = r#"tasks[0].policy: must be "fail", "ignore", "fail_fast", {"tolerate": n}, or {"tolerate_percent": n} with n up to 100"#;
const JOIN: &str = r#"tasks[0].join: must be a kind, or an object: {"kind": "report", "max_retries": 3}"#;
const DEADLINE: &str = "deadline_ms: must be an integer in 1..=31536000000";

fn policies() -> Vec<Case> {
    vec![
        case(r#"{"policy": "fail"}"#, FINE),
        case(r#"{"policy": "fail_fast"}"#, FINE),
        case(r#"{"policy": null}"#, FINE),
        case(r#"{"policy": "FAIL"}"#, POLICY),
        case(r#"{"policy": ""}"#, POLICY),
        case(r#"{"policy": 1}"#, POLICY),
        case(r#"{"policy": []}"#, POLICY),
        case(r#"{"policy": "tolerate"}"#, POLICY),
        case(r#"{"policy": {}}"#, POLICY),
        case(r#"{"policy": {"tolerate": 1, "ignore": null}}"#, POLICY),
        case(r#"{"policy": {"tolerate": 0}}"#, FINE),
        case(r#"{"policy": {"tolerate": 4294967295}}"#, FINE),
        case(r#"{"policy": {"tolerate": 4294967296}}"#, POLICY),
        case(r#"{"policy": {"tolerate": -1}}"#, POLICY),
        case(r#"{"policy": {"tolerate": 0.5}}"#, POLICY),
        case(r#"{"policy": {"tolerate_percent": 0}}"#, FINE),
        case(r#"{"policy": {"tolerate_percent": 100}}"#, FINE),
        case(r#"{"policy": {"tolerate_percent": 101}}"#, POLICY),
        case(r#"{"policy": {"tolerate_percent": 256}}"#, POLICY),
        case(r#"{"policy": {"tolerate_percent": "10"}}"#, POLICY),
        case(parent(r#""policy": "ignore""#), FINE),
        case(parent(r#""policy": "never""#), TASK_POLICY),
        case(input(r#"{"fanout": 2}, "policy": {"tolerate": 1}"#), FINE),
        case(
            and(r#""policy": "ignore""#),
            "tasks[0].policy: applies to children: give the task a fan-out, or make it `open`",
        ),
    ]
}

fn joins_and_deadlines() -> Vec<Case> {
    let longest = "x".repeat(255);
    vec![
        case(r#"{"join": "a#b"}"#, FINE),
        case(format!(r#"{{"join": "{longest}"}}"#), FINE),
        case(format!(r#"{{"join": "{longest}x"}}"#), "join: must be at most 255 bytes, but has 256"),
        case(r#"{"join": ""}"#, "join: must not be empty"),
        case(r#"{"join": "a\u0000"}"#, "join: must not contain control characters, but contains U+0000"),
        case(r#"{"join": {"kind": ""}}"#, "join.kind: must not be empty"),
        case(r#"{"join": {"max_retries": 1}}"#, "join.kind: is required"),
        case(r#"{"join": {"kind": "a", "kind": "b"}}"#, "join.kind: duplicate key"),
        case(r#"{"join": {"kind": "a", "priority": 1}}"#, "join.priority: unknown key"),
        case(r#"{"join": {"kind": "a", "max_retries": 1000, "timeout_ms": 604800000}}"#, FINE),
        case(
            r#"{"join": {"kind": "a", "max_retries": 1001}}"#,
            "join.max_retries: must be an integer in 0..=1000",
        ),
        case(
            r#"{"join": {"kind": "a", "timeout_ms": 0}}"#,
            "join.timeout_ms: must be an integer in 1..=604800000",
        ),
        case(
            r#"{"join": {"kind": "a", "timeout_ms": 604800001}}"#,
            "join.timeout_ms: must be an integer in 1..=604800000",
        ),
        case(
            r#"{"join": {"kind": "a", "backoff": {"fixed_ms": 604800001}}}"#,
            "join.backoff.fixed_ms: must be an integer in 0..=604800000",
        ),
        case(parent(r#""join": "a""#), FINE),
        case(parent(r#""join": ["a"]"#), JOIN),
        case(parent(r#""join": 1"#), JOIN),
        case(
            and(r#""join": "a""#),
            "tasks[0].join: applies to children: give the task a fan-out, or make it `open`",
        ),
        case(r#"{"deadline_ms": 1}"#, FINE),
        case(r#"{"deadline_ms": 31536000000}"#, FINE),
        case(r#"{"deadline_ms": 31536000001}"#, DEADLINE),
        case(r#"{"deadline_ms": 0}"#, DEADLINE),
        case(r#"{"deadline_ms": -1}"#, DEADLINE),
        case(r#"{"deadline_ms": 1.5}"#, DEADLINE),
        case(r#"{"deadline_ms": "1000"}"#, DEADLINE),
        case(and(r#""deadline_ms": 1"#), "tasks[0].deadline_ms: unknown key"),
    ]
}

#[test]
fn what_is_submitted_is_checked_from_both_sides_of_every_bound() {
    let tables = [
        shapes(),
        names(),
        ids_and_times(),
        numbers(),
        fanouts(),
        jsons(),
        policies(),
        joins_and_deadlines(),
    ];
    let mut wrong = Vec::new();
    for (given, said) in tables.concat() {
        let desk = Desk::new();
        let before = desk.dump();
        let answer = desk.submit_json(&given).err().unwrap_or_default();
        let is_unchanged = desk.dump() == before;
        if answer != said || is_unchanged != (said != FINE) {
            let shown: String = given.chars().take(200).collect();
            wrong.push(format!("{shown}\n  {answer}\n  unchanged: {is_unchanged}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Something that is asked of the store, and what is said of it.
type Request = (fn(&Desk) -> Result<(), String>, &'static str);

fn append(desk: &Desk, parent: u128, first: u32, items: &[&str]) -> Result<(), String> {
    let items = items.iter().map(|item| json(item)).collect();
    words(desk.store.append(&Append::items(task(parent), first, items, &desk.env)))
}

fn append_tasks(desk: &Desk, to: u128, first: u32, names: &[&str]) -> Result<(), String> {
    let tasks = names.iter().map(|name| new_task(name)).collect();
    words(desk.store.append(&Append::tasks(run(to), first, tasks, &desk.env)))
}

fn seal(desk: &Desk, parent: u128, children: u32) -> Result<(), String> {
    let seal = Seal { parent: NodeId::Task(task(parent)), children, now: desk.env.now() };
    words(desk.store.seal(&seal))
}

fn seal_run(desk: &Desk, parent: u128, children: u32) -> Result<(), String> {
    let seal = Seal { parent: NodeId::Run(run(parent)), children, now: desk.env.now() };
    words(desk.store.seal(&seal))
}

fn no_ids() -> IdBlock {
    IdBlock::new(1, 0).unwrap()
}

const SUBMISSIONS: &[Request] = &[
    (
        |desk| desk.submit_json(r#"{"idempotency_key": "used", "meta": "another"}"#),
        "the idempotency key was used for run 00000000000000000000000002 with another payload; use another key, or submit the same",
    ),
    (
        |desk| {
            let run = RunDraft::new().validate().unwrap();
            words(desk.store.submit(&Submit { run, now: desk.env.now(), ids: no_ids() }))
        },
        "the submission needs more ids than the 0 that it was given",
    ),
    (
        |desk| {
            let tasks = [TaskDraft::new("A"), TaskDraft::new("B").id(task(LEAF))];
            let run = RunDraft::new().meta(1).tasks(tasks).validate().unwrap();
            words(desk.store.submit(&Submit::new(run, &desk.env)))
        },
        "there is a task 00000000000000000000000001 already; choose another id, or none",
    ),
];

const JOINS: &[Request] = &[
    (
        |desk| {
            let run = RunDraft::new().id(run(UNKNOWN)).join("J").validate().unwrap();
            words(desk.store.submit(&Submit { run, now: desk.env.now(), ids: no_ids() }))
        },
        "the submission needs more ids than the 0 that it was given",
    ),
    (
        |desk| {
            let tasks = vec![TaskDraft::new("A").id(task(UNKNOWN)).open().join("J").validate().unwrap()];
            let (run, now) = (run(OPEN_RUN), desk.env.now());
            words(desk.store.append(&Append::Tasks { run, first_index: 2, tasks, now, ids: no_ids() }))
        },
        "the append needs more ids than the 0 that it was given",
    ),
];

fn cancel(desk: &Desk, target: NodeId) -> Result<(), String> {
    words(desk.store.cancel(&Cancel { target, reason: None, now: desk.env.now() }))
}

fn revive(desk: &Desk, leaf: u128) -> Result<(), String> {
    words(desk.store.revive(&Revive::leaf(task(leaf), desk.env.now())))
}

const CANCELS: &[Request] = &[
    (|desk| cancel(desk, NodeId::Task(task(UNKNOWN))), "there is no task 00000000000000000000000009"),
    (|desk| cancel(desk, NodeId::Run(run(UNKNOWN))), "there is no run 00000000000000000000000009"),
    (
        |desk| cancel(desk, NodeId::Task(task(SUCCEEDED))),
        "task 00000000000000000000000003 has ended: it is SUCCEEDED",
    ),
    (
        |desk| cancel(desk, NodeId::Task(task(FAILED))),
        "task 00000000000000000000000004 has ended: it is FAILED",
    ),
    (
        |desk| cancel(desk, NodeId::Run(run(ENDED_RUN))),
        "run 00000000000000000000000003 has ended: it is SUCCEEDED",
    ),
];

const REVIVALS: &[Request] = &[
    (|desk| revive(desk, UNKNOWN), "there is no task 00000000000000000000000009"),
    (
        |desk| revive(desk, PARENT),
        "task 00000000000000000000000008 is a parent: its state follows from its children; revive those below it",
    ),
    (
        |desk| revive(desk, LEAF),
        "task 00000000000000000000000001 is PENDING: only what failed for good or was cancelled can be revived",
    ),
    (
        |desk| revive(desk, SUCCEEDED),
        "task 00000000000000000000000003 is SUCCEEDED: only what failed for good or was cancelled can be revived",
    ),
    (
        |desk| revive(desk, RETRY_DUE),
        "task 00000000000000000000000005 is FAILED, and is retried when its time comes: only what failed for good or was cancelled can be revived",
    ),
    (
        |desk| {
            let request = Revive::run(run(UNKNOWN), ReviveFilter::Failed, desk.env.now());
            words(desk.store.revive(&request))
        },
        "there is no run 00000000000000000000000009",
    ),
    (
        |desk| {
            let request = Revive::run(run(OPEN_RUN), ReviveFilter::Failed, desk.env.now());
            words(desk.store.revive(&request.after(task(FAILED))))
        },
        "there is no task 00000000000000000000000004",
    ),
];

const APPENDS: &[Request] = &[
    (|desk| append(desk, UNKNOWN, 1, &["1"]), "there is no task 00000000000000000000000009"),
    (
        |desk| append(desk, LEAF, 1, &["1"]),
        "task 00000000000000000000000001 has no fan-out; only a task submitted as `open` gets children by append",
    ),
    (
        |desk| append(desk, PARENT, 3, &["1"]),
        "task 00000000000000000000000008 is sealed, and takes no more children",
    ),
    (|desk| append(desk, OPEN_PARENT, 0, &["1"]), "indices count from 1, not from 0"),
    (|desk| append(desk, OPEN_PARENT, 4, &["4"]), "the append begins at index 4, but the next one is 3"),
    (
        |desk| append(desk, OPEN_PARENT, u32::MAX, &["4"]),
        "the append begins at index 4294967295, but the next one is 3",
    ),
    (
        |desk| {
            let items = vec![json("1"); MAX_TASKS + 1];
            words(desk.store.append(&Append::items(task(OPEN_PARENT), 3, items, &desk.env)))
        },
        "100001 are too many: at most 100000 at once",
    ),
    (
        |desk| {
            let (parent, items, now) = (task(OPEN_PARENT), vec![json("1")], desk.env.now());
            words(desk.store.append(&Append::Items { parent, first_index: 3, items, now, ids: no_ids() }))
        },
        "the append needs more ids than the 0 that it was given",
    ),
    (|desk| append_tasks(desk, UNKNOWN, 1, &["B"]), "there is no run 00000000000000000000000009"),
    (
        |desk| append_tasks(desk, SEALED_RUN, 9, &["B"]),
        "run 00000000000000000000000002 is sealed, and takes no more children",
    ),
    (
        |desk| append_tasks(desk, ENDED_RUN, 1, &["B"]),
        "run 00000000000000000000000003 is sealed, and takes no more children",
    ),
    (|desk| append_tasks(desk, OPEN_RUN, 0, &["B"]), "indices count from 1, not from 0"),
    (|desk| append_tasks(desk, OPEN_RUN, 3, &["B"]), "the append begins at index 3, but the next one is 2"),
    (
        |desk| {
            let tasks = vec![new_task("B"), TaskDraft::new("C").id(task(LEAF)).validate().unwrap()];
            words(desk.store.append(&Append::tasks(run(OPEN_RUN), 2, tasks, &desk.env)))
        },
        "there is a task 00000000000000000000000001 already; choose another id, or none",
    ),
];

const SEALS: &[Request] = &[
    (|desk| seal(desk, UNKNOWN, 0), "there is no task 00000000000000000000000009"),
    (|desk| seal(desk, LEAF, 0), "task 00000000000000000000000001 has no fan-out, and nothing to seal"),
    (|desk| seal(desk, PARENT, 3), "task 00000000000000000000000008 is sealed with 2 children, not 3"),
    (|desk| seal(desk, OPEN_PARENT, 1), "task 00000000000000000000000007 has 2 children, not 1: count again"),
    (
        |desk| seal(desk, OPEN_PARENT, 3),
        "task 00000000000000000000000007 has 2 children, not 3: append the missing ones first",
    ),
    (|desk| seal_run(desk, UNKNOWN, 0), "there is no run 00000000000000000000000009"),
    (|desk| seal_run(desk, SEALED_RUN, 7), "run 00000000000000000000000002 is sealed with 8 children, not 7"),
    (|desk| seal_run(desk, ENDED_RUN, 1), "run 00000000000000000000000003 is sealed with 0 children, not 1"),
    (|desk| seal_run(desk, OPEN_RUN, 0), "run 00000000000000000000000001 has 1 children, not 0: count again"),
    (
        |desk| seal_run(desk, OPEN_RUN, 2),
        "run 00000000000000000000000001 has 1 children, not 2: append the missing ones first",
    ),
];

const REPORTS: &[Request] = &[
    (|desk| desk.report(Report::succeeded(task(UNKNOWN))), "there is no task 00000000000000000000000009"),
    (
        |desk| desk.report(Report::succeeded(task(PARENT))),
        "task 00000000000000000000000008 is a parent: its state follows from its children",
    ),
    (
        |desk| desk.report(Report::cancelled(task(OPEN_PARENT))),
        "task 00000000000000000000000007 is a parent: its state follows from its children",
    ),
    (|desk| desk.report(Report::started(task(LEAF)).for_attempt(0)), "stale: the attempt is 0"),
    (|desk| desk.report(Report::started(task(LEAF)).for_attempt(2)), "stale: the attempt is 0"),
    (|desk| desk.report(Report::succeeded(task(RUNNING)).for_attempt(u32::MAX)), "stale: the attempt is 1"),
    (
        |desk| desk.report(Report::started(task(SUCCEEDED))),
        "task 00000000000000000000000003: start is not possible in state SUCCEEDED",
    ),
    (
        |desk| desk.report(Report::succeeded(task(SUCCEEDED))),
        "task 00000000000000000000000003: succeed is not possible in state SUCCEEDED",
    ),
    (
        |desk| desk.report(Report::succeeded_with(task(SUCCEEDED), json("1.0"))),
        "task 00000000000000000000000003: succeed is not possible in state SUCCEEDED",
    ),
    (
        |desk| desk.report(Report::failed(task(SUCCEEDED), "late")),
        "task 00000000000000000000000003: fail is not possible in state SUCCEEDED",
    ),
    (
        |desk| desk.report(Report::cancelled(task(SUCCEEDED))),
        "task 00000000000000000000000003: cancel is not possible in state SUCCEEDED",
    ),
    (
        |desk| desk.report(Report::started(task(FAILED))),
        "task 00000000000000000000000004: start is not possible in state FAILED",
    ),
    (
        |desk| desk.report(Report::failed(task(FAILED), "another reason")),
        "task 00000000000000000000000004: fail is not possible in state FAILED",
    ),
    (
        |desk| desk.report(Report::cancelled(task(FAILED))),
        "task 00000000000000000000000004: cancel is not possible in state FAILED",
    ),
    (
        |desk| desk.report(Report::succeeded(task(RETRY_DUE))),
        "task 00000000000000000000000005: succeed is not possible in state FAILED with a retry due",
    ),
    (
        |desk| desk.report(Report::started(task(RETRY_DUE))),
        "task 00000000000000000000000005: start is not possible in state FAILED with a retry due",
    ),
    (
        |desk| desk.report(Report::succeeded(task(CANCELLED))),
        "task 00000000000000000000000006: succeed is not possible in state CANCELLED",
    ),
    (
        |desk| desk.report(Report::failed(task(CANCELLED), "late")),
        "task 00000000000000000000000006: fail is not possible in state CANCELLED",
    ),
];

#[test]
fn what_does_not_fit_what_is_there_is_refused_and_nothing_is_written() {
    let desk = Desk::new();
    let before = desk.dump();
    let mut wrong = Vec::new();
    for (nth, (ask, said)) in
        [SUBMISSIONS, JOINS, APPENDS, SEALS, REPORTS, CANCELS, REVIVALS].concat().into_iter().enumerate()
    {
        let answer = ask(&desk).expect_err("it is refused");
        let is_unchanged = desk.dump() == before;
        if answer != said || !is_unchanged {
            wrong.push(format!("{nth}\n  {answer}\n  unchanged: {is_unchanged}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn as_many_tasks_as_a_transaction_takes_and_not_one_more() {
    let tasks = |count| RunDraft::new().tasks((0..count).map(|_| TaskDraft::new("A")));
    assert_eq!(tasks(MAX_TASKS).validate().unwrap().tasks().len(), MAX_TASKS);
    let refused = tasks(MAX_TASKS + 1).validate().unwrap_err().to_string();
    assert_eq!(refused, "tasks: must be at most 100000 at a time; use a fan-out, or append the others");
}

#[test]
fn as_many_children_as_a_parent_may_have_and_not_one_more() {
    let desk = Desk::new();
    // Ten million rows would say the same.
    let almost = "UPDATE conductor_tasks SET children = 9999999, open_children = 9999999 WHERE id = ?1";
    desk.look.execute(almost, [task(OPEN_PARENT).as_u128().to_be_bytes()]).unwrap();
    let before = desk.dump();
    assert_eq!(
        append(&desk, OPEN_PARENT, 10_000_000, &["1", "2"]).unwrap_err(),
        "10000001 are too many: at most 10000000 children in all"
    );
    assert_eq!(desk.dump(), before);
    append(&desk, OPEN_PARENT, 10_000_000, &["1"]).unwrap();
    assert_eq!(
        append(&desk, OPEN_PARENT, 10_000_001, &["2"]).unwrap_err(),
        "10000001 are too many: at most 10000000 children in all"
    );
}

#[test]
fn a_refused_report_does_not_keep_the_others_from_being_written() {
    let desk = Desk::new();
    let reports = [Report::succeeded(task(UNKNOWN)), Report::succeeded(task(LEAF))];
    let request = ReportBatch { reports: reports.into(), now: Timestamp::MAX, jitter: Jitter(0) };
    let answers = desk.store.report(&request).unwrap();
    assert!(matches!(answers[..], [ReportOutcome::Rejected(_), ReportOutcome::Applied]), "{answers:?}");
}

/// Texts that would do harm if any of them were ever read as SQL, a format or a path.
const ATTACKS: [&str; 9] = [
    "'); DROP TABLE conductor_tasks;--",
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
fn texts_that_look_like_an_attack_come_back_as_they_went_in() {
    let desk = Desk::new();
    let schema =
        |desk: &Desk| desk.dump().into_iter().filter(|line| line.starts_with('[')).collect::<Vec<_>>();
    let before = schema(&desk);
    for attack in ATTACKS {
        let child = serde_json::json!({"fanout": [{attack: attack}]});
        let tasks = [TaskDraft::new(attack).kind(attack).input(attack), TaskDraft::new(attack).input(child)];
        let draft = RunDraft::new().idempotency_key(attack).meta(attack).tasks(tasks);
        let run = desk.submit(draft);
        let read = desk.store.run(run).unwrap().unwrap();
        assert_eq!(read.idempotency_key.unwrap().as_str(), attack);
        assert_eq!(read.meta.unwrap().to::<String>().unwrap(), attack);
        let leaf =
            desk.store.tasks(run, conductor_store::TaskFilter::default(), None, 1).unwrap().items.remove(0);
        assert_eq!((leaf.name.as_str(), leaf.kind.as_str()), (attack, attack));
        assert_eq!(leaf.input.unwrap().to::<String>().unwrap(), attack);
        desk.report(Report::failed(leaf.id, attack)).unwrap();
        assert_eq!(desk.store.task(leaf.id).unwrap().unwrap().last_error.unwrap().as_str(), attack);
        let filter = EventFilter { name: Some(attack), ..EventFilter::default() };
        assert!(desk.store.events(filter, 0, 10).unwrap().items.is_empty());
    }
    assert_eq!(schema(&desk), before);
}

#[test]
fn an_error_of_any_length_is_kept_as_far_as_it_fits() {
    for bytes in [MAX_ERROR_BYTES, MAX_ERROR_BYTES + 1] {
        let desk = Desk::new();
        desk.report(Report::failed(task(LEAF), "x".repeat(bytes))).unwrap();
        let kept = desk.store.task(task(LEAF)).unwrap().unwrap().last_error.unwrap();
        assert_eq!(
            (kept.as_str().len(), kept.as_str().ends_with('…')),
            (MAX_ERROR_BYTES, bytes > MAX_ERROR_BYTES)
        );
    }
}
