//! Mutation tests: proof that the tests catch the mistakes that matter.
//!
//! The tree is copied. Each bug of the lists is put into the copy, one at a time, and the test beside it must fail. The same
//! test must pass without the bug first. The product contains nothing for this: a bug is one text that replaces another one.
//!
//! [`trial`] decides whether a bug is caught; [`sandbox`] has the files and the processes.

mod bug;
mod list_ranges;
mod list_seam;
mod list_store;
mod list_workers;
mod sandbox;
mod trial;

use std::thread;

use crate::{
    cargo::Failure,
    mutants::{
        bug::Bug,
        sandbox::{Lock, TreeCopy},
    },
};

/// Tries the bugs of these names, or all bugs.
pub(crate) fn run(names: &[String]) -> Result<(), Failure> {
    let chosen = choose(&all(), names).map_err(Failure::Message)?;
    let _lock = Lock::take().map_err(Failure::Message)?;
    let lanes = lanes(&chosen);
    let complaints: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> =
            lanes.iter().map(|(name, bugs)| scope.spawn(move || lane(name, bugs))).collect();
        let ended =
            running.into_iter().map(|lane| lane.join().unwrap_or_else(|_| Err("a lane panicked".into())));
        ended.filter_map(Result::err).collect()
    });
    if complaints.is_empty() { Ok(()) } else { Err(Failure::Message(complaints.join("\nxtask: "))) }
}

/// Returns every bug of the lists.
fn all() -> Vec<&'static Bug> {
    let store = list_store::BUGS.iter().chain(list_ranges::BUGS);
    store.chain(list_seam::BUGS).chain(list_workers::BUGS).collect()
}

fn choose(bugs: &[&'static Bug], names: &[String]) -> Result<Vec<&'static Bug>, String> {
    if let Some(unknown) = names.iter().find(|name| bugs.iter().all(|bug| bug.name != name.as_str())) {
        let known: Vec<&str> = bugs.iter().map(|bug| bug.name).collect();
        return Err(format!("unknown bug `{unknown}`; use one of {}", known.join(", ")));
    }
    // The order of the lists is the one in which cargo rebuilds least.
    let is_chosen = |bug: &&&Bug| names.is_empty() || names.iter().any(|name| name == bug.name);
    Ok(bugs.iter().filter(is_chosen).copied().collect())
}

/// Splits the bugs into groups that are tried beside each other, each in a copy of its own.
///
/// Most of the time one crate is compiled after the other, which leaves cores idle. Bugs that need the same test programs stay
/// together.
fn lanes(bugs: &[&'static Bug]) -> Vec<(&'static str, Vec<&'static Bug>)> {
    let (workers, store): (Vec<_>, Vec<_>) =
        bugs.iter().copied().partition(|bug| bug.test.package == "conductor-workers");
    [("store", store), ("workers", workers)].into_iter().filter(|(_, bugs)| !bugs.is_empty()).collect()
}

fn lane(name: &str, bugs: &[&Bug]) -> Result<(), String> {
    let mut copy = TreeCopy::make(name)?;
    trial::try_all(&mut copy, bugs, &mut |line| println!("{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_are_chosen_in_order_of_the_list() {
        let bugs = all();
        assert_eq!(choose(&bugs, &[]).expect("all").len(), bugs.len());
        let names = [bugs[1].name.to_owned(), bugs[0].name.to_owned()];
        let chosen: Vec<_> = choose(&bugs, &names).expect("two").iter().map(|bug| bug.name).collect();
        assert_eq!(chosen, [bugs[0].name, bugs[1].name]);
    }

    #[test]
    fn unknown_bug_is_rejected_with_known_names() {
        let bugs = all();
        let error = choose(&bugs, &["lunch".to_owned()]).expect_err("an error");
        assert!(error.contains("`lunch`") && error.contains(bugs[0].name), "{error}");
    }

    #[test]
    fn each_bug_is_in_one_lane() {
        let bugs = all();
        let lanes = lanes(&bugs);
        assert_eq!(lanes.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["store", "workers"]);
        assert_eq!(lanes.iter().map(|(_, bugs)| bugs.len()).sum::<usize>(), bugs.len());
        let one: Vec<_> =
            bugs.into_iter().filter(|bug| bug.test.package == "conductor-store").take(1).collect();
        assert_eq!(super::lanes(&one).len(), 1);
    }

    #[test]
    fn each_bug_applies_to_the_present_tree() {
        let bugs = all();
        let mut names: Vec<&str> = bugs.iter().map(|bug| bug.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), bugs.len(), "each name is used once");
        for bug in bugs {
            let text = std::fs::read_to_string(crate::cargo::root().join(bug.file)).expect(bug.file);
            assert_ne!(bug.apply(&text).as_ref(), Ok(&text), "{}", bug.name);
            bug.apply(&text).expect("a text that occurs once");
            assert!(!bug.harm.is_empty() && bug.name.len() <= 26, "{}", bug.name);
        }
    }
}
