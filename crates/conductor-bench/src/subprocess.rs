//! Other processes of a bench: this program, started with a hidden command and controlled through standard input.

use crate::outcome::Outcome;
use crate::workspace::open;
use conductor_model::{RunId, State};
use conductor_store::{Query, SqliteStore, Synchronous};
use conductor_workers::{Context, Engine, TaskError};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One process.
pub(crate) struct Subprocess {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Subprocess {
    /// Starts a process and waits until it is ready.
    pub(crate) fn start(part: &str, file: &Path, sync: Synchronous) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part).arg(file).arg(format!("{sync:?}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("a child without its output")?);
        let mut process = Self { input: child.stdin.take(), child, output };
        process.line()?;
        Ok(process)
    }

    /// Lets the process begin.
    pub(crate) fn begin(&mut self) -> Outcome<()> {
        let input = self.input.as_mut().ok_or("a child without its input")?;
        writeln!(input, "go")?;
        Ok(input.flush()?)
    }

    /// Waits for the next line of its output.
    pub(crate) fn line(&mut self) -> Outcome<()> {
        match self.output.read_line(&mut String::new())? {
            0 => Err("a process of this bench ended; its error is above".into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Subprocess {
    fn drop(&mut self) {
        // The process ends when its input is closed.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Several processes that work on one file.
pub(crate) struct Workers(Vec<Subprocess>);

impl Workers {
    pub(crate) fn start(file: &Path, sync: Synchronous, count: u32) -> Outcome<Self> {
        Ok(Self((0..count).map(|_| Subprocess::start("worker", file, sync)).collect::<Outcome<_>>()?))
    }

    /// Returns the time until the run is settled, as a reader sees it.
    pub(crate) fn drain(mut self, store: &SqliteStore, run: RunId) -> Outcome<Duration> {
        let began = Instant::now();
        self.0.iter_mut().try_for_each(Subprocess::begin)?;
        while store.run(run)?.is_none_or(|run| !run.state.is_terminal()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = began.elapsed();
        self.0.iter_mut().try_for_each(Subprocess::line)?;
        Ok(took)
    }
}

fn print_line(what: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

/// Waits for a line of standard input, or its end.
fn wait() -> Outcome<usize> {
    Ok(std::io::stdin().lock().read_line(&mut String::new())?)
}

/// Runs a worker process: it works on the only run of the file, together with other processes.
pub(crate) fn work(file: &Path, sync: Synchronous) -> Outcome<()> {
    let store = open(file, sync)?;
    let run = store.runs(None, 1)?.items.first().ok_or("a file without a run")?.id;
    let engine = Engine::builder(Arc::clone(&store)).handler("noop", crate::workspace::noop).workers(1);
    let engine = engine.wait_for_external_work().build()?;
    print_line("ready")?;
    wait()?;
    let settled = engine.run_until_settled(run)?;
    if settled.state != State::Succeeded {
        return Err(format!("the run is {:?}", settled.state).into());
    }
    print_line("settled")
}

/// Runs a listener process: it reports each start of a handler, until its input ends.
pub(crate) fn run_listener(file: &Path, sync: Synchronous) -> Outcome<()> {
    let store: Arc<SqliteStore> = open(file, sync)?;
    let handler = |_: serde_json::Value, _: Context| -> Result<(), TaskError> {
        print_line("started").map_err(|error| TaskError::fatal(error.to_string()))
    };
    let engine = Engine::builder(store).handler("noop", handler).workers(2).build()?;
    engine.start();
    print_line("ready")?;
    wait()?;
    Ok(())
}
