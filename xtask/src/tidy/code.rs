//! Just enough of Rust's lexis to look for words in code and not in comments, strings or tests.

/// The source with comments and the contents of literals left out, line by line where they were.
pub(crate) fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| string(rest)).or_else(|| character(rest));
        let (token, after) = rest.split_at(skipped.unwrap_or(next.len_utf8()));
        if skipped.is_some() {
            code.push(' ');
            code.extend(token.chars().filter(|&c| c == '\n'));
        } else {
            code.push_str(token);
        }
        rest = after;
    }
    code
}

/// The length of the comment that begins here.
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

/// The length of the string literal that begins here; a prefix `b` or `c` counts as code.
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

/// The length of the character literal that begins here, if it is not a lifetime.
fn character(rest: &str) -> Option<usize> {
    let text = rest.strip_prefix('\'')?;
    let first = text.chars().next()?;
    let is_literal = first == '\\' || text[first.len_utf8()..].starts_with('\'');
    if is_literal { closing(text, '\'').map(|length| 1 + length) } else { None }
}

/// The length up to and with the quote that closes a literal.
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

/// The code (as [`code_only`] returns it) without what is compiled for tests only.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, item) = rest.split_at(at);
        let (skipped, after) = item.split_at(item_length(item));
        kept.push_str(before);
        kept.extend(skipped.chars().filter(|&c| c == '\n'));
        rest = after;
    }
    kept + rest
}

/// The length of the item that begins here: up to its first `;`, or to the end of its braces.
fn item_length(item: &str) -> usize {
    match item.find(['{', ';']) {
        Some(at) if item[at..].starts_with('{') => at + group(&item[at..], '{', '}'),
        Some(at) => at + 1,
        None => item.len(),
    }
}

/// The length of a group that begins with its opening delimiter.
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

/// Every attribute in the code, with the number of its line.
pub(crate) fn attributes(code: &str) -> Vec<(usize, &str)> {
    let starts = code.match_indices('#').filter(|(at, _)| {
        let rest = &code[at + 1..];
        rest.starts_with('[') || rest.starts_with("![")
    });
    starts.map(|(at, _)| (line(code, at), &code[at..at + 1 + group(&code[at + 1..], '[', ']')])).collect()
}

/// The number of every line where this text stands and does not continue a longer word.
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
    fn comments_and_literals_are_left_out() {
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
    fn test_items_are_left_out_and_lines_stay() {
        let code = "a\n#[cfg(test)]\nmod tests {\n fn f() { x }\n}\nb\n#[cfg(test)]\nuse y;\nc";
        assert_eq!(without_tests(code), "a\n\n\n\n\nb\n\n\nc");
    }

    #[test]
    fn attributes_are_found_over_several_lines() {
        let code = "#![deny(x)]\n#[expect(\n  y, z[0]\n)]\nfn f() { a[1]; }";
        assert_eq!(attributes(code), [(1, "#![deny(x)]"), (2, "#[expect(\n  y, z[0]\n)]")]);
    }

    #[test]
    fn words_are_found_whole() {
        assert_eq!(lines_with("dbg!(1)\nmy_dbg!(2)\n(dbg!(3))", "dbg!"), [1, 3]);
        assert_eq!(lines_with("a.unwrap()\nb.unwrap_or()", ".unwrap()"), [1]);
    }
}
