//! Claims, and the engines that live.

use crate::backend::{ClaimRow, ClaimsWanted, EngineRow, KeySet, OffsetSet};
use crate::sqlite::connection::sql::{Result, Sql, kind_key};
use crate::sqlite::engines::{self, Liveness};
use crate::sqlite::rows::block::{self, BlockRow, block_columns};
use crate::sqlite::rows::conditions::sql;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::nodes::sets;
use crate::sqlite::rows::range_rows::{self, RANGE_COLUMNS, RangeRow, of_state, range_columns};
use crate::{EngineKey, Fence};
use conductor_model::{Kind, State};
use rusqlite::{Connection, Params, params};

/// See [`ReadTx::claims`](crate::backend::ReadTx::claims).
pub(crate) fn claims(connection: &Connection, wanted: &ClaimsWanted<'_>) -> Result<Vec<ClaimRow>> {
    match wanted {
        ClaimsWanted::Tasks(keys) => {
            let mut claims = Vec::new();
            for (number, set) in sets(&KeySet::of(keys.iter().copied())) {
                let Some(block) = block::by_number(connection, number)? else { continue };
                for row in of_state(connection, number, (State::Running, None))? {
                    push(&mut claims, &block, &row, &set);
                }
            }
            Ok(claims)
        }
        ClaimsWanted::Engines { engines, kind, limit } => {
            claims_of_engines(connection, engines, *kind, *limit)
        }
    }
}

fn push(claims: &mut Vec<ClaimRow>, block: &BlockRow, row: &RangeRow, within: &OffsetSet) {
    let condition = row.condition;
    if condition.status.is_claimed {
        claims.extend(row.set.and(within).iter().map(|offset| {
            let key = block.block.base.plus(offset).0;
            let fence = Fence { task: block.id(offset), key, attempt: condition.status.attempt };
            ClaimRow { fence, engine: condition.engine.map(EngineKey::of_row) }
        }));
    }
}

fn claims_of_engines(
    connection: &Connection,
    engines: &[EngineKey],
    kind: Option<&Kind>,
    limit: u32,
) -> Result<Vec<ClaimRow>> {
    // No claim has a kind without a key.
    let kind = match kind {
        Some(kind) => Some(kind_key(connection, kind.as_str())?.unwrap_or(-1)),
        None => None,
    };
    let mut claims = Vec::new();
    for engine in engines {
        let first = claims.len();
        for (row, block) in with_blocks(connection, CLAIMS_OF_ENGINE, params![engine.row(), limit, kind])? {
            push(&mut claims, &block, &row, &OffsetSet::first(OffsetSet::MAX));
        }
        claims.truncate(first + limit as usize);
    }
    Ok(claims)
}

/// Rows of leaves and their blocks, where both can be read.
pub(super) fn with_blocks(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Vec<(RangeRow, BlockRow)>> {
    let rows = connection
        .all(sql, params, |row| Ok((range_rows::read(row, 0)?, block::read(row, RANGE_COLUMNS)?)))?;
    Ok(rows.into_iter().filter_map(|(row, block)| row.ok().zip(block.ok())).collect())
}

/// See [`ReadTx::live_engines`](crate::backend::ReadTx::live_engines). Inside a transaction of the caller no
/// store can ask whether engines live.
pub(crate) fn live_engines(connection: &Connection, liveness: Option<&Liveness>) -> Result<Vec<EngineRow>> {
    liveness.map_or(Ok(Vec::new()), |liveness| engines::live(connection, liveness))
}

/// The claims of an engine; it reads those of all engines, as many rows as run at this moment.
const CLAIMS_OF_ENGINE: &str = sql!("SELECT " (range_columns!()) ", " (block_columns!())
    " FROM conductor_ranges g INDEXED BY conductor_ranges_running JOIN conductor_blocks b ON b.block = g.block \
    WHERE " claimed " AND g.engine = ?1 AND (?3 IS NULL OR g.kind = ?3) LIMIT ?2");
