//! Runs test programs beside each other, and prints the output of each as a whole.

use std::{
    collections::VecDeque,
    fmt,
    fs::{self, File},
    io,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{cargo, test::programs::Program};

/// A program that runs longer is killed: it hangs.
const TIME_LIMIT: Duration = Duration::from_mins(15);
/// The interval of the checks whether a program has ended.
const POLL: Duration = Duration::from_millis(20);

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
            print(&format!("started: {job}"));
            let log = cargo::root()
                .join(format!("target/test-logs/{}.txt", job.to_string().replace(['/', ' '], "-")));
            let (passed, printed) =
                output(job.command(), &log, TIME_LIMIT).unwrap_or_else(|error| (false, error.to_string()));
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

/// Runs a program without input, for at most `limit`. Returns whether it succeeds, and both of its outputs as one text. The
/// output goes to a file, because a pipe would stay open for as long as any process that the program started.
fn output(mut command: Command, log: &Path, limit: Duration) -> io::Result<(bool, String)> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = wait(&mut command.spawn()?, limit)?;
    let mut printed = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    if status.is_none() {
        printed.push_str(&format!("\nkilled after {} s: it did not end", limit.as_secs()));
    }
    Ok((status.is_some_and(|status| status.success()), printed))
}

/// Waits for the end of a process. Kills it after `limit` and returns `None`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
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

    fn shell(script: &str, limit: Duration) -> (bool, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let name = format!("xtask-{}-{}.txt", std::process::id(), script.len());
        let log = std::env::temp_dir().join(name);
        let outcome = output(command, &log, limit).unwrap();
        fs::remove_file(log).unwrap();
        outcome
    }

    #[test]
    fn outputs_are_joined_in_order() {
        let printed = shell("echo a; echo b >&2; echo c; exit 3", TIME_LIMIT);
        assert_eq!(printed, (false, "a\nb\nc\n".to_owned()));
    }

    #[test]
    fn hanging_program_is_killed() {
        let (passed, printed) = shell("echo a; exec sleep 60", Duration::from_millis(200));
        assert!(!passed && printed.starts_with("a\n") && printed.contains("killed"), "{printed}");
    }
}
