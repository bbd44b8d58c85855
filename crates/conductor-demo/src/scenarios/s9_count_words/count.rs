//! The work itself: counting the lines and words of a file.

use conductor_workers::{Context, TaskError};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// What comes out of counting a file: the output of its task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    /// Its lines.
    pub(super) lines: u64,
    /// What white space separates in them.
    pub(super) words: u64,
}

/// The handler: the path of a file is the input of its task, the folder is that of the parent.
///
/// It knows nothing but what is in the database, so that any process can go on. A file that cannot be read is an error
/// like any other, and is tried again.
pub(super) fn words(path: PathBuf, context: Context) -> Result<Count, TaskError> {
    let folder: PathBuf = context.parent_input()?;
    Ok(count(&folder.join(path))?)
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
