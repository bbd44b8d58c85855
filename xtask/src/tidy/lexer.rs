//! A minimal lexer for Rust: enough to tell code from comments and literals, and to skip tests.

/// The kind of a piece of source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything that is not a comment or a literal.
    Code,
    /// A comment or a doc comment.
    Comment,
    /// A string or a character literal, with its quotes.
    Literal,
}

/// A piece of source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'s> {
    /// The kind of the whole piece.
    pub(crate) kind: Kind,
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// The text.
    pub(crate) text: &'s str,
}

/// Splits a source into pieces. Their texts, joined, are the source.
pub(crate) fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut line, mut at) = (0, 1, 0);
    while let Some(next) = source[at..].chars().next() {
        let rest = &source[at..];
        let comment = comment(rest).map(|length| (Kind::Comment, length));
        let found = comment.or_else(|| string(rest).or_else(|| character(rest)).map(|l| (Kind::Literal, l)));
        let Some((kind, length)) = found else {
            at += next.len_utf8();
            continue;
        };
        for (kind, text) in [(Kind::Code, &source[start..at]), (kind, &rest[..length])] {
            if !text.is_empty() {
                pieces.push(Piece { kind, line, text });
            }
            line += text.matches('\n').count();
        }
        at += length;
        start = at;
    }
    if start < source.len() {
        pieces.push(Piece { kind: Kind::Code, line, text: &source[start..] });
    }
    pieces
}

/// Returns the source without comments and literals. Each piece of code keeps its line.
pub(crate) fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    for Piece { kind, text, .. } in pieces(source) {
        if kind == Kind::Code {
            code.push_str(text);
        } else {
            code.push(' ');
            code.extend(text.chars().filter(|&c| c == '\n'));
        }
    }
    code
}

/// Returns the length of the comment that begins here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    Some(rest.len())
}

/// Returns the length of the string literal that begins here. A prefix `b` or `c` counts as code.
fn string(rest: &str) -> Option<usize> {
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|&byte| byte == b'#').count();
        let text = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let open = rest.len() - text.len();
        return Some(text.find(&end).map_or(rest.len(), |at| open + at + end.len()));
    }
    let text = rest.strip_prefix('"')?;
    Some(1 + closing(text, '"').unwrap_or(text.len()))
}

/// Returns the length of the character literal that begins here. A lifetime is not a literal.
fn character(rest: &str) -> Option<usize> {
    let text = rest.strip_prefix('\'')?;
    let first = text.chars().next()?;
    let is_literal = first == '\\' || text[first.len_utf8()..].starts_with('\'');
    if is_literal { closing(text, '\'').map(|length| 1 + length) } else { None }
}

/// Returns the length up to and including the quote that closes a literal.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && c == quote {
            return Some(at + 1);
        }
        escaped = !escaped && c == '\\';
    }
    None
}

/// Returns the code (a result of [`code_only`]) without the items that are compiled for tests only.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.match_indices("#[cfg(").map(|(at, _)| at).find(|at| is_of_tests(&rest[*at..])) {
        let (before, item) = rest.split_at(at);
        let (skipped, after) = item.split_at(item_length(item));
        kept.push_str(before);
        kept.extend(skipped.chars().filter(|&c| c == '\n'));
        rest = after;
    }
    kept + rest
}

/// Whether the attribute that begins here is `cfg(test)` or `cfg(all(test, …))`.
fn is_of_tests(attribute: &str) -> bool {
    ["#[cfg(test)]", "#[cfg(all(test,"].iter().any(|start| attribute.starts_with(start))
}

/// Returns the length of the item that begins here: up to its first `;`, or to the end of its braces.
fn item_length(item: &str) -> usize {
    match item.find(['{', ';']) {
        Some(at) if item[at..].starts_with('{') => at + group(&item[at..], '{', '}'),
        Some(at) => at + 1,
        None => item.len(),
    }
}

/// Returns the length of a group that begins with its opening delimiter.
fn group(text: &str, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    text.len()
}

/// An attribute of an item or of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute<'c> {
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// The text, with `#` and brackets.
    pub(crate) text: &'c str,
    /// The code behind it.
    pub(crate) rest: &'c str,
}

/// Returns every attribute in the code.
pub(crate) fn attributes(code: &str) -> Vec<Attribute<'_>> {
    let starts = code.match_indices('#').map(|(at, _)| at).filter(|at| {
        let rest = &code[at + 1..];
        rest.starts_with('[') || rest.starts_with("![")
    });
    let attribute = |at: usize| {
        let (text, rest) = code[at..].split_at(1 + group(&code[at + 1..], '[', ']'));
        Attribute { line: line(code, at), text, rest }
    };
    starts.map(attribute).collect()
}

/// Returns the number of every line that contains this text, except as the end of a longer word.
pub(crate) fn lines_with(code: &str, needle: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let begins_word = needle.starts_with(is_word);
    let whole = |at: &usize| !begins_word || !code[..*at].ends_with(is_word);
    code.match_indices(needle).map(|(at, _)| at).filter(whole).map(|at| line(code, at)).collect()
}

fn line(code: &str, at: usize) -> usize {
    1 + code[..at].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_kind_line_and_text() {
        let source = "a // b\n\"c\nd\" 'e' f";
        let pieces: Vec<_> =
            pieces(source).iter().map(|piece| (piece.kind, piece.line, piece.text)).collect();
        assert_eq!(
            pieces,
            [
                (Kind::Code, 1, "a "),
                (Kind::Comment, 1, "// b"),
                (Kind::Code, 1, "\n"),
                (Kind::Literal, 2, "\"c\nd\""),
                (Kind::Code, 3, " "),
                (Kind::Literal, 3, "'e'"),
                (Kind::Code, 3, " f"),
            ]
        );
    }

    #[test]
    fn code_excludes_comments_and_literals() {
        for source in [
            "a // HIDDEN\nb",
            "a /* HIDDEN /* HIDDEN */ HIDDEN\n*/ b",
            "a /// HIDDEN\nb",
            "a \"HIDDEN\\\"HIDDEN\n\" b",
            "a r#\"HIDDEN\"HIDDEN\n\"# b",
            "a br\"HIDDEN\\\" \n b",
            "a '\"' \n '\\'' b",
        ] {
            let code = code_only(source);
            assert!(
                !code.contains("HIDDEN") && code.starts_with('a') && code.ends_with('b'),
                "{source} → {code}"
            );
            assert_eq!(code.matches('\n').count(), 1, "{source}");
        }
    }

    #[test]
    fn lifetimes_raw_identifiers_and_divisions_are_code() {
        for source in ["fn f<'a>(x: &'a str, y: &'a str)", "let r#type = a / b;", "for x in r"] {
            assert_eq!(code_only(source), source);
        }
    }

    #[test]
    fn test_items_are_removed_and_lines_stay() {
        let code = "a\n#[cfg(test)]\nmod tests {\n fn f() { x }\n}\nb\n#[cfg(all(test, unix))]\nuse y;\n#[cfg(unix)]\nc";
        assert_eq!(without_tests(code), "a\n\n\n\n\nb\n\n\n#[cfg(unix)]\nc");
    }

    #[test]
    fn attributes_over_several_lines_are_found() {
        let code = "#![deny(x)]\n#[expect(\n  y, z[0]\n)]\nfn f() { a[1]; }";
        let found: Vec<_> =
            attributes(code).iter().map(|attribute| (attribute.line, attribute.text)).collect();
        assert_eq!(found, [(1, "#![deny(x)]"), (2, "#[expect(\n  y, z[0]\n)]")]);
        assert_eq!(attributes(code)[1].rest, "\nfn f() { a[1]; }");
    }

    #[test]
    fn only_whole_words_are_found() {
        assert_eq!(lines_with("dbg!(1)\nmy_dbg!(2)\n(dbg!(3))", "dbg!"), [1, 3]);
        assert_eq!(lines_with("a.unwrap()\nb.unwrap_or()", ".unwrap()"), [1]);
    }
}
