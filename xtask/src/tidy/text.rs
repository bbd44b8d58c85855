//! Conventions of every text file: how it ends, no white space at the end of a line, no path of one machine.

use crate::tidy::files::{File, Files};

/// The names of files in which white space at the end of a line is always a mistake.
const TRIMMED: [&str; 4] = [".rs", ".toml", ".md", ".sql"];

/// Folders at the root of one machine, which other machines lack or use otherwise.
const PRIVATE: [&str; 4] = ["root", "work", "home", "Users"];

/// Checks every file.
pub(crate) fn check(files: &Files) -> Vec<String> {
    files.iter().flat_map(text).collect()
}

fn text(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    complaints.extend(end(file));
    complaints.extend(white_space(file));
    complaints.extend(machine(file));
    complaints
}

fn end(File { path, text }: &File) -> Option<String> {
    let good = text.is_empty() || text.ends_with('\n') && !text.ends_with("\n\n");
    (!good).then(|| format!("{path}: end the file with exactly one newline."))
}

fn white_space(File { path, text }: &File) -> Vec<String> {
    if !TRIMMED.iter().any(|end| path.ends_with(end)) {
        return Vec::new();
    }
    let trailing = |(_, line): &(usize, &str)| line.ends_with(char::is_whitespace);
    let complaint = |(at, _)| format!("{path}:{}: remove the white space at the end of the line.", at + 1);
    text.split('\n').enumerate().filter(trailing).map(complaint).collect()
}

fn machine(File { path, text }: &File) -> Vec<String> {
    let folder = |line: &str| PRIVATE.into_iter().find(|folder| names(line, folder));
    let found = text.lines().enumerate().filter_map(|(at, line)| folder(line).map(|folder| (at, folder)));
    let complaint = |(at, folder)| {
        format!("{path}:{}: remove the path in /{folder}, which exists on one machine only.", at + 1)
    };
    found.map(complaint).collect()
}

/// Whether a path in this line starts at the folder. A relative path or a URL with the same name does not.
fn names(line: &str, folder: &str) -> bool {
    let relative = |c: char| c.is_alphanumeric() || "._-*}~$".contains(c);
    line.match_indices(&format!("/{folder}/")).any(|(at, _)| !line[..at].ends_with(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        check(&Files::from([(path, text)])).len()
    }

    #[test]
    fn file_ends_with_exactly_one_newline() {
        assert_eq!(complaints("a.txt", "a"), 1);
        assert_eq!(complaints("a.txt", "a\n\n"), 1);
        assert_eq!(complaints("a.txt", "a\n"), 0);
        assert_eq!(complaints("a.txt", ""), 0);
    }

    #[test]
    fn white_space_at_each_line_end_is_reported() {
        for path in ["a.rs", "a.toml", "a.md", "a.sql"] {
            assert_eq!(complaints(path, "a \nb\nc\t\nd\r\n"), 3, "{path}");
        }
        assert_eq!(complaints("a.txt", "a \n"), 0);
    }

    #[test]
    fn path_of_one_machine_is_reported() {
        for folder in PRIVATE {
            for line in [format!("/{folder}/a"), format!("see `/{folder}/a`"), format!("file:///{folder}/a")]
            {
                assert_eq!(complaints("a.md", &format!("x\n{line}\n")), 1, "{line}");
            }
            for line in
                [format!("../{folder}/a"), format!("https://example.org/{folder}/a"), folder.to_owned()]
            {
                assert_eq!(complaints("a.md", &format!("{line}\n")), 0, "{line}");
            }
        }
    }
}
