//! The views `runs`, `tasks` and `events`, which show our tables as the tables of the TypeScript version.
//!
//! Opening a standalone file creates them. They are not part of the migrations, because in a database of the caller these
//! names belong to the caller.

use crate::sqlite::rows::events::NAMES;
use conductor_model::{MAX_FANOUT, State};
use rusqlite::{Connection, TransactionBehavior};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The name of a view, and the statement that creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) name: &'static str,
    pub(super) sql: String,
}

/// All views of this program.
pub(super) fn all() -> &'static [View; 3] {
    static VIEWS: LazyLock<[View; 3]> = LazyLock::new(|| {
        [
            View { name: "runs", sql: format!("CREATE VIEW runs AS {}", runs()) },
            View { name: "tasks", sql: format!("CREATE VIEW tasks AS {}", tasks()) },
            View { name: "events", sql: format!("CREATE VIEW events AS {}", events()) },
        ]
    });
    &VIEWS
}

/// Creates these views, or replaces them, in one transaction.
pub(super) fn create(connection: &mut Connection, views: &[View]) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for View { name, sql } in views {
        tx.execute_batch(&format!("DROP VIEW IF EXISTS {name}; {sql}"))?;
    }
    tx.commit()
}

fn runs() -> String {
    format!(
        "SELECT {id} AS id, {created} AS created_at, {updated} AS updated_at, {state} AS state, s.meta AS meta \
         FROM conductor_runs r LEFT JOIN conductor_submissions s ON s.run = r.key",
        id = ulid("r.id"),
        created = rfc3339("r.created_at"),
        updated = rfc3339("r.updated_at"),
        state = state("r.state"),
    )
}

/// The column `input` shows the same as `Query::task`: see `ops/input.rs` for the rule. JSON that another program broke
/// shows as NULL, and not as an error of the whole view.
fn tasks() -> String {
    format!(
        "SELECT {id} AS id, {run} AS run_id, {parent} AS parent_task_id, \
         coalesce(t.name, p.name || '#' || t.ordinal) AS name, {state} AS state, \
         {created} AS created_at, {updated} AS updated_at, \
         coalesce(i.input, CASE WHEN json_valid(j.input) AND ({inherits}) \
         THEN json_remove(j.input, '$.fanout') END) AS input, \
         t.output AS output, t.retry_count AS retry_count, t.max_retries AS max_retries, \
         t.last_error AS last_error \
         FROM conductor_tasks t \
         JOIN conductor_runs r ON r.key = t.run \
         LEFT JOIN conductor_tasks p ON p.key = t.parent \
         LEFT JOIN conductor_inputs i ON i.task = t.key \
         LEFT JOIN conductor_inputs j ON j.task = t.parent",
        id = ulid("t.id"),
        run = ulid("r.id"),
        parent = ulid("p.id"),
        inherits = inherits(),
        state = state("t.state"),
        created = rfc3339("t.created_at"),
        updated = rfc3339("t.updated_at"),
    )
}

/// SQL for: a task `t` without an input of its own inherits the input `j` of its parent. Three tasks do: a join, a
/// child of a counted fan-out, and a child of an imported parent with the input `null`.
fn inherits() -> String {
    format!(
        "t.ordinal = 0 \
         OR json_type(j.input, '$.fanout') = 'integer' AND json_extract(j.input, '$.fanout') BETWEEN 1 AND {MAX_FANOUT} \
         OR j.input = 'null' AND EXISTS (SELECT 1 FROM conductor_events e \
         WHERE e.run = t.run AND e.name = {imported} AND e.name NOT IN ({started}, {succeeded}))",
        imported = code("run.adopted"),
        started = code("task.started"),
        succeeded = code("task.succeeded"),
    )
}

/// The id of an event is its sequence number in 26 digits: a text that sorts in commit order and has the form of a ULID. An
/// imported event shows the same values as in the TypeScript version.
fn events() -> String {
    let legacy = code("original");
    let legacy_value = |member: &str| {
        format!(
            "CASE WHEN e.name = {legacy} AND json_valid(e.payload) THEN json_extract(e.payload, '$.{member}') END"
        )
    };
    format!(
        "SELECT coalesce({id}, printf('%026d', e.seq)) AS id, {run} AS run_id, {task} AS task_id, \
         coalesce({legacy_name}, {name}) AS name, {at} AS at, \
         CASE WHEN e.name = {legacy} THEN {payload} ELSE e.payload END AS payload \
         FROM conductor_events e \
         JOIN conductor_runs r ON r.key = e.run \
         LEFT JOIN conductor_tasks t ON t.key = e.task",
        id = legacy_value("id"),
        legacy_name = legacy_value("name"),
        payload = legacy_value("payload"),
        run = ulid("r.id"),
        task = ulid("t.id"),
        name = choice("e.name", &NAMES),
        at = rfc3339("e.at"),
    )
}

fn code(name: &str) -> i64 {
    crate::sqlite::rows::events::code_of(name).unwrap_or(-1)
}

fn state(column: &str) -> String {
    choice(column, &State::ALL.map(State::as_str))
}

/// SQL for the text at a position of a list.
fn choice(column: &str, texts: &[&str]) -> String {
    let mut sql = format!("CASE {column}");
    for (number, text) in texts.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(sql, " WHEN {number} THEN '{text}'");
    }
    sql + " END"
}

/// Milliseconds since 1970 as RFC 3339.
fn rfc3339(column: &str) -> String {
    format!("strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000.0, 'unixepoch')")
}

/// The text of a ULID from its 16 bytes; NULL for anything else.
///
/// A character has 5 bits and a hexadecimal digit has 4. The first character has only 3 bits. So character `n` starts
/// at bit `5 n - 2`, and spans at most two digits.
fn ulid(blob: &str) -> String {
    let digit = |i: usize| format!("(instr('0123456789ABCDEF', substr(hex({blob}), {}, 1)) - 1)", i + 1);
    let character = |value: String| format!("substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + ({value}), 1)");
    let mut text = character(format!("{} >> 1", digit(0)));
    for i in 1..26 {
        let (first, offset) = ((5 * i - 2) / 4, (5 * i - 2) % 4);
        let pair = format!("({} * 16 + {})", digit(first), digit(first + 1));
        text.push_str(" || ");
        text.push_str(&character(format!("{pair} >> {} & 31", 3 - offset)));
    }
    format!("CASE WHEN length({blob}) = 16 THEN {text} END")
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_model::{TaskId, Timestamp};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn view_writes_id_like_model(bits: u128) {
            let memory = Connection::open_in_memory().unwrap();
            let sql = format!("SELECT {}", ulid("?1"));
            let text: String = memory.query_row(&sql, [bits.to_be_bytes()], |row| row.get(0)).unwrap();
            prop_assert_eq!(text, TaskId::from_u128(bits).to_string());
        }

        #[test]
        fn view_writes_timestamp_like_model(
            millis in Timestamp::MIN.as_millis()..=Timestamp::MAX.as_millis()
        ) {
            let memory = Connection::open_in_memory().unwrap();
            let sql = format!("SELECT {}", rfc3339("?1"));
            let text: String = memory.query_row(&sql, [millis], |row| row.get(0)).unwrap();
            prop_assert_eq!(text, Timestamp::from_millis(millis).unwrap().to_string());
        }
    }

    #[test]
    fn views_are_built_once() {
        assert!(std::ptr::eq(all(), all()));
    }

    #[test]
    fn invalid_id_shows_as_null() {
        let memory = Connection::open_in_memory().unwrap();
        let sql = format!("SELECT {} IS NULL AND {} IS NULL", ulid("NULL"), ulid("x'00'"));
        assert!(memory.query_row(&sql, [], |row| row.get::<_, bool>(0)).unwrap());
    }
}
