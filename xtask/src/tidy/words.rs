//! Words that the prose of the project does not use, because they hide who acts.

use crate::tidy::{
    files::{File, Files},
    lexer::{Kind, Piece, pieces},
};

/// The words. Each stands for an actor that the sentence should name.
pub(super) const BANNED: [&str; 6] = ["whoever", "whomever", "whatever", "somebody", "anybody", "nobody"];

/// This file, which must contain the words.
const THIS_FILE: &str = "xtask/src/tidy/words.rs";

/// Checks every document, and the comments, messages and manifests of the code.
pub(crate) fn check(files: &Files) -> Vec<String> {
    files.iter().filter(|file| file.path != THIS_FILE).flat_map(file).collect()
}

fn file(File { path, text }: &File) -> Vec<String> {
    let prose = match path.rsplit('.').next() {
        Some("md" | "toml") => vec![Piece { kind: Kind::Comment, line: 1, text }],
        Some("rs") => pieces(text).into_iter().filter(|piece| piece.kind != Kind::Code).collect(),
        _ => Vec::new(),
    };
    let lines =
        prose.iter().flat_map(|piece| piece.text.lines().enumerate().map(|(at, l)| (piece.line + at, l)));
    let found = lines.flat_map(|(line, text)| banned(text).map(move |word| (line, word)));
    found.map(|(line, word)| format!("{path}:{line}: name the actor instead of writing `{word}`.")).collect()
}

/// Returns the banned words of a line of prose.
pub(super) fn banned(text: &str) -> impl Iterator<Item = &'static str> {
    let words = text.split(|c: char| !c.is_alphabetic());
    words.filter_map(|word| BANNED.into_iter().find(|banned| banned.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&Files::from([(path, text)]))
    }

    #[test]
    fn each_word_is_refused_in_prose() {
        for word in BANNED {
            for (path, text) in [
                ("docs/a.md", format!("a\nSo {word}, then\n")),
                ("Cargo.toml", format!("\n# {word} waits\n")),
                ("crates/a/src/lib.rs", format!("//! a\n//! {word}\n")),
                ("crates/a/src/lib.rs", format!("//! a\nfn f() {{ g(\"for {word}\") }}\n")),
                ("crates/a/src/lib.rs", format!("/* a\n {word} */\n")),
            ] {
                let complaints = complaints(path, &text);
                assert_eq!(complaints.len(), 1, "{path}: {text}");
                assert!(complaints[0].starts_with(&format!("{path}:2: ")), "{complaints:?}");
                assert!(complaints[0].contains(word), "{complaints:?}");
            }
        }
    }

    #[test]
    fn each_occurrence_is_reported_in_any_case() {
        assert_eq!(complaints("a.md", "Nobody, nobody\nand NOBODY\n").len(), 3);
    }

    #[test]
    fn code_longer_words_and_other_files_are_allowed() {
        assert!(complaints("a.rs", "fn nobody() { whatever() }\n").is_empty());
        assert!(complaints("a.md", "whateverness\n").is_empty());
        assert!(complaints("a.csv", "nobody\n").is_empty());
        assert!(complaints(THIS_FILE, "// nobody\n").is_empty());
    }
}
