//! A file of the TypeScript version that cannot be imported completely is rejected with all problems, and unchanged.

use crate::import_helpers::rejection;
use crate::legacy_file::{self, task};
use conductor_store::OpenError;

/// Writes a small file, changes it, and returns the problems that opening reports.
#[track_caller]
fn problems(change: &str) -> Vec<String> {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    let parent = file.task(run, &task("P", "RUNNING").input(r#"{"fanout": 3}"#));
    for i in 1..=2 {
        file.task(run, &task(&format!("P#{i}"), "RUNNING").below(parent));
    }
    file.run("PENDING");
    file.event(run, Some(parent), "E", None);
    file.sql(change);
    let folder = file.close();
    let before = folder.content();
    let error = rejection(&folder);
    assert_eq!(folder.content(), before, "{error}");
    let OpenError::LegacyDataInvalid { problems, more: 0, .. } = &error else {
        panic!("{change}: {error:?}")
    };
    for problem in problems {
        assert!(error.to_string().contains(problem), "{error}");
    }
    problems.clone()
}

/// Changes of the file, each with a part of the problem that it causes.
const PROBLEMS: &[(&str, &str)] = &[
    ("UPDATE runs SET id = 'nonsense' WHERE state = 'PENDING'", "id: run id must be a ULID"),
    ("UPDATE runs SET id = '8ZZZZZZZZZZZZZZZZZZZZZZZZZ' WHERE state = 'PENDING'", "may not be above 7"),
    (
        "INSERT INTO runs SELECT lower(id), created_at, updated_at, state, meta FROM runs LIMIT 1",
        "occurs twice",
    ),
    ("UPDATE runs SET state = 'DONE' WHERE state = 'PENDING'", "state \"DONE\" is not one of"),
    (
        "UPDATE runs SET created_at = '3 November' WHERE state = 'PENDING'",
        "created_at: timestamp must be an RFC 3339",
    ),
    ("UPDATE runs SET updated_at = 7.5 WHERE state = 'PENDING'", "updated_at: timestamp must be an RFC 3339"),
    ("UPDATE runs SET updated_at = x'00' WHERE state = 'PENDING'", "updated_at is not a text"),
    ("UPDATE runs SET meta = '{' WHERE state = 'PENDING'", "meta: is not accepted as JSON"),
    (
        "UPDATE runs SET meta = '{\"a\": 1, \"a\": 2}' WHERE state = 'PENDING'",
        "meta: is not accepted as JSON",
    ),
    ("UPDATE tasks SET run_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV' WHERE name = 'P#1'", "is not a run"),
    (
        "UPDATE tasks SET run_id = (SELECT id FROM runs WHERE state = 'PENDING') WHERE name = 'P#1'",
        "another run",
    ),
    ("UPDATE tasks SET parent_task_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV' WHERE name = 'P#1'", "does not exist"),
    ("UPDATE tasks SET parent_task_id = 'x' WHERE name = 'P#1'", "parent_task_id: task id must be a ULID"),
    ("UPDATE tasks SET parent_task_id = id WHERE name = 'P#1'", "none of its ancestors is a root task"),
    ("UPDATE tasks SET name = 'P#1' WHERE name = 'P#2'", "two children P#1"),
    (
        "UPDATE tasks SET name = 'P#3' WHERE name = 'P#2'",
        "child 3 exists, but children with smaller indices are missing",
    ),
    ("UPDATE tasks SET name = '' WHERE name = 'P#2'", "name: task name must not be empty"),
    (
        "UPDATE tasks SET name = 'a' || char(10) WHERE name = 'P#2'",
        "name: task name must not contain control characters",
    ),
    (
        "UPDATE tasks SET name = printf('%.*c', 1021, 'x') WHERE name = 'P#2'",
        "name: task name must be at most 1020 bytes",
    ),
    (
        "UPDATE tasks SET name = printf('%.*c', 733, 'x'), input = '{\"fanout\": 2}' WHERE name = 'P#2'",
        "name must have at most 732 bytes, because the names of its children start with it, but has 733",
    ),
    ("UPDATE tasks SET state = 'running' WHERE name = 'P#1'", "state \"running\" is not one of"),
    (
        "UPDATE tasks SET retry_count = -1 WHERE name = 'P#1'",
        "retry_count must be an integer in 0..=1000000, but is -1",
    ),
    (
        "UPDATE tasks SET retry_count = 1000001 WHERE name = 'P#1'",
        "retry_count must be an integer in 0..=1000000",
    ),
    (
        "UPDATE tasks SET retry_count = 4294967295 WHERE name = 'P#1'",
        "retry_count must be an integer in 0..=1000000",
    ),
    ("UPDATE tasks SET max_retries = 1001 WHERE name = 'P#1'", "max_retries must be an integer in 0..=1000"),
    (
        "UPDATE tasks SET max_retries = 'many' WHERE name = 'P#1'",
        "max_retries must be an integer in 0..=1000, but is \"many\"",
    ),
    ("UPDATE tasks SET last_error = x'00' WHERE name = 'P#1'", "last_error is not a text"),
    ("UPDATE tasks SET input = 'plain' WHERE name = 'P#1'", "input: is not accepted as JSON"),
    ("UPDATE events SET run_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'", "run_id is not a run"),
    ("UPDATE events SET task_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'", "task_id is not a task"),
    ("UPDATE events SET at = ''", "at: timestamp must be an RFC 3339"),
    ("UPDATE events SET payload = 'x'", "payload: is not accepted as JSON"),
];

#[test]
fn every_problem_is_named() {
    let deep = format!("UPDATE tasks SET input = '{}{}' WHERE name = 'P#1'", "[".repeat(65), "]".repeat(65));
    let large = "UPDATE tasks SET output = '\"' || printf('%.*c', 1048576, 'x') || '\"' WHERE name = 'P#1'";
    let long = "UPDATE tasks SET name = printf('%.*c', 256, 'x') WHERE name = 'P'; DELETE FROM tasks WHERE name != 'P' AND parent_task_id IS NOT NULL";
    let generated: [(&str, &str); 3] = [
        (long, "name: kind must be at most 255 bytes"),
        (&deep, "deeper than 64"),
        (large, "output: must be at most 1048576 bytes"),
    ];
    for (change, part) in PROBLEMS.iter().copied().chain(generated) {
        let problems = problems(change);
        assert_eq!(problems.len(), 1, "{change}: {problems:?}");
        assert!(problems[0].contains(part), "{change}: {problems:?}");
    }
}

#[test]
fn problem_list_is_truncated_and_counted() {
    let mut file = legacy_file::file(3);
    let run = file.run("RUNNING");
    for _ in 0..30 {
        file.task(run, &task("A", "LOST"));
    }
    let folder = file.close();
    let error = rejection(&folder);
    assert!(error.to_string().ends_with(" and 10 more"), "{error}");
    assert_eq!(folder.names(), ["conductor.db"]);
}

#[test]
fn file_with_additional_schema_is_foreign() {
    for sql in [
        "CREATE TABLE songs (title)",
        "ALTER TABLE tasks ADD COLUMN owner TEXT",
        "ALTER TABLE runs DROP COLUMN meta",
        "CREATE VIEW failed AS SELECT * FROM tasks",
        "CREATE TRIGGER on_run AFTER INSERT ON runs BEGIN SELECT 1; END",
    ] {
        let mut file = legacy_file::file(3);
        file.sql(sql);
        let folder = file.close();
        let before = folder.content();
        let error = rejection(&folder);
        assert!(matches!(error, OpenError::ForeignDatabase { .. }), "{sql}: {error:?}");
        assert_eq!(folder.content(), before);
    }
}
