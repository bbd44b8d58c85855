//! Lists the files in a folder, without hidden files and build output.

use crate::failure::Failure;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The folder of Cargo's build output.
const BUILT: &str = "target";

/// Returns the paths of all files below a folder, relative to it and sorted; only those after `last`, if given. Does not
/// follow links.
///
/// A subfolder that cannot be listed is an error in the list.
pub(super) fn under(folder: &Path, last: Option<PathBuf>) -> impl Iterator<Item = Result<String, Failure>> {
    // Sort name by name, as paths compare, so that the walk can continue after any path.
    let walk = WalkDir::new(folder).min_depth(1).sort_by(|one, other| name(one).cmp(&name(other)));
    let paths = walk.into_iter().filter_entry(is_included).filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_file() => {
            let path = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            Some(Ok(path.to_string_lossy().into_owned()))
        }
        Ok(_) => None,
        Err(error) => Some(Err(Failure::from(error).during("skipped"))),
    });
    let is_new = move |path: &str| last.as_ref().is_none_or(|last| Path::new(path) > last.as_path());
    paths.filter(move |path| path.as_ref().map_or(true, |path| is_new(path)))
}

/// JSON is UTF-8. The path of a file whose name is not UTF-8 is changed, so its child fails.
fn name(entry: &DirEntry) -> std::borrow::Cow<'_, str> {
    entry.file_name().to_string_lossy()
}

fn is_included(entry: &DirEntry) -> bool {
    // The user named this folder, so its name does not matter.
    if entry.depth() == 0 {
        return true;
    }
    let name = entry.file_name();
    let is_hidden = name.as_encoded_bytes().starts_with(b".");
    let is_built = name == BUILT && entry.file_type().is_dir();
    !is_hidden && !is_built
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(folder: &Path, last: Option<&str>) -> Vec<String> {
        under(folder, last.map(PathBuf::from)).map(|path| path.unwrap().replace('\\', "/")).collect()
    }

    #[test]
    fn hidden_files_and_build_output_are_skipped() {
        let files =
            [".git/config", "target/debug/x", "a/.hidden/y", "a/b.rs", "a/target/z", "c/target", "d.md"];
        let folder = folder_with(&files);
        assert_eq!(found(folder.path(), None), ["a/b.rs", "c/target", "d.md"]);
    }

    #[test]
    fn walk_continues_after_any_path() {
        // By their bytes, `a-b` and `a.txt` would stand between `a` and `a/x`.
        let files = ["B", "a/b/c", "a/x", "a-b/y", "a.txt", "z/ü", "ä/é"];
        let folder = folder_with(&files);
        let all = found(folder.path(), None);
        assert_eq!(all.len(), files.len());
        for (at, last) in all.iter().enumerate() {
            assert_eq!(found(folder.path(), Some(last)), all[at + 1..]);
        }
        assert_eq!(found(folder.path(), Some("a/gone")), all[2..]);
    }
}
