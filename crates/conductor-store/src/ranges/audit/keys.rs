//! The keys of tasks that were created together.

use crate::backend::{AuditKeys, CreatedPart, FirstKey, IdRange, KeysFound};
use crate::ranges::rows::block::{BlockRow, block_columns, id_columns};
use crate::sqlite::connection::sql::{Result, Sql};
use conductor_model::TaskId;
use rusqlite::{Connection, params};

/// See [`ReadTx::audit_keys`](crate::backend::ReadTx::audit_keys). Which keys a lost block had is not known.
pub(in crate::ranges) fn find(connection: &Connection, wanted: AuditKeys<'_>) -> Result<KeysFound> {
    match wanted {
        AuditKeys::Created(ranges) => {
            let parts = ranges.iter().map(|range| parts(connection, *range)).collect::<Result<_>>()?;
            Ok(KeysFound { parts, lost: None })
        }
        AuditKeys::Around(_) => Ok(KeysFound::default()),
    }
}

/// The parts of some tasks that are in one block each, or in none.
fn parts(connection: &Connection, range: IdRange) -> Result<Vec<CreatedPart>> {
    let mut parts = Vec::new();
    let (mut id, mut remaining) = (range.first.as_u128(), range.count);
    while remaining > 0 {
        let (prefix, low) = id_columns(TaskId::from_u128(id));
        let block = connection.first(BLOCK_FROM, params![prefix, low], |row| BlockRow::read(row, 0))?;
        let (count, first_keys) = match block {
            Some(block) if block.block.base_id <= id => {
                let offset = u16::try_from(id - block.block.base_id).unwrap_or_default();
                let count = u32::from(block.count - offset).min(remaining);
                (count, vec![FirstKey { key: block.block.base.plus(offset), rows: count }])
            }
            Some(block) => (u32::try_from(block.block.base_id - id).unwrap_or(u32::MAX), Vec::new()),
            // Up to the end of the prefix.
            None => (1024 - u32::from(low), Vec::new()),
        };
        let count = count.min(remaining);
        parts.push(CreatedPart { count, first_keys });
        (id, remaining) = (id.wrapping_add(u128::from(count)), remaining - count);
    }
    Ok(parts)
}

/// The block that has this id, or the next one with the same prefix.
const BLOCK_FROM: &str = concat!(
    "SELECT ",
    block_columns!(),
    " FROM conductor_blocks b WHERE b.prefix = ?1 AND b.low + b.count > ?2 ORDER BY b.low LIMIT 1"
);
