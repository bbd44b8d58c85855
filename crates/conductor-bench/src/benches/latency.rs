//! Time from a submission to the start of the handler on an idle engine.

use crate::baseline;
use crate::measure::{Bench, Both, Rounds, Unit};
use crate::outcome::Outcome;
use crate::subprocess::Subprocess;
use crate::workspace::{Workspace, submit};
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Environment, Synchronous};
use conductor_workers::{Context, Engine, TaskError};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const TIMES: u32 = 300;
/// The number of submissions after which engine and baseline alternate.
const IN_TURN: u32 = 30;

/// How long the engine is idle before a submission, not in step with its poll.
#[derive(Clone, Copy)]
enum Idle {
    /// 2 ms: the processor is still awake.
    Shortly,
    /// 10 to 130 ms: other processes had the processor and its caches.
    Long,
}

impl Idle {
    fn pass(self, i: u32) {
        let micros = match self {
            Self::Shortly => 2_000,
            Self::Long => 10_000 + 1_237 * u64::from(i * 37 % 100),
        };
        thread::sleep(Duration::from_micros(micros));
    }
}

pub(super) fn run(bench: &Bench) -> Outcome<()> {
    for sync in [Synchronous::Normal, Synchronous::Full] {
        print(bench, "latency", sync, Idle::Long, one_process)?;
        print(bench, "latency/2 ms", sync, Idle::Shortly, one_process)?;
        print(bench, "latency/2 processes", sync, Idle::Long, two_processes)?;
    }
    Ok(())
}

/// Submits one run after the other; returns each latency, in seconds.
type Times = Box<dyn FnMut() -> Outcome<f64>>;

fn print(
    bench: &Bench,
    name: &str,
    sync: Synchronous,
    idle: Idle,
    begin: fn(&Workspace) -> Outcome<Times>,
) -> Outcome<()> {
    let (ours, raw) = (Workspace::new(sync)?, Workspace::new(sync)?);
    let mut sides = [begin(&ours)?, baseline(&raw)?];
    let times = if bench.quick { 20 } else { TIMES };
    let mut taken = [Vec::new(), Vec::new()];
    for first in (0..times).step_by(IN_TURN as usize) {
        for (side, taken) in sides.iter_mut().zip(&mut taken) {
            for i in first..times.min(first + IN_TURN) {
                idle.pass(i);
                taken.push(side()?);
            }
        }
    }
    let [ours, baseline] = taken.map(Rounds);
    let both = Both { ours, baseline, ..Both::default() };
    for percent in [50, 99] {
        bench.print(&both.time(&format!("{name}/p{percent}"), times, sync, percent, Unit::Milliseconds))?;
    }
    Ok(())
}

fn one_process(workspace: &Workspace) -> Outcome<Times> {
    let (started, starts) = mpsc::channel();
    let started = Mutex::new(started);
    let handler = move |_: serde_json::Value, _: Context| -> Result<(), TaskError> {
        started.lock().map_err(|error| TaskError::fatal(error.to_string()))?.send(Instant::now())?;
        Ok(())
    };
    let engine = Engine::builder(workspace.store()?).handler("noop", handler).workers(2).build()?;
    engine.start();
    Ok(Box::new(move || {
        let submitted = Instant::now();
        engine.submit(RunDraft::new().task(TaskDraft::new("noop")))?;
        Ok(starts.recv()?.duration_since(submitted).as_secs_f64())
    }))
}

/// The engine is in another process and reports the start of a handler through a pipe.
fn two_processes(workspace: &Workspace) -> Outcome<Times> {
    let store = workspace.store()?;
    let mut listener = Subprocess::start("listener", &workspace.path(), workspace.sync)?;
    Ok(Box::new(move || {
        let submitted = Instant::now();
        submit(&store, TaskDraft::new("noop"))?;
        listener.line()?;
        Ok(submitted.elapsed().as_secs_f64())
    }))
}

/// The single transaction that writes the run and claims its task. Between processes, two transactions are needed.
fn baseline(workspace: &Workspace) -> Outcome<Times> {
    let mut raw = workspace.raw_with_parent(1)?;
    let env = Environment::system();
    Ok(Box::new(move || {
        let began = Instant::now();
        baseline::submit_and_claim(&mut raw, &env)?;
        Ok(began.elapsed().as_secs_f64())
    }))
}
