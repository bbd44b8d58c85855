//! Counts the lines and words of a file.

use origin_conductor::{Context, TaskError};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// The number of retries of a file that cannot be read.
pub(super) const RETRIES: u32 = 2;

/// The output of a task: the counts of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    /// The number of lines.
    pub(super) lines: u64,
    /// The number of words, separated by white space.
    pub(super) words: u64,
}

/// The handler. The input of a task is the path of a file; the input of its parent is the folder.
///
/// The handler uses only data from the database, so that any process can continue the work. A file that cannot be read is
/// an error that is retried.
pub(super) fn words(path: PathBuf, context: Context) -> Result<Count, TaskError> {
    let folder: PathBuf = context.parent_input()?;
    Ok(count(&folder.join(path))?)
}

/// Counts line by line; only one line is in memory at a time.
fn count(file: &Path) -> io::Result<Count> {
    let mut count = Count::default();
    for line in BufReader::new(File::open(file)?).lines() {
        count.lines += 1;
        count.words += line?.split_whitespace().map(|_| 1).sum::<u64>();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::ErrorKind};

    #[test]
    fn white_space_separates_words() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, lines, words) in
            [("", 0, 0), ("\n\n", 2, 0), ("one", 1, 1), (" one  two\r\n\tdrei\u{3000}vier\n", 2, 4)]
        {
            fs::write(file.path(), text).unwrap();
            assert_eq!(count(file.path()).unwrap(), Count { lines, words }, "{text:?}");
        }
    }

    #[test]
    fn binary_or_missing_file_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"one\ntw\xff\n").unwrap();
        assert_eq!(count(file.path()).unwrap_err().kind(), ErrorKind::InvalidData);
        let path = file.path().to_path_buf();
        file.close().unwrap();
        assert_eq!(count(&path).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
