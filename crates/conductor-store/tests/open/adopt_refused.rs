//! A file of the original that cannot be carried over whole is refused, with everything that is wrong, and untouched.

use crate::seed::{self, task};
use conductor_store::{OpenError, SqliteStore};

/// Writes a small file, then `spoil` on it; the problems that opening names.
#[track_caller]
fn problems(spoil: &str) -> Vec<String> {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    let parent = seed.task(run, &task("P", "RUNNING").input(r#"{"fanout": 3}"#));
    for nth in 1..=2 {
        seed.task(run, &task(&format!("P#{nth}"), "RUNNING").below(parent));
    }
    seed.run("PENDING");
    seed.event(run, Some(parent), "E", None);
    seed.sql(spoil);
    let folder = seed.close();
    let before = folder.content();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert_eq!(folder.content(), before, "{error}");
    let OpenError::LegacyDataInvalid { problems, more: 0, .. } = &error else { panic!("{spoil}: {error:?}") };
    for problem in problems {
        assert!(error.to_string().contains(problem), "{error}");
    }
    problems.clone()
}

#[test]
fn every_kind_of_problem_is_found_and_named() {
    let deep = format!("UPDATE tasks SET input = '{}{}' WHERE name = 'P#1'", "[".repeat(65), "]".repeat(65));
    let large = "UPDATE tasks SET output = '\"' || printf('%.*c', 1048576, 'x') || '\"' WHERE name = 'P#1'";
    let long = "UPDATE tasks SET name = printf('%.*c', 256, 'x') WHERE name = 'P'; DELETE FROM tasks WHERE name != 'P' AND parent_task_id IS NOT NULL";
    for (spoil, part) in [
        ("UPDATE runs SET id = 'nonsense' WHERE state = 'PENDING'", "id must be a ULID"),
        ("UPDATE runs SET id = '8ZZZZZZZZZZZZZZZZZZZZZZZZZ' WHERE state = 'PENDING'", "may not be above 7"),
        (
            "INSERT INTO runs SELECT lower(id), created_at, updated_at, state, meta FROM runs LIMIT 1",
            "is there twice",
        ),
        ("UPDATE runs SET state = 'DONE' WHERE state = 'PENDING'", "state \"DONE\" is none of"),
        (
            "UPDATE runs SET created_at = '3 November' WHERE state = 'PENDING'",
            "created_at must be an RFC 3339",
        ),
        ("UPDATE runs SET updated_at = 7.5 WHERE state = 'PENDING'", "updated_at must be an RFC 3339"),
        ("UPDATE runs SET updated_at = x'00' WHERE state = 'PENDING'", "updated_at is no text"),
        ("UPDATE runs SET meta = '{' WHERE state = 'PENDING'", "meta is not accepted as JSON"),
        (
            "UPDATE runs SET meta = '{\"a\": 1, \"a\": 2}' WHERE state = 'PENDING'",
            "meta is not accepted as JSON",
        ),
        ("UPDATE tasks SET run_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV' WHERE name = 'P#1'", "is no run"),
        (
            "UPDATE tasks SET run_id = (SELECT id FROM runs WHERE state = 'PENDING') WHERE name = 'P#1'",
            "another run",
        ),
        (
            "UPDATE tasks SET parent_task_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV' WHERE name = 'P#1'",
            "does not exist",
        ),
        ("UPDATE tasks SET parent_task_id = 'x' WHERE name = 'P#1'", "parent_task_id must be a ULID"),
        ("UPDATE tasks SET parent_task_id = id WHERE name = 'P#1'", "no root task is above it"),
        ("UPDATE tasks SET name = 'P#1' WHERE name = 'P#2'", "two children P#1"),
        (
            "UPDATE tasks SET name = 'P#3' WHERE name = 'P#2'",
            "has a child 3, but children before that are missing",
        ),
        ("UPDATE tasks SET name = '' WHERE name = 'P#2'", "name must not be empty"),
        (
            "UPDATE tasks SET name = 'a' || char(10) WHERE name = 'P#2'",
            "name must not contain control characters",
        ),
        (long, "name must be at most 255 bytes"),
        (
            "UPDATE tasks SET name = printf('%.*c', 1021, 'x') WHERE name = 'P#2'",
            "name must be at most 1020 bytes",
        ),
        (
            "UPDATE tasks SET name = printf('%.*c', 733, 'x'), input = '{\"fanout\": 2}' WHERE name = 'P#2'",
            "name must be at most 732 bytes, for its children's names begin with it, but has 733",
        ),
        ("UPDATE tasks SET state = 'running' WHERE name = 'P#1'", "state \"running\" is none of"),
        ("UPDATE tasks SET retry_count = -1 WHERE name = 'P#1'", "retry_count must be an integer"),
        (
            "UPDATE tasks SET retry_count = 1000001 WHERE name = 'P#1'",
            "retry_count must be an integer in 0..=1000000",
        ),
        (
            "UPDATE tasks SET retry_count = 4294967295 WHERE name = 'P#1'",
            "retry_count must be an integer in 0..=1000000",
        ),
        (
            "UPDATE tasks SET max_retries = 1001 WHERE name = 'P#1'",
            "max_retries must be an integer in 0..=1000",
        ),
        (
            "UPDATE tasks SET max_retries = 'many' WHERE name = 'P#1'",
            "max_retries must be an integer in 0..=1000",
        ),
        ("UPDATE tasks SET last_error = x'00' WHERE name = 'P#1'", "last_error is no text"),
        ("UPDATE tasks SET input = 'plain' WHERE name = 'P#1'", "input is not accepted as JSON"),
        (&deep, "deeper than 64"),
        (large, "output must be at most 1048576 bytes"),
        ("UPDATE events SET run_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'", "run_id is no run"),
        ("UPDATE events SET task_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'", "task_id is no task"),
        ("UPDATE events SET at = ''", "at must be an RFC 3339"),
        ("UPDATE events SET payload = 'x'", "payload is not accepted as JSON"),
    ] {
        let problems = problems(spoil);
        assert_eq!(problems.len(), 1, "{spoil}: {problems:?}");
        assert!(problems[0].contains(part), "{spoil}: {problems:?}");
    }
}

#[test]
fn all_problems_are_counted_and_the_first_are_shown() {
    let mut seed = seed::file(3);
    let run = seed.run("RUNNING");
    for _ in 0..30 {
        seed.task(run, &task("A", "LOST"));
    }
    let folder = seed.close();
    let error = SqliteStore::open(folder.db()).unwrap_err();
    assert!(error.to_string().ends_with(" and 10 more"), "{error}");
    assert_eq!(folder.names(), ["conductor.db"]);
}

#[test]
fn a_file_with_more_than_the_original_made_is_foreign() {
    for sql in [
        "CREATE TABLE songs (title)",
        "ALTER TABLE tasks ADD COLUMN owner TEXT",
        "ALTER TABLE runs DROP COLUMN meta",
        "CREATE VIEW failed AS SELECT * FROM tasks",
        "CREATE TRIGGER on_run AFTER INSERT ON runs BEGIN SELECT 1; END",
    ] {
        let mut seed = seed::file(3);
        seed.sql(sql);
        let folder = seed.close();
        let before = folder.content();
        let error = SqliteStore::open(folder.db()).unwrap_err();
        assert!(matches!(error, OpenError::ForeignDatabase { .. }), "{sql}: {error:?}");
        assert_eq!(folder.content(), before);
    }
}
