//! The work itself: counting the lines and words of files, on a few threads.

use crate::failure::Failure;
use conductor_model::{Invalid, Json, Task};
use conductor_store::Report;
use serde::{Deserialize, Serialize};
use std::{
    error::Error,
    fs::File,
    io::{BufRead, BufReader},
    num::NonZero,
    path::Path,
    thread,
};

/// What comes out of counting a file: the output of its task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    /// Its lines.
    pub(super) lines: u64,
    /// What white space separates in them.
    pub(super) words: u64,
}

/// Counts the files that the tasks are about, and says what became of each.
pub(super) fn all(folder: &Path, tasks: &[Task]) -> Result<Vec<Report>, Failure> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = tasks.len().div_ceil(threads).max(1);
    let work = |tasks: &[Task]| tasks.iter().map(|task| report(folder, task)).collect::<Vec<_>>();
    let reports = thread::scope(|scope| {
        let threads: Vec<_> = tasks.chunks(share).map(|tasks| scope.spawn(move || work(tasks))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
    });
    Ok(reports.map_err(|_| Failure::new("a thread that counts has panicked"))?.concat())
}

/// Names the attempt that it speaks of, so that no other's is taken for it.
fn report(folder: &Path, task: &Task) -> Report {
    let report = match count(folder, task).and_then(|count| Ok(Json::of(&count).map_err(Invalid::from)?)) {
        Ok(count) => Report::succeeded_with(task.id, count),
        Err(error) => Report::failed(task.id, error.to_string()),
    };
    report.of_attempt(task.attempt + 1)
}

/// Counts line by line: however large the file is, one line of it is held.
fn count(folder: &Path, task: &Task) -> Result<Count, Box<dyn Error>> {
    let mut count = Count::default();
    for line in BufReader::new(File::open(folder.join(path(task)?))?).lines() {
        count.lines += 1;
        count.words += u64::try_from(line?.split_whitespace().count())?;
    }
    Ok(count)
}

/// The file that a task is about.
pub(super) fn path(task: &Task) -> Result<String, Box<dyn Error>> {
    let input = task.input.as_ref().ok_or("the task has no input")?;
    Ok(input.to()?)
}
