//! Claims, and the engines that live.

use crate::backend::{ClaimRow, ClaimsWanted, EngineRow};
use crate::sqlite::connection::sql::{Result, Sql, array, kind_key};
use crate::sqlite::engines::{self, Liveness};
use crate::sqlite::rows::keys::{RowKey, optional_key};
use crate::sqlite::rows::{columns, conditions::sql};
use crate::{EngineKey, Fence};
use conductor_model::{Kind, TaskId};
use rusqlite::{Connection, Row, params};

/// See [`ReadTx::claims`](crate::backend::ReadTx::claims).
pub(crate) fn claims(connection: &Connection, wanted: &ClaimsWanted<'_>) -> Result<Vec<ClaimRow>> {
    match wanted {
        ClaimsWanted::Tasks(keys) => {
            let keys = array(keys.iter().map(|key| key.row()));
            let rows = connection.all(SELECT_CLAIMED, [keys], |row| Ok(claim_row(row)))?;
            Ok(rows.into_iter().flatten().collect())
        }
        ClaimsWanted::Engines { engines, kind, limit } => {
            claims_of_engines(connection, engines, *kind, *limit)
        }
    }
}

fn claims_of_engines(
    connection: &Connection,
    engines: &[EngineKey],
    kind: Option<&Kind>,
    limit: u32,
) -> Result<Vec<ClaimRow>> {
    let kind = kind.map(|kind| kind_key(connection, kind.as_str())).transpose()?;
    let mut claims = Vec::new();
    for engine in engines {
        let engine = engine.row();
        claims.extend(match kind {
            None => connection.all(CLAIMS_OF_ENGINE, params![engine, limit], claim_row)?,
            // No claim has a kind without a key.
            Some(kind) => connection.all(CLAIMS_OF_KIND, params![engine, limit, kind], claim_row)?,
        });
    }
    Ok(claims)
}

fn claim_row(row: &Row<'_>) -> rusqlite::Result<ClaimRow> {
    let key: i64 = row.get(1)?;
    let (task, attempt) = (TaskId::from_u128(columns::id(row, 0)?), row.get(2)?);
    let engine = optional_key(row, 3)?;
    Ok(ClaimRow { fence: Fence { task, key: key.cast_unsigned(), attempt }, engine })
}

/// See [`ReadTx::live_engines`](crate::backend::ReadTx::live_engines). Inside a transaction of the caller no
/// store can ask whether engines live.
pub(crate) fn live_engines(connection: &Connection, liveness: Option<&Liveness>) -> Result<Vec<EngineRow>> {
    liveness.map_or(Ok(Vec::new()), |liveness| engines::live(connection, liveness))
}

const SELECT_CLAIMED: &str = sql!("SELECT id, key, attempt, holder FROM conductor_tasks \
    WHERE " claimed " AND key IN rarray(?1)");

/// The claims of an engine; it reads those of all engines, as many as run at this moment.
pub(crate) const CLAIMS_OF_ENGINE: &str = sql!("SELECT id, key, attempt, holder FROM conductor_tasks \
    INDEXED BY conductor_tasks_running WHERE " claimed " AND holder = ?1 LIMIT ?2");
const CLAIMS_OF_KIND: &str = sql!("SELECT id, key, attempt, holder FROM conductor_tasks \
    INDEXED BY conductor_tasks_running WHERE " claimed " AND holder = ?1 AND kind = ?3 LIMIT ?2");
