//! The judgement, without cargo: files are a map, and how tests end is written down beforehand.

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

/// What happens to the test, as the file is.
#[derive(Clone)]
struct Script {
    env: &'static str,
    healthy: Ran,
    bugged: Ran,
    compiles: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self { env: SOURCE, healthy: Ran::Passed, bugged: Ran::Failed, compiles: true }
    }
}

struct Fake {
    files: HashMap<String, String>,
    script: Script,
    /// How the file stood at each run, and how long it was waited.
    runs: Vec<(String, Duration)>,
}

impl Fake {
    fn new(script: Script) -> Self {
        Self { files: HashMap::from([("fence.rs".to_owned(), script.env.to_owned())]), script, runs: vec![] }
    }

    fn is_healthy(&self) -> bool {
        self.files["fence.rs"] == self.script.env
    }
}

impl Field for Fake {
    fn read(&self, file: &str) -> Result<String, String> {
        self.files.get(file).cloned().ok_or_else(|| format!("{file}: it is not there"))
    }

    fn write(&mut self, file: &str, text: &str) -> Result<(), String> {
        self.files.insert(file.to_owned(), text.to_owned());
        Ok(())
    }

    fn compile(&mut self, _: &Test) -> Result<(), String> {
        if self.script.compiles || self.is_healthy() { Ok(()) } else { Err("expected `;`".to_owned()) }
    }

    fn run(&mut self, _: &Test, patience: Duration, _: &str) -> Result<Ran, String> {
        self.runs.push((self.files["fence.rs"].clone(), patience));
        Ok(if self.is_healthy() { self.script.healthy.clone() } else { self.script.bugged.clone() })
    }
}

/// What becomes of some bugs: the outcome, the lines that are said, and the field as it was left.
fn judged(script: Script, bugs: &[&Bug]) -> (Result<(), String>, Vec<String>, Fake) {
    let (mut fake, mut lines) = (Fake::new(script), Vec::new());
    let outcome = judge(&mut fake, bugs, &mut |line| lines.push(line));
    (outcome, lines, fake)
}

/// The complaint about the one bug, which left no trace.
#[track_caller]
fn complaint(script: Script) -> String {
    let (outcome, _, fake) = judged(script, &[&BUG]);
    assert!(fake.is_healthy(), "the bug was taken out");
    outcome.expect_err("a complaint")
}

#[test]
fn a_bug_is_caught_by_a_test_that_passes_without_it_and_fails_with_it() {
    let (outcome, lines, fake) = judged(Script::default(), &[&BUG]);
    assert_eq!(outcome, Ok(()));
    let files: Vec<&str> = fake.runs.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, ["zero one", "zero two"]);
    assert!(fake.is_healthy(), "the bug was taken out");
    assert_eq!(lines.len(), 2);
    assert!(
        lines[1].contains("no-fence") && lines[1].contains("caught by store conformance claims"),
        "{lines:?}"
    );
}

#[test]
fn a_text_that_is_missing_or_there_twice_no_longer_applies() {
    for (env, part) in [("zero", "lacks `one`"), ("one one", "2 times")] {
        let (outcome, lines, fake) = judged(Script { env, ..Script::default() }, &[&BUG]);
        let sentence = outcome.expect_err("a complaint");
        assert!(sentence.contains("`no-fence` no longer applies: fence.rs"), "{sentence}");
        assert!(sentence.contains(part) && sentence.ends_with("Adapt it."), "{sentence}");
        assert!(lines.is_empty() && fake.runs.is_empty(), "nothing is tried before");
    }
}

#[test]
fn a_bug_that_no_test_catches_is_named_with_its_harm() {
    let sentence = complaint(Script { bugged: Ran::Passed, ..Script::default() });
    assert!(sentence.starts_with("No test catches the planted bug `no-fence`"), "{sentence}");
    assert!(sentence.contains("work is done twice"), "{sentence}");
}

#[test]
fn a_red_test_is_no_proof() {
    for (healthy, part) in [
        (Ran::Failed, "fails without any bug"),
        (Ran::Hung, "does not end without any bug"),
        (Ran::Missing, "There is no test store conformance claims"),
        (Ran::Died("signal 6".to_owned()), "signal 6"),
    ] {
        let (outcome, lines, fake) = judged(Script { healthy, ..Script::default() }, &[&BUG]);
        let sentence = outcome.expect_err("a complaint");
        assert!(sentence.contains(part), "{sentence}");
        assert_eq!((lines.len(), fake.runs.len()), (0, 1), "no bug is planted");
    }
}

#[test]
fn a_test_that_hangs_catches_nothing_unless_the_list_says_so() {
    let script = Script { bugged: Ran::Hung, ..Script::default() };
    let sentence = complaint(script.clone());
    assert!(sentence.contains("does not end with the planted bug `no-fence`"), "{sentence}");
    let patience = Duration::from_secs(7);
    let (outcome, _, fake) = judged(script, &[&Bug { hangs_for: Some(patience), ..BUG }]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(fake.runs[1].1, patience);
}

#[test]
fn what_does_not_compile_or_dies_is_not_caught_by_a_test() {
    let sentence = complaint(Script { compiles: false, ..Script::default() });
    assert!(sentence.contains("does not compile") && sentence.contains("expected `;`"), "{sentence}");
    let sentence = complaint(Script { bugged: Ran::Died("signal 6".to_owned()), ..Script::default() });
    assert!(sentence.contains("signal 6"), "{sentence}");
}

#[test]
fn all_bugs_are_tried_and_each_test_passes_once() {
    let other = Bug { name: "other", to: "three", ..BUG };
    let script = Script { bugged: Ran::Passed, ..Script::default() };
    let (outcome, lines, fake) = judged(script, &[&BUG, &other]);
    let sentence = outcome.expect_err("a complaint");
    assert!(sentence.contains("`no-fence`") && sentence.contains("`other`"), "{sentence}");
    assert_eq!((lines.len(), fake.runs.len()), (3, 3));
    assert!(lines[1].contains("NOT CAUGHT"), "{lines:?}");
}

#[test]
fn bugs_are_chosen_by_name_in_the_order_of_the_list() {
    let bugs = all();
    let all = choose(&bugs, &[]).expect("all");
    assert_eq!(all.len(), bugs.len());
    let names = [bugs[1].name.to_owned(), bugs[0].name.to_owned()];
    let chosen: Vec<_> = choose(&bugs, &names).expect("two").iter().map(|bug| bug.name).collect();
    assert_eq!(chosen, [bugs[0].name, bugs[1].name]);
    let sentence = choose(&bugs, &["lunch".to_owned()]).expect_err("a complaint");
    assert!(sentence.contains("`lunch`") && sentence.contains(bugs[0].name), "{sentence}");
}

#[test]
fn every_bug_of_the_list_applies_to_the_tree_as_it_is() {
    let bugs = all();
    let mut names: Vec<&str> = bugs.iter().map(|bug| bug.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), bugs.len(), "each has a name of its own");
    for bug in bugs {
        let env = std::fs::read_to_string(crate::cargo::root().join(bug.file)).expect(bug.file);
        assert_ne!(changed(&env, bug).as_ref(), Ok(&env), "{}", bug.name);
        changed(&env, bug).expect("a text that is there once");
        assert!(!bug.harm.is_empty() && bug.name.len() <= 26, "{}", bug.name);
    }
}
