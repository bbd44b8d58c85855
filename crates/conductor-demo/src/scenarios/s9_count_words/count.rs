//! The work itself: counting the lines and words of files, on a few threads.

use crate::failure::Failure;
use conductor_model::{Json, Task};
use conductor_store::Report;
use serde::{Deserialize, Serialize};
use std::{
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader},
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
    let report_all = |tasks: &[Task]| tasks.iter().map(|task| report(folder, task)).collect::<Vec<_>>();
    let reports = thread::scope(|scope| {
        let threads: Vec<_> =
            tasks.chunks(share).map(|tasks| scope.spawn(move || report_all(tasks))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
    });
    Ok(reports.map_err(|_| Failure::new("a thread that counts has panicked"))?.concat())
}

/// Names the attempt that it speaks of, so that no other's is taken for it.
fn report(folder: &Path, task: &Task) -> Report {
    let report = match work(folder, task) {
        Ok(output) => Report::succeeded_with(task.id, output),
        Err(error) => Report::failed(task.id, error.to_string()),
    };
    report.of_attempt(task.attempt + 1)
}

fn work(folder: &Path, task: &Task) -> Result<Json, Box<dyn Error>> {
    let count = count(&folder.join(path(task)?))?;
    Ok(Json::of(&count)?)
}

/// Counts line by line: however large the file is, one line of it is held.
fn count(file: &Path) -> io::Result<Count> {
    let mut count = Count::default();
    for line in BufReader::new(File::open(file)?).lines() {
        count.lines += 1;
        count.words += line?.split_whitespace().map(|_| 1).sum::<u64>();
    }
    Ok(count)
}

/// The file that a task is about.
pub(super) fn path(task: &Task) -> Result<String, Box<dyn Error>> {
    let input = task.input.as_ref().ok_or("the task has no input")?;
    Ok(input.to()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::ErrorKind};

    #[test]
    fn words_are_what_white_space_separates() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, lines, words) in
            [("", 0, 0), ("\n\n", 2, 0), ("one", 1, 1), (" one  two\r\n\tdrei\u{3000}vier\n", 2, 4)]
        {
            fs::write(file.path(), text).unwrap();
            assert_eq!(count(file.path()).unwrap(), Count { lines, words }, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_or_has_vanished_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"one\ntw\xff\n").unwrap();
        assert_eq!(count(file.path()).unwrap_err().kind(), ErrorKind::InvalidData);
        let path = file.path().to_path_buf();
        file.close().unwrap();
        assert_eq!(count(&path).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
