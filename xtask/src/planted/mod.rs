//! Planted bugs: proof that the tests find the mistakes that matter.
//!
//! The tree is copied, each mistake of the list is made in the copy, one at a time, and the test that stands beside it must
//! fail. The product itself knows nothing of this.

mod bugs;

use crate::cargo::{self, Failure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A test that has not ended by then is not going to.
const PATIENCE: Duration = Duration::from_mins(2);

/// A mistake that somebody could make.
#[derive(Debug)]
struct Bug {
    name: &'static str,
    /// What it would do to a user.
    harm: &'static str,
    file: &'static str,
    /// What stands there; it must stand there once.
    from: &'static str,
    to: &'static str,
    suite: Suite,
}

/// Tests of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suite {
    package: &'static str,
    target: &'static str,
    /// Those with this in their name.
    only: &'static str,
    /// How many seeds, for the simulation.
    seeds: u32,
}

/// What became of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Caught,
    /// The test went on for so long that a person would have noticed.
    Hung,
    Missed,
}

/// Plants the bugs with these names, or all of them.
pub(crate) fn run(names: &[String]) -> Result<(), Failure> {
    let chosen = choose(names).map_err(Failure::Say)?;
    let place = Place::make().map_err(Failure::Say)?;
    let mut suites: Vec<Suite> = Vec::new();
    for bug in &chosen {
        if !suites.contains(&bug.suite) {
            suites.push(bug.suite);
        }
    }
    for suite in suites {
        let verdict = place.build(suite).and_then(|()| place.try_out(suite)).map_err(Failure::Say)?;
        if verdict != Verdict::Missed {
            return Err(Failure::Say(format!("{suite} fails without any planted bug: mend it first.")));
        }
    }
    let mut missed = Vec::new();
    for bug in chosen {
        let began = Instant::now();
        let verdict = place.plant(bug).map_err(Failure::Say)?;
        let seconds = began.elapsed().as_secs_f64();
        let said = match verdict {
            Verdict::Caught => "caught by",
            Verdict::Hung => "never ended in",
            Verdict::Missed => "MISSED by",
        };
        println!("  {:28} {said} {}  ({seconds:.1} s)", bug.name, bug.suite);
        if verdict == Verdict::Missed {
            missed.push(format!("{} ({})", bug.name, bug.harm));
        }
    }
    if missed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Say(format!("no test finds {}: write one.", missed.join(", "))))
    }
}

fn choose(names: &[String]) -> Result<Vec<&'static Bug>, String> {
    if names.is_empty() {
        return Ok(bugs::BUGS.iter().collect());
    }
    let find = |name: &String| {
        let found = bugs::BUGS.iter().find(|bug| bug.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = bugs::BUGS.iter().map(|bug| bug.name).collect();
            format!("there is no planted bug `{name}`; there are {}.", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// The source with the mistake in it.
fn changed(source: &str, bug: &Bug) -> Result<String, String> {
    match source.matches(bug.from).count() {
        1 => Ok(source.replacen(bug.from, bug.to, 1)),
        count => Err(format!(
            "the planted bug `{}` no longer applies: {} has `{}` {count} times, and not once. Adapt it.",
            bug.name, bug.file, bug.from
        )),
    }
}

/// The copy of the tree, and where it is built.
struct Place {
    tree: PathBuf,
    built: PathBuf,
}

impl Place {
    /// Copies everything that git knows, or would know.
    fn make() -> Result<Self, String> {
        let built = cargo::root().join("target");
        // What others have written is built once for both trees.
        let place = Self { tree: built.join("planted"), built };
        let listed = cargo::output(
            Command::new("git")
                .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
                .current_dir(cargo::root()),
        )?;
        let files = listed.split('\0').filter(|name| !name.is_empty());
        for name in files {
            let (from, to) = (cargo::root().join(name), place.tree.join(name));
            // A file that was removed and not yet committed.
            if from.symlink_metadata().is_ok() {
                copy(&from, &to).map_err(|error| format!("{name}: {error}"))?;
            }
        }
        Ok(place)
    }

    /// Makes the mistake, looks whether it is found, and takes it back.
    fn plant(&self, bug: &Bug) -> Result<Verdict, String> {
        let file = self.tree.join(bug.file);
        let source = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", bug.file))?;
        let io = |error: std::io::Error| format!("{}: {error}", bug.file);
        fs::write(&file, changed(&source, bug)?).map_err(io)?;
        let verdict = self
            .build(bug.suite)
            .map_err(|error| format!("the planted bug `{}` does not compile: {error}", bug.name))
            .and_then(|()| self.try_out(bug.suite));
        fs::write(&file, source).map_err(io)?;
        verdict
    }

    fn cargo(&self, suite: Suite, more: &[&str]) -> Command {
        let mut command =
            cargo::command(["test", "--quiet", "--package", suite.package, "--test", suite.target]);
        command
            .args(more)
            .arg("--")
            .arg(suite.only)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.built)
            .env("CONDUCTOR_SEEDS", suite.seeds.to_string())
            .stdin(Stdio::null());
        command
    }

    fn build(&self, suite: Suite) -> Result<(), String> {
        cargo::output(&mut self.cargo(suite, &["--no-run"])).map(drop)
    }

    /// Whether the tests find something.
    fn try_out(&self, suite: Suite) -> Result<Verdict, String> {
        let mut command = self.cargo(suite, &[]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, so that a test that hangs can be ended with all its processes.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let began = Instant::now();
        loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => return Ok(verdict(status)),
                None if began.elapsed() > PATIENCE => break,
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = child.kill();
        child.wait().map_err(|error| error.to_string())?;
        Ok(Verdict::Hung)
    }
}

fn verdict(status: ExitStatus) -> Verdict {
    if status.success() { Verdict::Missed } else { Verdict::Caught }
}

/// Copies a file or a link, unless the copy is the same already: what does not change is not compiled again.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if from.symlink_metadata()?.is_symlink() {
        let _ = fs::remove_file(to);
        #[cfg(unix)]
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    let content = fs::read(from)?;
    if fs::read(to).is_ok_and(|present| present == content) { Ok(()) } else { fs::write(to, content) }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} --test {} {}", self.package, self.target, self.only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUG: Bug = Bug {
        name: "b",
        harm: "harm",
        file: "f.rs",
        from: "one",
        to: "two",
        suite: Suite { package: "p", target: "t", only: "", seeds: 0 },
    };

    #[test]
    fn a_bug_is_planted_where_its_text_stands_once() {
        assert_eq!(changed("zero one", &BUG), Ok("zero two".to_owned()));
        for source in ["zero", "one one"] {
            let sentence = changed(source, &BUG).unwrap_err();
            assert!(sentence.contains("no longer applies"), "{sentence}");
        }
    }

    #[test]
    fn every_bug_of_the_list_applies_to_the_tree_as_it_is() {
        for bug in bugs::BUGS {
            let source = fs::read_to_string(cargo::root().join(bug.file)).unwrap();
            let planted = changed(&source, bug).unwrap();
            assert_ne!(planted, source, "{}", bug.name);
        }
    }

    #[test]
    fn names_are_unique_and_an_unknown_one_is_refused() {
        let mut names: Vec<&str> = bugs::BUGS.iter().map(|bug| bug.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), bugs::BUGS.len());
        assert!(choose(&["no-such-bug".to_owned()]).unwrap_err().contains("no-fence"));
        assert_eq!(choose(&["no-fence".to_owned()]).unwrap().len(), 1);
    }
}
