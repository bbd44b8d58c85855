//! The files under a folder, as a person sees it: nothing hidden, nothing that a build has left.

use crate::failure::Failure;
use std::path::Path;
use walkdir::{DirEntry, WalkDir};

/// Where cargo puts what it builds.
const BUILT: &str = "target";

/// The paths of all files, from the folder on, in the order of their names. Links are not followed.
///
/// A folder below that cannot be listed is an error among them.
pub(super) fn under(folder: &Path) -> impl Iterator<Item = Result<String, Failure>> {
    let walk = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter().filter_entry(is_wanted);
    walk.filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_file() => {
            let path = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            // JSON is UTF-8. A name that is not will not be found again, and its child fails.
            Some(Ok(path.to_string_lossy().into_owned()))
        }
        Ok(_) => None,
        Err(error) => Some(Err(Failure::from(error).during("not counted"))),
    })
}

fn is_wanted(entry: &DirEntry) -> bool {
    // The folder itself was asked for, whatever its name is.
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

    #[test]
    fn hidden_and_built_things_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in
            [".git/config", "target/debug/x", "a/.hidden/y", "a/b.rs", "a/target/z", "c/target", "d.md"]
        {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found: Vec<String> = under(folder.path()).map(|path| path.unwrap().replace('\\', "/")).collect();
        assert_eq!(found, ["a/b.rs", "c/target", "d.md"]);
    }
}
