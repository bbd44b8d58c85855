//! Trials without cargo: the files are a map, and the script determines how tests end.

use std::collections::HashMap;

use super::*;

const TEST: Test = Test { package: "store", target: "conformance", name: "claims", env: &[] };
const BUG: Bug = Bug {
    name: "no-fence",
    harm: "work is done twice",
    file: "fence.rs",
    from: "one",
    to: "two",
    test: TEST,
    hangs_for: None,
};
const SOURCE: &str = "zero one";

/// The text of the file, and the end of the test without and with the bug.
#[derive(Clone)]
struct Script {
    text: &'static str,
    healthy: TestEnd,
    bugged: TestEnd,
    compiles: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self { text: SOURCE, healthy: TestEnd::Passed, bugged: TestEnd::Failed, compiles: true }
    }
}

struct Fake {
    files: HashMap<String, String>,
    script: Script,
    /// The text of the file and the time limit of each run.
    runs: Vec<(String, Duration)>,
}

impl Fake {
    fn new(script: Script) -> Self {
        Self { files: HashMap::from([("fence.rs".to_owned(), script.text.to_owned())]), script, runs: vec![] }
    }

    fn is_healthy(&self) -> bool {
        self.files["fence.rs"] == self.script.text
    }
}

impl Sandbox for Fake {
    fn read(&self, file: &str) -> Result<String, String> {
        self.files.get(file).cloned().ok_or_else(|| format!("{file} is missing"))
    }

    fn write(&mut self, file: &str, text: &str) -> Result<(), String> {
        self.files.insert(file.to_owned(), text.to_owned());
        Ok(())
    }

    fn compile(&mut self, _: &Test) -> Result<(), String> {
        if self.script.compiles || self.is_healthy() { Ok(()) } else { Err("expected `;`".to_owned()) }
    }

    fn run(&mut self, _: &Test, time_limit: Duration, _: &str) -> Result<TestEnd, String> {
        self.runs.push((self.files["fence.rs"].clone(), time_limit));
        Ok(if self.is_healthy() { self.script.healthy.clone() } else { self.script.bugged.clone() })
    }
}

/// Tries some bugs. Returns the outcome, the printed lines, and the sandbox.
fn tried(script: Script, bugs: &[&Bug]) -> (Result<(), String>, Vec<String>, Fake) {
    let (mut fake, mut lines) = (Fake::new(script), Vec::new());
    let outcome = try_all(&mut fake, bugs, &mut |line| lines.push(line));
    (outcome, lines, fake)
}

/// Returns the complaint about the bug, and checks that the bug was removed.
#[track_caller]
fn complaint(script: Script) -> String {
    let (outcome, _, fake) = tried(script, &[&BUG]);
    assert!(fake.is_healthy(), "the bug was removed");
    outcome.expect_err("an error")
}

#[test]
fn bug_is_caught_by_a_failing_test() {
    let (outcome, lines, fake) = tried(Script::default(), &[&BUG]);
    assert_eq!(outcome, Ok(()));
    let files: Vec<&str> = fake.runs.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, ["zero one", "zero two"]);
    assert!(fake.is_healthy(), "the bug was removed");
    assert_eq!(lines.len(), 2);
    assert!(
        lines[1].contains("no-fence") && lines[1].contains("caught by store conformance claims"),
        "{lines:?}"
    );
}

#[test]
fn text_missing_or_present_twice_is_outdated() {
    for (text, part) in [("zero", "does not contain `one`"), ("one one", "2 times")] {
        let (outcome, lines, fake) = tried(Script { text, ..Script::default() }, &[&BUG]);
        let error = outcome.expect_err("an error");
        assert!(error.contains("the bug `no-fence` is outdated: fence.rs"), "{error}");
        assert!(error.contains(part) && error.ends_with("adapt the entry"), "{error}");
        assert!(lines.is_empty() && fake.runs.is_empty(), "nothing is tried");
    }
}

#[test]
fn missed_bug_is_reported_with_its_harm() {
    let error = complaint(Script { bugged: TestEnd::Passed, ..Script::default() });
    assert!(error.starts_with("no test catches the bug `no-fence`"), "{error}");
    assert!(error.contains("work is done twice"), "{error}");
}

#[test]
fn test_that_fails_without_a_bug_is_rejected() {
    for (healthy, part) in [
        (TestEnd::Failed, "fails without a bug"),
        (TestEnd::Hung, "hangs without a bug"),
        (TestEnd::Missing, "the test store conformance claims does not exist"),
        (TestEnd::Died("signal 6".to_owned()), "signal 6"),
    ] {
        let (outcome, lines, fake) = tried(Script { healthy, ..Script::default() }, &[&BUG]);
        let error = outcome.expect_err("an error");
        assert!(error.contains(part), "{error}");
        assert_eq!((lines.len(), fake.runs.len()), (0, 1), "no bug is written");
    }
}

#[test]
fn hanging_test_catches_only_with_hangs_for() {
    let script = Script { bugged: TestEnd::Hung, ..Script::default() };
    let error = complaint(script.clone());
    assert!(error.contains("hangs with the bug `no-fence`"), "{error}");
    let time_limit = Duration::from_secs(7);
    let (outcome, _, fake) = tried(script, &[&Bug { hangs_for: Some(time_limit), ..BUG }]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(fake.runs[1].1, time_limit);
}

#[test]
fn bug_without_a_failed_test_is_reported() {
    let error = complaint(Script { compiles: false, ..Script::default() });
    assert!(error.contains("does not compile") && error.contains("expected `;`"), "{error}");
    let error = complaint(Script { bugged: TestEnd::Died("signal 6".to_owned()), ..Script::default() });
    assert!(error.contains("signal 6"), "{error}");
}

#[test]
fn each_test_runs_once_without_a_bug() {
    let other = Bug { name: "other", to: "three", ..BUG };
    let script = Script { bugged: TestEnd::Passed, ..Script::default() };
    let (outcome, lines, fake) = tried(script, &[&BUG, &other]);
    let error = outcome.expect_err("an error");
    assert!(error.contains("`no-fence`") && error.contains("`other`"), "{error}");
    assert_eq!((lines.len(), fake.runs.len()), (3, 3));
    assert!(lines[1].contains("MISSED"), "{lines:?}");
}
