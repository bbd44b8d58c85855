//! The demo as a user runs it: the real binary, its output and its exit code.

use origin_conductor::store::Query;
use origin_conductor::{RunId, SqliteStore, State};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

fn demo(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conductor-demo"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Returns the output of a demo that passes.
#[track_caller]
fn held(args: &[&str]) -> String {
    let output = demo(args);
    assert_eq!(text(&output.stderr), "", "{args:?}");
    assert!(output.status.success(), "{args:?}: {}", text(&output.stdout));
    text(&output.stdout).to_owned()
}

/// Returns the error for wrong arguments: one line, no other output, exit code 2.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let output = demo(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    let complaint = text(&output.stderr);
    assert_eq!(complaint.lines().count(), 1, "{args:?}: {complaint}");
    assert!(complaint.starts_with("conductor-demo: ") && !complaint.contains("panicked"), "{complaint}");
    complaint.to_owned()
}

fn write(folder: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn all_scenarios_pass_without_colours_in_pipes() {
    let out = held(&[]);
    for number in 1..=9 {
        assert!(
            out.contains(&format!("\n{number}. ")) || out.starts_with(&format!("{number}. ")),
            "{number}"
        );
    }
    assert_eq!(out.matches("✓ passed").count(), 9);
    assert!(out.lines().last().unwrap().starts_with("9 scenarios, 9 passed, "), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    assert!(!out.lines().any(|line| line.ends_with(' ')), "{out}");
}

#[test]
fn json_prints_one_object_per_scenario() {
    let out = held(&["--json", "--only", "2", "--only", "1,7"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scenarios: Vec<&Value> = lines.iter().map(|line| &line["scenario"]).collect();
    assert_eq!(scenarios, [1, 2, 7]);
    for line in &lines {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["ok", "scenario", "seconds", "title"]);
        assert_eq!(line["ok"], true);
        assert!(line["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(line["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0));
    }
    // The keys are in the documented order.
    assert!(out.starts_with(r#"{"scenario":1,"title":"#), "{out}");
}

#[test]
fn only_runs_one_scenario() {
    let out = held(&["--only", "3"]);
    assert!(out.starts_with("3. Partial completion\n"), "{out}");
    assert!(out.lines().last().unwrap().starts_with("1 scenario, 1 passed, "), "{out}");
    assert_eq!(out.matches("✓ passed").count(), 1);
}

#[test]
fn output_is_equal_each_time() {
    let tree = |out: String| -> Vec<String> {
        out.lines().filter(|line| line.contains('─')).map(str::to_owned).collect()
    };
    let (first, second) = (tree(held(&["--only", "5"])), tree(held(&["--only", "5"])));
    assert_eq!(first.len(), 3);
    assert_eq!(first, second);
}

#[test]
fn keep_keeps_database_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.db");
    let kept_path = path.to_str().unwrap();
    let out = held(&["--only", "1,2", "--keep", kept_path]);
    assert!(out.contains(&format!("sqlite3 '{kept_path}' \"SELECT name, state FROM tasks")), "{out}");

    let before = fs::read(&path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let runs = store.runs(None, 10).unwrap().items;
    let states: Vec<State> = runs.iter().map(|run| run.state).collect();
    assert_eq!(states, [State::Succeeded, State::Failed]);
    drop(store);

    assert!(refused(&["--only", "1", "--keep", kept_path]).contains("exists already"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn unusable_database_path_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere/kept_path.db");
    let output = demo(&["--keep", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    assert!(complaint.contains("nowhere") && !complaint.contains("panicked"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}

#[test]
fn wrong_arguments_exit_with_code_2() {
    assert!(refused(&["--bogus"]).contains("--bogus"));
    assert!(refused(&["--only", "10"]).contains("1..=9"));
    assert!(refused(&["--only", "0"]).contains("--only"));
    assert!(refused(&["--only"]).contains("--only"));
    assert!(refused(&["--keep"]).contains("--keep"));
    assert!(refused(&["--list", "--json"]).contains("--list"));
    assert!(refused(&[".", "--input", "."]).contains("--input"));
}

#[test]
fn missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    for args in [&["--only", "9", missing][..], &["--only", "9", "--input", missing]] {
        assert!(refused(args).contains(&format!("folder {missing} cannot be opened")), "{args:?}");
    }
    write(folder.path(), "file", "");
    assert!(refused(&[folder.path().join("file").to_str().unwrap()]).contains("is not a folder"));
}

#[test]
fn help_and_list_are_complete() {
    let help = held(&["--help"]);
    for option in ["--only", "--keep", "--resume", "--json", "--input", "--list"] {
        assert!(help.contains(option), "{option}");
    }
    assert!(!help.contains("crash-worker"), "{help}");
    assert_eq!(held(&["--list"]).lines().count(), 9);
}

#[test]
fn words_are_counted_and_binary_files_fail() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.txt", "one two three\nfour\n");
    write(folder.path(), "deep/er/b.TXT", "five");
    write(folder.path(), "notes", "");
    write(folder.path(), "latin1.md", b"caf\xe9 au lait");
    write(folder.path(), ".hidden/c.txt", "hidden");
    write(folder.path(), "target/d.txt", "built");
    let out = held(&["--only", "9", folder.path().to_str().unwrap()]);

    let row = |name: &str| -> Vec<String> {
        let line = out.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("{name} in {out}")).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("txt "), ["txt", "2", "3", "5"]);
    assert_eq!(row("(none) "), ["(none)", "1", "0", "0"]);
    assert_eq!(row("all "), ["all", "3", "3", "5"]);
    assert_eq!(row("failed "), ["failed", "1"]);
    assert!(out.contains("FAILED after 3 attempts: latin1.md: stream did not contain valid UTF-8"), "{out}");
    assert!(out.contains("retried 2 of 2"), "{out}");
    assert_eq!(row("run "), ["run", row("run ")[1].parse::<RunId>().unwrap().to_string().as_str(), "FAILED"]);
}

#[test]
fn many_files_and_no_files_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let count = |expected: &str| {
        let out = held(&["--only", "9", "--input", folder.path().to_str().unwrap()]);
        let all = out.lines().find(|line| line.trim_start().starts_with("all ")).unwrap();
        assert_eq!(all.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    };
    count("all 0 0 0");
    for file in 0..1_250 {
        write(folder.path(), &format!("{file}.txt"), "a word or four\n");
    }
    count("all 1,250 1,250 5,000");
}

#[test]
fn closed_pipe_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conductor-demo"));
    command.args(["--only", "1"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
}
