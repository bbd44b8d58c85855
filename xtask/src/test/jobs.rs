//! Runs test programs beside each other, and prints the output of each as a whole.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use crate::{cargo, test::programs::Program};

/// Something that runs tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// The doctests of all crates, which cargo compiles and runs.
    Doctests,
    /// One test program.
    Program(Program),
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doctests => write!(f, "doctests"),
            Self::Program(Program { name, kind, folder, .. }) => {
                let package = folder.file_name().unwrap_or_default();
                write!(f, "{} {kind} {name}", package.display())
            }
        }
    }
}

impl Job {
    fn command(&self) -> Command {
        match self {
            Self::Doctests => {
                let mut command =
                    cargo::command(["test", "--workspace", "--all-features", "--doc", "--no-fail-fast"]);
                command.current_dir(cargo::root());
                command
            }
            Self::Program(Program { folder, path, .. }) => {
                let mut command = Command::new(path);
                command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder);
                command
            }
        }
    }
}

/// Runs the jobs in their order, `at_once` at a time, and prints the output of each. Returns the names of those that fail.
pub(super) fn run(jobs: Vec<Job>, at_once: usize, print: &(dyn Fn(&str) + Sync)) -> Vec<String> {
    let (jobs, failed) = (Mutex::new(VecDeque::from(jobs)), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(job) = lock(&jobs).pop_front() else { break };
            let began = Instant::now();
            let (passed, printed) = output(job.command()).unwrap_or_else(|error| (false, error.to_string()));
            let seconds = began.elapsed().as_secs_f64();
            let verdict = if passed { "ok" } else { "FAILED" };
            print(&format!("\n== {job}: {verdict}, {seconds:.1} s ==\n{}", printed.trim()));
            if !passed {
                lock(&failed).push(job.to_string());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a program without input. Returns whether it succeeds, and both of its outputs as one text.
fn output(mut command: Command) -> io::Result<(bool, String)> {
    let (mut reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds the writing ends of the pipe: while they are open, reading does not end.
    drop(command);
    let mut printed = Vec::new();
    reader.read_to_end(&mut printed)?;
    Ok((child.wait()?.success(), String::from_utf8_lossy(&printed).into_owned()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn failed_program_is_returned_by_name() {
        let program = |path: &str| {
            Job::Program(Program {
                name: path.trim_start_matches("/bin/").to_owned(),
                kind: "test".to_owned(),
                folder: "/".into(),
                path: path.into(),
            })
        };
        let jobs = ["/bin/true", "/bin/false", "/bin/no-such-program", "/bin/true"].map(program);
        let mut failed = run(jobs.to_vec(), 2, &|_| ());
        failed.sort_unstable();
        assert_eq!(failed, [" test false", " test no-such-program"]);
    }

    #[test]
    fn outputs_are_joined_in_order() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo a; echo b >&2; echo c; exit 3"]);
        assert_eq!(output(command).unwrap(), (false, "a\nb\nc\n".to_owned()));
    }
}
