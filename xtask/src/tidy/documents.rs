//! Limits of the documents: pages that can be read in one go, and tables with a heading in each column.

use crate::tidy::files::{File, Files};

/// The largest size of the README of the workspace and of a crate, in bytes.
const MAX_README: usize = 8 * 1024;

/// The largest size of a page of `docs/`, in bytes.
const MAX_PAGE: usize = 10 * 1024;

/// Checks every Markdown file.
pub(crate) fn check(files: &Files) -> Vec<String> {
    files.ending(".md").flat_map(|file| size(file).into_iter().chain(tables(file))).collect()
}

fn size(File { path, text }: &File) -> Option<String> {
    let limit = match path.as_str() {
        path if path.ends_with("README.md") => MAX_README,
        path if path.starts_with("docs/") => MAX_PAGE,
        _ => return None,
    };
    let size = text.len();
    (size > limit).then(|| format!("{path} has {size} bytes: shorten or split it; {limit} are allowed."))
}

fn tables(File { path, text }: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut in_code = false;
    let mut above = "";
    for (at, line) in text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code && is_delimiter(line) && columns(above).iter().any(|heading| heading.is_empty()) {
            complaints.push(format!("{path}:{at}: give each column of the table a heading."));
        }
        above = line;
    }
    complaints
}

/// Whether the line stands between the headings and the rows of a table, such as `|---|:-:|`.
fn is_delimiter(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('|') && line.contains('-') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

fn columns(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').unwrap_or(row);
    row.split('|').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&Files::from([(path, text)]))
    }

    #[test]
    fn page_over_its_limit_is_reported() {
        for (path, limit) in [
            ("README.md", 8192),
            ("crates/conductor-store/README.md", 8192),
            ("docs/benchmarks.md", 10_240),
            ("docs/guide/handlers.md", 10_240),
        ] {
            assert!(complaints(path, &"x".repeat(limit)).is_empty(), "{path}");
            let complaints = complaints(path, &"x".repeat(limit + 1));
            assert_eq!(complaints.len(), 1, "{path}");
            assert!(complaints[0].contains(&format!("{path} has {} bytes", limit + 1)), "{complaints:?}");
        }
        assert!(complaints("CHANGELOG.md", &"x".repeat(20_000)).is_empty());
    }

    #[test]
    fn empty_heading_is_reported_with_its_line() {
        for table in ["| | a |\n|---|---|\n", "| a |  |\n| :-- | --- |\n", "||\n|-|\n"] {
            let complaints = complaints("docs/a.md", &format!("text\n\n{table}| 1 | 2 |\n"));
            assert_eq!(complaints.len(), 1, "{table}");
            assert!(complaints[0].starts_with("docs/a.md:3: "), "{complaints:?}");
        }
    }

    #[test]
    fn full_headings_and_code_blocks_are_allowed() {
        assert!(complaints("a.md", "| a | b |\n|---|--:|\n| | 2 |\n").is_empty());
        assert!(complaints("a.md", "```text\n| | b |\n|---|---|\n```\n").is_empty());
    }
}
