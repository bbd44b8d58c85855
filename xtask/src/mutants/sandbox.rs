//! A copy of the tree in which bugs are written, and the tests that run there.

use std::{
    collections::HashSet,
    env,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    cargo,
    mutants::{
        bug::{Test, UNIT_TESTS},
        trial::{Sandbox, TestEnd},
    },
    test::programs::{self, Program},
};

/// The interval between two looks at a running test.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The exit code of a test that fails.
const FAILED: i32 = 101;

/// Keeps other processes out of the copies. Two processes in one copy would test each other's bugs.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of this checkout, or fails at once.
    pub(super) fn take() -> Result<Self, String> {
        let path = folder("lock");
        create(&folder(""))?;
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err("another `cargo xtask mutants` runs in this checkout; wait for its end".to_owned())
            }
            Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display())),
        }
    }
}

/// Returns a folder of the mutation tests.
fn folder(name: &str) -> PathBuf {
    cargo::root().join("target/mutants").join(name)
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// A copy of the files that git tracks, with a target folder of its own.
pub(super) struct TreeCopy {
    tree: PathBuf,
    build: PathBuf,
    /// The folder for the output of the tests.
    logs: PathBuf,
    /// The test program that was compiled last.
    program: Option<Program>,
}

impl TreeCopy {
    /// Copies the files that git tracks, as they are in the working tree, and those that it would track after `git add`.
    pub(super) fn make(name: &str) -> Result<Self, String> {
        let place = folder(name);
        let (tree, build, logs) = (place.join("tree"), place.join("build"), place.join("logs"));
        create(&tree)?;
        create(&logs)?;
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let list = cargo::output(Command::new("git").args(list).current_dir(cargo::root()))
            .map_err(|error| format!("`git ls-files` failed: {error}; run this in a git checkout"))?;
        let mut tracked = HashSet::new();
        for name in list.split_terminator('\0') {
            let (from, to) = (cargo::root().join(name), tree.join(name));
            // A file that is deleted but still tracked is missing here. It is removed from the copy, too.
            if from.symlink_metadata().is_ok() {
                copy(&from, &to).map_err(|error| format!("{name} cannot be copied: {error}"))?;
                tracked.insert(to);
            }
        }
        remove_others(&tree, &tracked)
            .map_err(|error| format!("{} cannot be cleared: {error}", tree.display()))?;
        link_dependencies(&build);
        Ok(Self { tree, build, logs, program: None })
    }
}

/// Gives a new target folder the compiled dependencies of the main one, as hard links.
///
/// Cargo finds them there, because their fingerprints do not depend on the folder of the workspace. It
/// compiles those that it does not find, so a failure here only costs time.
fn link_dependencies(build: &Path) {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| cargo::root().join("target"), PathBuf::from);
    if build.exists() {
        return;
    }
    // Cargo rewrites fingerprints and the outputs of build scripts in place, so these are copied.
    for (folder, link) in [("debug/.fingerprint", false), ("debug/build", false), ("debug/deps", true)] {
        if let Err(error) = link_all(&target.join(folder), &build.join(folder), link) {
            eprintln!("xtask: {folder} is not linked, so its files are compiled again: {error}");
        }
    }
}

/// Links or copies all files below a folder.
fn link_all(from: &Path, to: &Path, link: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_all(&entry.path(), &to, link)?;
        } else if link {
            fs::hard_link(entry.path(), to)?;
        } else {
            copy_with_times(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Copies a file with its time, by which cargo decides whether it is fresh.
fn copy_with_times(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let modified = from.metadata()?.modified()?;
    File::options().write(true).open(to)?.set_modified(modified)
}

/// Copies a file or a symbolic link. An equal file is left alone, so that cargo does not compile it again.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    #[cfg(unix)]
    if from.symlink_metadata()?.is_symlink() {
        let target = fs::read_link(from)?;
        if fs::read_link(to).is_ok_and(|present| present == target) {
            return Ok(());
        }
        if to.symlink_metadata().is_ok() {
            fs::remove_file(to)?;
        }
        return std::os::unix::fs::symlink(target, to);
    }
    let content = fs::read(from)?;
    if fs::read(to).is_ok_and(|present| present == content) { Ok(()) } else { fs::write(to, content) }
}

/// Removes files that an earlier run copied and that are no longer tracked. Cargo would compile such a test.
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

impl Sandbox for TreeCopy {
    fn read(&self, file: &str) -> Result<String, String> {
        fs::read_to_string(self.tree.join(file)).map_err(|error| format!("{file}: {error}"))
    }

    fn write(&mut self, file: &str, text: &str) -> Result<(), String> {
        fs::write(self.tree.join(file), text).map_err(|error| format!("{file}: {error}"))
    }

    fn compile(&mut self, test: &Test) -> Result<(), String> {
        // With all packages, dependencies have the features that they also have in the build of all tests.
        let mut command = cargo::command(["test", "--no-run", "--quiet", "--workspace", "--all-features"]);
        let is_unit_test = test.target == UNIT_TESTS;
        if is_unit_test {
            command.arg("--lib");
        } else {
            command.args(["--test", test.target]);
        }
        command.args(["--message-format", "json-render-diagnostics", "--target-dir"]).arg(&self.build);
        let messages = cargo::output(command.current_dir(&self.tree))?;
        let is_of_test = |program: &Program| {
            let is_target = if is_unit_test { program.kind == "lib" } else { program.name == test.target };
            is_target && program.folder.ends_with(test.package)
        };
        let program = programs::read(&messages).tests.into_iter().find(is_of_test);
        self.program = Some(program.ok_or_else(|| format!("cargo prints no program of {test}"))?);
        Ok(())
    }

    fn run(&mut self, test: &Test, time_limit: Duration, name: &str) -> Result<TestEnd, String> {
        let program = self.program.as_ref().ok_or_else(|| format!("{test} is not compiled"))?;
        let log = self.logs.join(format!("{name}.txt"));
        let failure = |error: io::Error| format!("{test} does not run: {error}");
        let file = File::create(&log).map_err(failure)?;
        let mut command = Command::new(&program.path);
        command.args(["--exact", test.name]).current_dir(&program.folder).envs(test.env.iter().copied());
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(failure)?).stderr(file);
        let Some(status) = run_for(&mut command, time_limit).map_err(failure)? else {
            return Ok(TestEnd::Hung);
        };
        let printed = fs::read(&log).map_err(failure)?;
        Ok(end(status, &String::from_utf8_lossy(&printed)))
    }
}

/// Runs a program; `None` if it was killed at its time limit.
fn run_for(command: &mut Command, time_limit: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let began = Instant::now();
    while began.elapsed() <= time_limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL_INTERVAL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn end(status: ExitStatus, printed: &str) -> TestEnd {
    match status.code() {
        Some(0) if printed.contains("running 0 tests") => TestEnd::Missing,
        Some(0) => TestEnd::Passed,
        Some(FAILED) => TestEnd::Failed,
        _ => TestEnd::Died(status.to_string()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn only_exit_code_101_is_a_failed_test() {
        let of = |raw, printed| end(ExitStatus::from_raw(raw), printed);
        assert_eq!(of(0, "running 1 test\n"), TestEnd::Passed);
        assert_eq!(of(0, "\nrunning 0 tests\n"), TestEnd::Missing);
        assert_eq!(of(FAILED << 8, "running 1 test\n"), TestEnd::Failed);
        for raw in [1 << 8, 6] {
            assert!(matches!(of(raw, "running 1 test\n"), TestEnd::Died(_)), "{raw}");
        }
    }

    #[test]
    fn program_is_killed_at_its_time_limit() {
        let mut sleep = Command::new("sleep");
        assert_eq!(run_for(sleep.arg("60"), Duration::from_millis(50)).unwrap(), None);
        assert!(run_for(&mut Command::new("true"), Duration::from_mins(1)).unwrap().is_some());
    }
}
