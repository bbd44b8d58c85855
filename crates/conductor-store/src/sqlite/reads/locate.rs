//! The keys and positions of runs and tasks.

use crate::NodeId;
use crate::backend::{NodePlace, ParentKey, RunKey};
use crate::sqlite::connection::sql::Result;
use crate::sqlite::rows::block;
use crate::sqlite::rows::keys::RowKey;
use crate::sqlite::rows::scope;
use rusqlite::Connection;

/// See [`ReadTx::locate`](crate::backend::ReadTx::locate).
pub(crate) fn locate(connection: &Connection, id: NodeId) -> Result<Option<NodePlace>> {
    match id {
        NodeId::Run(id) => {
            let run = scope::run_key(connection, id)?;
            Ok(run.map(|run| NodePlace { key: ParentKey::run(RunKey::of_row(run)), parent: None, index: 0 }))
        }
        NodeId::Task(id) => Ok(block::by_id(connection, id)?.map(|(block, offset)| NodePlace {
            key: ParentKey::task(block.run(), block.block.base.plus(offset)),
            parent: Some(block.parent()),
            index: block.index(offset),
        })),
    }
}
