//! Many processes that submit with one idempotency key.

use crate::child::ChildProcess;
use crate::database::Database;
use crate::harness::Fallible;
use crate::support::waiting::TIME_LIMIT;
use conductor_model::{RunDraft, RunId, TaskDraft};
use conductor_store::{Environment, Query, SqliteOptions, SqliteStore, Store, Submit, Synchronous};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

/// Each process submits with this many threads.
const THREADS: u32 = 4;
/// Each thread submits this many times.
const SUBMISSIONS: u32 = 50;

/// The answer to a submission.
struct Answer {
    run: RunId,
    created: bool,
}

/// Submits many times with one key, and returns all answers.
fn submit_often(path: &Path) -> Fallible<Vec<Answer>> {
    let store = SqliteStore::open_with(path, SqliteOptions::default().synchronous(Synchronous::Normal))?;
    let env = Environment::system();
    let run = RunDraft::new().idempotency_key("once").task(TaskDraft::new("T")).validate()?;
    let often = || -> Result<Vec<Answer>, String> {
        let submit = || store.submit(&Submit::new(run.clone(), &env));
        let answers = (0..SUBMISSIONS)
            .map(|_| submit().map(|answer| Answer { run: answer.run, created: answer.created }));
        answers.collect::<Result<_, _>>().map_err(|error| error.to_string())
    };
    let answers: Vec<Result<Vec<Answer>, String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(often)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect()
    });
    let answers: Vec<Vec<Answer>> = answers.into_iter().collect::<Result<_, _>>()?;
    Ok(answers.into_iter().flatten().collect())
}

/// Runs in a child process. It prints all answers.
pub(crate) fn run_submitter(path: &Path) -> Fallible<ExitCode> {
    for Answer { run, created } in submit_often(path)? {
        println!("answer {run} {created}");
    }
    println!("done");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn thousand_submissions_with_one_key_create_one_run() -> Fallible<String> {
    let database = Database::new()?;
    let mut processes =
        (0..4).map(|_| ChildProcess::start_submitter(&database)).collect::<Fallible<Vec<_>>>()?;
    let mut answers = submit_often(&database.path)?;
    for process in &mut processes {
        loop {
            let line = process.lines.recv_timeout(TIME_LIMIT)?;
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["answer", run, created] => {
                    answers.push(Answer { run: run.parse()?, created: created == "true" });
                }
                _ => break,
            }
        }
        if !process.wait_for_exit()? {
            return Err("a process failed".into());
        }
    }
    let created = answers.iter().filter(|answer| answer.created).count();
    let runs = database.store.runs(None, 10)?.items;
    if answers.len() != 1000 || created != 1 || runs.len() != 1 {
        return Err(format!("{} answers, {created} created, {} runs", answers.len(), runs.len()).into());
    }
    if answers.iter().all(|answer| answer.run == runs[0].id) {
        Ok("1000 answers".into())
    } else {
        Err("an answer names another run".into())
    }
}
