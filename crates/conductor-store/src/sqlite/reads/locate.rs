//! The keys and positions of runs and tasks.

use crate::NodeId;
use crate::backend::{NodePlace, ParentKey, RunKey};
use crate::sqlite::connection::sql::{Result, Sql, id_blob, run_key};
use crate::sqlite::rows::keys::{self, RowKey};
use rusqlite::Connection;

/// See [`ReadTx::locate`](crate::backend::ReadTx::locate).
pub(crate) fn locate(connection: &Connection, id: NodeId) -> Result<Option<NodePlace>> {
    match id {
        NodeId::Run(id) => {
            let run = run_key(connection, id)?;
            Ok(run.map(|run| NodePlace { key: ParentKey::run(RunKey::of_row(run)), parent: None, index: 0 }))
        }
        NodeId::Task(id) => connection.first(SELECT_POSITION, [id_blob(id.as_u128())], |row| {
            let run = keys::key(row, 0)?;
            let index = row.get::<_, i64>(3)?.try_into().unwrap_or(u32::MAX);
            Ok(NodePlace {
                key: ParentKey::task(run, keys::key(row, 1)?),
                parent: Some(keys::parent_key(run, row, 2)?),
                index,
            })
        }),
    }
}

const SELECT_POSITION: &str = "SELECT run, key, parent, ordinal FROM conductor_tasks t WHERE id = ?1 \
    AND NOT EXISTS (SELECT 1 FROM conductor_pruned p WHERE p.run = t.run)";
