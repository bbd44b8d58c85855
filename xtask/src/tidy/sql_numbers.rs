//! SQL texts of the SQLite store name their conditions on states: a number of a state stands in one file.

use crate::tidy::{
    files::{File, Files},
    lexer::{Kind, pieces},
};

/// Where the statements are.
const STORE: &str = "crates/conductor-store/src/sqlite/";

/// The file that has the numbers.
const CONDITIONS: &str = "crates/conductor-store/src/sqlite/rows/conditions.rs";

/// The columns with numbers for states, steps, lease losses, cancel causes and names of events.
const COLUMNS: [&str; 5] = ["state", "next_step", "lease_losses", "cancel_cause", "name"];

/// What may stand between a column and its number.
const OPERATORS: [&str; 11] = ["=", "<", ">", "!", "NOT", "IN", "IS", "BETWEEN", "(", ", 0)", "\\"];

/// Checks the SQL texts of the store, except those of tests.
pub(crate) fn check(files: &Files) -> Vec<String> {
    let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    let is_checked =
        |file: &&File| file.path.starts_with(STORE) && file.path != CONDITIONS && !is_test(&file.path);
    files.ending(".rs").filter(is_checked).flat_map(numbers).collect()
}

fn numbers(File { path, text }: &File) -> Vec<String> {
    let literals = pieces(text).into_iter().filter(|piece| piece.kind == Kind::Literal);
    let found = literals.flat_map(|piece| {
        let places = COLUMNS.into_iter().flat_map(move |column| {
            let is_compared = move |at: &usize| is_compared(piece.text, *at, column);
            piece.text.match_indices(column).map(|(at, _)| at).filter(is_compared).map(move |at| (at, column))
        });
        places.map(move |(at, column)| (piece.line + piece.text[..at].matches('\n').count(), column))
    });
    let complaint = |(line, column)| {
        format!("{path}:{line}: name this condition on `{column}` in {CONDITIONS}, and write its name here.")
    };
    found.map(complaint).collect()
}

/// Whether the column at this place is a whole word, and an operator and a number follow.
fn is_compared(text: &str, at: usize, column: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = &text[at + column.len()..];
    if text[..at].ends_with(is_word) || rest.starts_with(is_word) {
        return false;
    }
    let mut has_operator = false;
    loop {
        rest = rest.trim_start();
        match OPERATORS.iter().find_map(|operator| rest.strip_prefix(operator)) {
            Some(after) => (rest, has_operator) = (after, true),
            None => return has_operator && rest.starts_with(|c: char| c.is_ascii_digit()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "crates/conductor-store/src/sqlite/work/ready.rs";

    fn complaints(path: &str, sql: &str) -> Vec<String> {
        check(&Files::from([(path, &*format!("const A: &str =\n    \"SELECT 1 \\\n    WHERE {sql}\";\n"))]))
    }

    #[test]
    fn number_of_a_state_is_reported() {
        for sql in [
            "state = 1",
            "t.state=1",
            "state < 2",
            "state <> 2",
            "state IN (0, 1)",
            "state BETWEEN 0 AND 1",
            "next_step IN (3, 4)",
            "p.next_step IS NOT 3",
            "lease_losses = 2",
            "coalesce(g.lease_losses, 0) < 2",
            "cancel_cause = 4",
            "e.name NOT IN (9, 10)",
            "state = \\\n 1",
        ] {
            let complaints = complaints(READY, sql);
            assert_eq!(complaints.len(), 1, "{sql}: {complaints:?}");
            assert!(complaints[0].starts_with(&format!("{READY}:3: ")), "{complaints:?}");
        }
        assert_eq!(complaints(READY, "state = 1 OR state = 2 OR next_step = 3").len(), 3);
    }

    #[test]
    fn other_conditions_are_accepted() {
        for sql in [
            "state = ?1",
            "cancel_cause IS NULL",
            "next_step IS NOT NULL",
            "ordinal = 0",
            "restate = 1",
            "state_1 = 1",
        ] {
            assert!(complaints(READY, sql).is_empty(), "{sql}");
        }
        assert!(check(&Files::from([(READY, "// state = 1\nconst A: u8 = state == 1;\n")])).is_empty());
    }

    #[test]
    fn other_files_are_not_checked() {
        for path in [
            CONDITIONS,
            "crates/conductor-store/src/sqlite/tests.rs",
            "crates/conductor-store/src/sqlite/tests/cost.rs",
            "crates/conductor-store/src/ops/claim.rs",
        ] {
            assert!(complaints(path, "state = 1").is_empty(), "{path}");
        }
    }
}
