//! The files that the checks read: every text file that git tracks or would track.

use std::{fs, path::Path, process::Command};

use crate::cargo;

/// One text file.
#[derive(Debug)]
pub(crate) struct File {
    /// The path from the root of the repository, with `/` on every platform.
    pub(crate) path: String,
    /// The content.
    pub(crate) text: String,
}

/// All text files of the repository, in the order of their paths.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<File>);

impl Files {
    /// Reads the files that git tracks, and those that it would track after `git add`: a check fails before the commit.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let paths = cargo::output(Command::new("git").args(list).current_dir(root))
            .map_err(|error| format!("`git ls-files` failed: {error}; run tidy in a git checkout"))?;
        let mut files = Vec::new();
        for path in paths.split_terminator('\0') {
            if let Some(text) = text(&root.join(path))? {
                files.push(File { path: path.to_owned(), text });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(files))
    }

    /// Returns every file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    /// Returns every file whose path ends with this text.
    pub(crate) fn ending(&self, end: &str) -> impl Iterator<Item = &File> {
        self.iter().filter(move |file| file.path.ends_with(end))
    }

    /// Returns the content of one file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

/// Returns the content of a text file. It is `None` for a symbolic link, for a binary file, and for a file that is deleted
/// but still tracked.
fn text(path: &Path) -> Result<Option<String>, String> {
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')))
}

#[cfg(test)]
impl Files {
    /// Takes files of these paths and contents.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self(files.iter().map(file).collect())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Files {
    fn from(files: [(&str, &str); N]) -> Self {
        Self::of(&files)
    }
}
