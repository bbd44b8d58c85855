//! Which row keys tasks have, by the rows that are left.

use crate::backend::{AuditKeys, CreatedPart, FirstKey, IdRange, KeyRange, KeysFound, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql, id_blob};
use crate::sqlite::rows::{columns, conditions::sql, keys::RowKey};
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;

/// Keys of tasks whose rows are damaged or lost.
pub(crate) fn find(connection: &Connection, wanted: AuditKeys<'_>) -> Result<KeysFound> {
    Ok(match wanted {
        AuditKeys::Created(ranges) => {
            let part = |range: &IdRange| {
                let first_keys = first_keys(connection, *range)?;
                Ok(vec![CreatedPart { count: range.count, first_keys }])
            };
            KeysFound { parts: ranges.iter().map(part).collect::<Result<_>>()?, lost: None }
        }
        AuditKeys::Around(key) => KeysFound { parts: Vec::new(), lost: missing_range(connection, key)? },
    })
}

/// One transaction inserted all of them, so that their row keys are consecutive like their ids. Where the first and the
/// last row that are left agree, so do all between them.
fn first_keys(connection: &Connection, IdRange { first, count }: IdRange) -> Result<Vec<FirstKey>> {
    let first_id = first.as_u128();
    let last_id = first_id.saturating_add(u128::from(count.saturating_sub(1)));
    let ids = [id_blob(first_id), id_blob(last_id)];
    // The key of the first task, according to the row of one of them.
    let first_key = |row: &Row<'_>| {
        let (key, offset): (i64, _) = (row.get(0)?, i64::try_from(columns::id(row, 1)? - first_id));
        Ok(offset.ok().and_then(|offset| key.checked_sub(offset)))
    };
    let answer = |(key, rows): (i64, u32)| FirstKey { key: TaskKey::of_row(key), rows };
    let first = connection.first(FIRST_LEFT, ids, first_key)?.flatten();
    if count == 1 || first == connection.first(LAST_LEFT, ids, first_key)?.flatten() {
        return Ok(first.map(|key| answer((key, 1))).into_iter().collect());
    }
    let mut rows: BTreeMap<i64, u32> = BTreeMap::new();
    for key in connection.all(ALL_LEFT, ids, first_key)?.into_iter().flatten() {
        *rows.entry(key).or_default() += 1;
    }
    Ok(rows.into_iter().map(answer).collect())
}

/// The keys around this one that are used and that no row has.
fn missing_range(connection: &Connection, around: TaskKey) -> Result<Option<KeyRange>> {
    let key = around.row();
    let gap: Option<(i64, Option<i64>)> =
        connection.first(GAP, [key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (below, last) = gap.unwrap_or_default();
    let count = last.unwrap_or(key).checked_sub(below).and_then(|count| u32::try_from(count).ok());
    Ok(count.map(|count| KeyRange { first: TaskKey::of_row(below.wrapping_add(1)), count }))
}

macro_rules! select_left {
    ($order:literal) => {
        sql!("SELECT key, id FROM conductor_tasks INDEXED BY conductor_tasks_id \
            WHERE id BETWEEN ?1 AND ?2 AND length(id) = 16 ORDER BY id " $order)
    };
}

const FIRST_LEFT: &str = select_left!("LIMIT 1");
const LAST_LEFT: &str = select_left!("DESC LIMIT 1");
const ALL_LEFT: &str = select_left!("LIMIT 100000");

/// Between which keys one lies that is not taken: the next one below that is, and the last one above that is not.
const GAP: &str = "SELECT coalesce((SELECT max(key) FROM conductor_tasks WHERE key < ?1), 0), \
    coalesce((SELECT min(key) FROM conductor_tasks WHERE key > ?1) - 1, \
        (SELECT seq FROM sqlite_sequence WHERE name = 'conductor_tasks'))";
