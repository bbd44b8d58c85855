//! The keys of tasks that were created together.

use crate::backend::{AuditKeys, CreatedPart, FirstKey, IdRange, KeyRange, KeysFound, OffsetSet, TaskKey};
use crate::sqlite::connection::sql::{Result, Sql};
use crate::sqlite::rows::block::{self, KEYS, id_columns};
use crate::sqlite::rows::places;
use conductor_model::TaskId;
use rusqlite::{Connection, Row, params};

/// The number of the block that has the keys of this one. All blocks whose numbers are too large have the same keys, and so
/// do all whose numbers are too small.
pub(super) fn stored_number(connection: &Connection, number: i64) -> Result<i64> {
    let sql = match number {
        LARGEST => "SELECT max(block) FROM conductor_blocks WHERE block > ?1",
        SMALLEST => "SELECT min(block) FROM conductor_blocks WHERE block < ?1",
        _ => return Ok(number),
    };
    Ok(connection.first(sql, [number], |row| row.get(0))?.flatten().unwrap_or(number))
}

/// The numbers at the ends of the keys.
const LARGEST: i64 = i64::MAX / KEYS;
const SMALLEST: i64 = i64::MIN / KEYS;

/// See [`ReadTx::audit_keys`](crate::backend::ReadTx::audit_keys).
pub(crate) fn find(connection: &Connection, wanted: AuditKeys<'_>) -> Result<KeysFound> {
    match wanted {
        AuditKeys::Created(ranges) => {
            let mut all = Vec::with_capacity(ranges.len());
            for range in ranges {
                let mut parts = parts(connection, *range)?;
                find_lost(connection, &mut parts)?;
                all.push(parts);
            }
            Ok(KeysFound { parts: all, lost: None })
        }
        AuditKeys::Around(key) => Ok(KeysFound { parts: Vec::new(), lost: Some(lost(connection, key)?) }),
    }
}

/// The parts of some tasks that are in one block each, or in none.
fn parts(connection: &Connection, range: IdRange) -> Result<Vec<CreatedPart>> {
    let mut parts = Vec::new();
    let (mut id, mut remaining) = (range.first.as_u128(), range.count);
    while remaining > 0 {
        let (prefix, low) = id_columns(TaskId::from_u128(id));
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let block: Option<(i64, u16, u16)> = connection.first(BLOCK_AT, params![prefix, low], row)?;
        let next: Option<u16> = connection.first(NEXT_BLOCK, params![prefix, low], |row| row.get(0))?;
        // Up to the next block, or to the end of the prefix.
        let end = next.unwrap_or(OffsetSet::MAX);
        let (end, first_keys) = match block {
            Some((number, first, count)) if low < first + count => {
                let end = end.min(first + count);
                let key = block::task_key(number, low - first);
                (end, vec![FirstKey { key, rows: u32::from(end - low) }])
            }
            _ => (end, Vec::new()),
        };
        let count = u32::from(end - low);
        let count = count.min(remaining);
        parts.push(CreatedPart { count, first_keys });
        (id, remaining) = (id.wrapping_add(u128::from(count)), remaining - count);
    }
    Ok(parts)
}

/// Finds the keys of lost blocks beside others: blocks that were created together have numbers that follow each other. The
/// places that are left must say that the block had as many tasks as are missing.
fn find_lost(connection: &Connection, parts: &mut [CreatedPart]) -> Result<()> {
    let number = |part: Option<&CreatedPart>| Some(block::place(part?.first_keys.first()?.key).0);
    for place in 0..parts.len() {
        if !parts[place].first_keys.is_empty() {
            continue;
        }
        let before = place.checked_sub(1).and_then(|before| number(parts.get(before)));
        let candidates =
            [before.map(|number| number + 1), number(parts.get(place + 1)).map(|number| number - 1)];
        for candidate in candidates.into_iter().flatten() {
            let is_lost = block::by_number(connection, candidate)?.is_none();
            if is_lost && u32::from(places::behind_last(connection, candidate)?) == parts[place].count {
                let key = block::task_key(candidate, 0);
                parts[place].first_keys = vec![FirstKey { key, rows: 1 }];
                break;
            }
        }
    }
    Ok(())
}

/// The keys around one that no event has named, in its block.
///
/// Where the row of the block is lost or damaged, these are all keys of the block: the places of its leaves are left, and
/// tell how many there were. Where the block has other ids than the events say, it is the same. If the block has less tasks
/// than before, these are the others.
fn lost(connection: &Connection, key: TaskKey) -> Result<KeyRange> {
    let (number, offset) = block::place(key);
    let behind = places::behind_last(connection, number)?.max(offset + 1);
    let (first, end) = match block::by_number(connection, number)? {
        Some(row) if offset < row.count => (0, row.count),
        Some(row) => (row.count, behind),
        None => (0, behind),
    };
    Ok(KeyRange { first: block::task_key(number, first), count: u32::from(end - first) })
}

/// The nearest block that begins at or before an id. What else a block says may be damaged. A number that is too large or too
/// small gives its tasks no keys.
const BLOCK_AT: &str = "SELECT block, low, count FROM conductor_blocks WHERE prefix = ?1 AND low BETWEEN 0 AND ?2 \
    AND count BETWEEN 1 AND 1024 AND block BETWEEN 1 AND 9223372036854775807 / 1024 ORDER BY low DESC LIMIT 1";

const NEXT_BLOCK: &str = "SELECT low FROM conductor_blocks WHERE prefix = ?1 AND low > ?2 AND low < 1024 \
    ORDER BY low LIMIT 1";
