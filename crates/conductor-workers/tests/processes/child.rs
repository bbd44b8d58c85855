//! Child processes: this program again, as an engine or as a submitter.

use crate::database::Database;
use crate::harness::Fallible;
use crate::submissions::run_submitter;
use crate::support::waiting::TIME_LIMIT;
use conductor_model::RunId;
use conductor_store::{SqliteOptions, SqliteStore, Synchronous};
use conductor_workers::{Children, Context, Engine, TaskError};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The environment variable with the arguments of a child. An engine gets four lines: the file, the run, the lease in
/// milliseconds, and the number of workers. A submitter gets [`SUBMIT`] and the file.
const ARGUMENTS: &str = "CONDUCTOR_PROCESSES_TEST_CHILD";
const SUBMIT: &str = "submit\n";

/// Runs the part of a child, if this process is one.
pub(crate) fn run_if_child() -> Fallible<Option<ExitCode>> {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return Ok(None) };
    Ok(Some(match arguments.strip_prefix(SUBMIT) {
        Some(path) => run_submitter(Path::new(path))?,
        None => run_engine(&arguments)?,
    }))
}

/// Runs an engine until a run is settled, and prints each attempt that starts.
fn run_engine(arguments: &str) -> Fallible<ExitCode> {
    let mut lines = arguments.split('\n');
    let mut next = || lines.next().ok_or("too few arguments");
    let (path, run, lease_ms, workers) = (next()?, next()?, next()?, next()?);
    let options = SqliteOptions::default().synchronous(Synchronous::Normal);
    let store = SqliteStore::open_with(path, options)?;
    let engine = Engine::builder(store)
        .lease(Duration::from_millis(lease_ms.parse()?))
        .workers(workers.parse()?)
        .wait_for_external_work()
        .handler("work", work)
        .handler("count", count)
        .build()?;
    let settled = engine.run_until_settled(run.parse()?)?;
    println!("settled {}", settled.state);
    Ok(ExitCode::SUCCESS)
}

/// The handler. Its input gives the duration, and whether it fails once or aborts the process.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns its input")]
fn work(input: Value, context: Context) -> Result<u32, TaskError> {
    // One line per call, because several threads may write.
    writeln!(std::io::stdout(), "started {} {}", context.id(), context.attempt())?;
    if input["aborts"] == true {
        std::process::abort();
    }
    if input["fails"] == true && context.retry_count() == 0 {
        return Err(TaskError::retry("the first attempt fails"));
    }
    thread::sleep(Duration::from_micros(input["takes_us"].as_u64().unwrap_or(0)));
    Ok(context.attempt())
}

/// The handler of joins. It counts the children that succeeded.
#[expect(clippy::needless_pass_by_value, reason = "a handler owns its input")]
fn count(children: Children<Value>, _: Context) -> Result<usize, TaskError> {
    children.outputs().try_fold(0, |so_far, output| output.map(|_| so_far + 1))
}

/// A child process, and the lines that it prints.
pub(crate) struct ChildProcess {
    child: Child,
    pub(crate) lines: mpsc::Receiver<String>,
}

impl ChildProcess {
    /// Starts an engine that settles a run.
    pub(crate) fn start_engine(
        database: &Database,
        run: RunId,
        lease: Duration,
        workers: u32,
    ) -> Fallible<Self> {
        Self::spawn(&format!("{}\n{run}\n{}\n{workers}", database.path.display(), lease.as_millis()))
    }

    /// Starts a program that submits many times with one key.
    pub(crate) fn start_submitter(database: &Database) -> Fallible<Self> {
        Self::spawn(&format!("{SUBMIT}{}", database.path.display()))
    }

    fn spawn(arguments: &str) -> Fallible<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(ARGUMENTS, arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = child.stdout.take().ok_or("the child has no standard output")?;
        Ok(Self { child, lines: read_lines(out) })
    }

    /// Waits for a line with this prefix, and returns it.
    pub(crate) fn wait_for_line(&self, prefix: &str) -> Fallible<String> {
        loop {
            let line = self
                .lines
                .recv_timeout(TIME_LIMIT)
                .map_err(|error| format!("no line {prefix:?}: {error}"))?;
            if line.starts_with(prefix) {
                return Ok(line);
            }
        }
    }

    /// Waits until the process ends, and returns whether it succeeded.
    pub(crate) fn wait_for_exit(&mut self) -> Fallible<bool> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if start.elapsed() > TIME_LIMIT {
                return Err("a process does not end".into());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) -> Fallible<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) -> Fallible<()> {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status()?;
        if sent.success() { Ok(()) } else { Err(format!("kill {name}: {sent}").into()) }
    }
}

/// Kills the process, so that no test leaves one behind.
impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads all output in a thread, so that the child never waits for a reader.
fn read_lines(out: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}
