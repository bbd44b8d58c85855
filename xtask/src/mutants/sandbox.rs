//! The copy of the tree in which bugs are planted, and the tests that are run there.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    cargo,
    mutants::{
        Field, Ran,
        bug::{Test, UNIT_TESTS},
    },
};

/// How often a test is asked whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// What a test exits with when it fails.
const FAILED: i32 = 101;

/// A copy of the files that git knows, with a target folder of its own.
pub(super) struct Copy {
    tree: PathBuf,
    build: PathBuf,
    /// What the tests printed.
    logs: PathBuf,
    /// The test that was compiled last, as a program.
    program: PathBuf,
    /// Held for as long as the copy is used.
    _lock: File,
}

impl Copy {
    /// Copies what git tracks, as it is in the working tree.
    pub(super) fn make() -> Result<Self, String> {
        let place = cargo::root().join("target/mutants");
        let (tree, build, logs) = (place.join("tree"), place.join("build"), place.join("logs"));
        for folder in [&tree, &logs] {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let lock = lock(&place.join("lock"))?;
        // Also what it would track after `git add`, so that a new test is tried before the commit.
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let list = cargo::output(Command::new("git").args(list).current_dir(cargo::root()))
            .map_err(|error| format!("plant bugs in a git checkout, for `git ls-files` says: {error}"))?;
        let mut tracked = HashSet::new();
        for name in list.split_terminator('\0') {
            let (from, to) = (cargo::root().join(name), tree.join(name));
            // One that was removed, and not from git yet, is removed from the copy too.
            if from.symlink_metadata().is_ok() {
                copy(&from, &to).map_err(|error| format!("{name} cannot be copied: {error}"))?;
                tracked.insert(to);
            }
        }
        remove_others(&tree, &tracked)
            .map_err(|error| format!("{} cannot be cleared: {error}", tree.display()))?;
        Ok(Self { tree, build, logs, program: PathBuf::new(), _lock: lock })
    }
}

/// Two of us in one copy would plant bugs under each other's tests.
fn lock(path: &Path) -> Result<File, String> {
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("Bugs are being planted in this checkout already: wait for that to end.".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display())),
    }
}

/// Copies a file or a symbolic link. What is the same already is left alone, so that it is not compiled again.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    #[cfg(unix)]
    if from.symlink_metadata()?.is_symlink() {
        let leads_to = fs::read_link(from)?;
        if fs::read_link(to).is_ok_and(|present| present == leads_to) {
            return Ok(());
        }
        if to.symlink_metadata().is_ok() {
            fs::remove_file(to)?;
        }
        return std::os::unix::fs::symlink(leads_to, to);
    }
    let content = fs::read(from)?;
    if fs::read(to).is_ok_and(|present| present == content) { Ok(()) } else { fs::write(to, content) }
}

/// Removes what an earlier run copied and what is tracked no longer: a test, say, that cargo would find and compile.
fn remove_others(folder: &Path, tracked: &HashSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_others(&entry.path(), tracked)?;
        } else if !tracked.contains(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Field for Copy {
    fn read(&self, file: &str) -> Result<String, String> {
        fs::read_to_string(self.tree.join(file)).map_err(|error| format!("{file}: {error}"))
    }

    fn write(&mut self, file: &str, text: &str) -> Result<(), String> {
        fs::write(self.tree.join(file), text).map_err(|error| format!("{file}: {error}"))
    }

    fn compile(&mut self, test: &Test) -> Result<(), String> {
        let mut command = cargo::command(["test", "--no-run", "--quiet"]);
        command.args(["--message-format", "json-render-diagnostics", "--package", test.package]);
        if test.target == UNIT_TESTS {
            command.arg("--lib");
        } else {
            command.args(["--test", test.target]);
        }
        command.arg("--target-dir").arg(&self.build);
        // Nobody looks at these programs with a debugger, and without its data they are linked in half the time.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").current_dir(&self.tree);
        let messages = cargo::output(&mut command)?;
        let program = program(&messages);
        self.program = program.ok_or_else(|| "cargo names no program that was built".to_owned())?;
        Ok(())
    }

    fn run(&mut self, test: &Test, patience: Duration, name: &str) -> Result<Ran, String> {
        let log = self.logs.join(format!("{name}.txt"));
        let io = |error: io::Error| format!("{test} could not be run: {error}");
        let (out, err) = {
            let file = File::create(&log).map_err(io)?;
            (file.try_clone().map_err(io)?, file)
        };
        // As cargo would run it.
        let mut command = Command::new(&self.program);
        command.args(["--exact", test.name]).current_dir(self.tree.join("crates").join(test.package));
        command.envs(test.env.iter().copied()).stdin(Stdio::null()).stdout(out).stderr(err);
        let mut child = command.spawn().map_err(io)?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(io)? {
                break status;
            }
            if began.elapsed() > patience {
                child.kill().and_then(|()| child.wait()).map_err(io)?;
                return Ok(Ran::Hung);
            }
            thread::sleep(POLL_INTERVAL);
        };
        let printed = fs::read(&log).map_err(io)?;
        Ok(verdict(status, &String::from_utf8_lossy(&printed)))
    }
}

fn verdict(status: ExitStatus, printed: &str) -> Ran {
    match status.code() {
        Some(0) if printed.contains("running 0 tests") => Ran::Missing,
        Some(0) => Ran::Passed,
        Some(FAILED) => Ran::Failed,
        _ => Ran::Died(status.to_string()),
    }
}

/// The program that cargo built of a test, by the messages that it printed, one JSON text to a line. The others are of
/// crates that the test needs, of which none is built as a test.
fn program(messages: &str) -> Option<PathBuf> {
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .find(|message| message["profile"]["test"] == true)
        .and_then(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_test_is_found_among_the_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":null}"#,
            "\nnot a message\n",
            r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/build/script"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","profile":{"test":true},"executable":"/build/conformance"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(program(messages), Some(PathBuf::from("/build/conformance")));
        assert_eq!(program("{}\n"), None);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_exit_code_of_a_failed_test_is_a_failure() {
        use std::os::unix::process::ExitStatusExt;
        let of = |raw, printed| verdict(ExitStatus::from_raw(raw), printed);
        assert_eq!(of(0, "running 1 test\n"), Ran::Passed);
        assert_eq!(of(0, "\nrunning 0 tests\n"), Ran::Missing);
        assert_eq!(of(101 << 8, "running 1 test\n"), Ran::Failed);
        for raw in [1 << 8, 6] {
            assert!(matches!(of(raw, "running 1 test\n"), Ran::Died(_)), "{raw}");
        }
    }
}
