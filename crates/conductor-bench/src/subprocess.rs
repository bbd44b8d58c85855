//! The other processes of a bench: this program again, which does as it is told on standard input.

use crate::Outcome;
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
    /// Starts one, and waits until it is ready.
    pub(crate) fn start(part: &str, file: &Path, sync: Synchronous) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part).arg(file).arg(format!("{sync:?}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("a child without its output")?);
        let mut helper = Self { input: child.stdin.take(), child, output };
        helper.line()?;
        Ok(helper)
    }

    /// Tells it to begin.
    pub(crate) fn go(&mut self) -> Outcome<()> {
        let input = self.input.as_mut().ok_or("a child without its input")?;
        writeln!(input, "go")?;
        Ok(input.flush()?)
    }

    /// Waits for its next line.
    pub(crate) fn line(&mut self) -> Outcome<()> {
        match self.output.read_line(&mut String::new())? {
            0 => Err("a helping process ended; it says why above.".into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Subprocess {
    fn drop(&mut self) {
        // It ends with its input, if it has not ended already.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Some processes that work on one file.
pub(crate) struct Workers(Vec<Subprocess>);

impl Workers {
    pub(crate) fn start(file: &Path, sync: Synchronous, count: u32) -> Outcome<Self> {
        Ok(Self((0..count).map(|_| Subprocess::start("worker", file, sync)).collect::<Outcome<_>>()?))
    }

    /// How long it takes them to settle this run, as a reader sees it.
    pub(crate) fn drain(mut self, store: &SqliteStore, run: RunId) -> Outcome<Duration> {
        let began = Instant::now();
        self.0.iter_mut().try_for_each(Subprocess::go)?;
        while store.run(run)?.is_none_or(|run| !run.state.is_terminal()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = began.elapsed();
        self.0.iter_mut().try_for_each(Subprocess::line)?;
        Ok(took)
    }
}

fn say(what: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

/// A line of standard input, or its end.
fn wait() -> Outcome<usize> {
    Ok(std::io::stdin().lock().read_line(&mut String::new())?)
}

/// A worker: settles the file's one run together with others.
pub(crate) fn work(file: &Path, sync: Synchronous) -> Outcome<()> {
    let store = open(file, sync)?;
    let run = store.runs(None, 1)?.items.first().ok_or("a file without a run")?.id;
    let engine = Engine::builder(Arc::clone(&store)).handler("noop", crate::workspace::noop).workers(1);
    let engine = engine.wait_for_external_work().build()?;
    say("ready")?;
    wait()?;
    let settled = engine.run_until_settled(run)?;
    if settled.state != State::Succeeded {
        return Err(format!("the run is {:?}", settled.state).into());
    }
    say("settled")
}

/// A listener: says when a handler starts, until its input ends.
pub(crate) fn listen(file: &Path, sync: Synchronous) -> Outcome<()> {
    let store: Arc<SqliteStore> = open(file, sync)?;
    let handler = |_: serde_json::Value, _: Context| -> Result<(), TaskError> {
        say("started").map_err(|error| TaskError::fatal(error.to_string()))
    };
    let engine = Engine::builder(store).handler("noop", handler).workers(2).build()?;
    engine.start();
    say("ready")?;
    wait()?;
    Ok(())
}
