//! Rows of tasks, as transitions need them: neighbors that are alike become groups.

use crate::backend::{
    Block, CorruptParent, CorruptTask, LeafStatus, Node, NodesWanted, OffsetSet, Position, ReadParent,
    TaskGroup, TaskKey,
};
use crate::sqlite::connection::sql::{Result, Sql, array, fault, id_blob};
use crate::sqlite::rows::keys::{self, RowKey, parent_column};
use crate::sqlite::rows::parents::{parent_columns, read_parent, reason};
use crate::sqlite::rows::{columns, conditions::sql};
use rusqlite::{Connection, Params, Row, params};

/// The columns of a leaf, from the first on.
macro_rules! leaf_columns {
    () => {
        "t.key, t.id, t.run, t.parent, t.ordinal, t.state, t.due_at, t.attempt, t.retry_count, t.max_retries, \
         t.backoff, t.timeout_ms, t.lease_until, t.lost"
    };
}
pub(crate) use leaf_columns;

/// How many columns [`leaf_columns`] names.
pub(crate) const LEAF_COLUMNS: usize = 14;
/// The column of the timeout among them.
pub(crate) const TIMEOUT: usize = 11;
const SEALED: usize = LEAF_COLUMNS + 7;

/// The columns of a leaf, and behind them those of a parent.
macro_rules! select_tasks {
    ($where:literal) => {
        sql!("SELECT " (leaf_columns!()) ", " (parent_columns!()) " FROM conductor_tasks t " $where)
    };
}

/// A leaf by itself, as it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafRow {
    pub(crate) key: TaskKey,
    id: u128,
    index: u32,
    position: Position,
    block: Block,
    status: LeafStatus,
}

impl LeafRow {
    /// Reads a leaf from [`leaf_columns`].
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let key = keys::key(row, 0)?;
        let (id, ordinal): (_, i64) = (columns::id(row, 1)?, row.get(4)?);
        // A row without a valid index is not a join: joins have the index 0.
        let index = ordinal.try_into().unwrap_or(u32::MAX);
        let run = keys::key(row, 2)?;
        let position = Position { parent: keys::parent_key(run, row, 3)?, is_join: ordinal == 0 };
        let block = Block {
            base: key,
            base_id: id,
            base_index: index,
            position,
            max_retries: columns::readable_max_retries(row, 9)?,
            backoff: columns::readable_backoff(row, 10),
            // Only a claim needs it, and checks it.
            timeout_ms: row.get(TIMEOUT).unwrap_or_default(),
        };
        let status = LeafStatus {
            state: columns::state(row, 5)?,
            due_at: columns::readable_due_at(row, 6)?,
            attempt: row.get(7)?,
            retry_count: row.get(8)?,
            lease_losses: columns::lease_losses(row, 13)?,
            is_claimed: row.get::<_, Option<i64>>(12)?.is_some(),
        };
        Ok(Self { key, id, index, position, block, status })
    }

    /// The leaf as a group of its own.
    pub(crate) fn group(&self) -> TaskGroup {
        TaskGroup { block: self.block, offsets: OffsetSet::one(0), status: self.status }
    }

    /// Adds the leaf to a group that ends before it, if both are alike.
    pub(crate) fn join(&self, group: &mut TaskGroup, last: TaskKey) -> bool {
        let block = &group.block;
        let Some(offset) = self.key.0.checked_sub(block.base.0).and_then(|offset| u16::try_from(offset).ok())
        else {
            return false;
        };
        let is_alike = offset < OffsetSet::MAX
            && self.key > last
            && self.position == block.position
            && self.id.wrapping_sub(u128::from(offset)) == block.base_id
            && self.index.wrapping_sub(u32::from(offset)) == block.base_index
            && self.status == group.status
            && self.block.max_retries == block.max_retries
            && self.block.timeout_ms == block.timeout_ms
            && self.block.backoff == block.backoff;
        is_alike && group.offsets.insert(offset)
    }
}

/// Reads tasks. What cannot be read is part of the answer.
pub(crate) fn nodes(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Node>> {
    let mut statement = connection.cached(sql)?;
    let mut rows = statement.query(params).map_err(fault)?;
    let (mut nodes, mut last) = (Vec::new(), TaskKey::default());
    while let Some(row) = rows.next().map_err(fault)? {
        match row.get::<_, Option<bool>>(SEALED) {
            Ok(None) => match LeafRow::read(row) {
                Ok(leaf) => {
                    let is_added = match nodes.last_mut() {
                        Some(Node::Leaves(group)) => leaf.join(group, last),
                        _ => false,
                    };
                    if !is_added {
                        nodes.push(Node::Leaves(leaf.group()));
                    }
                    last = leaf.key;
                }
                Err(error) => nodes.push(Node::Corrupt(corrupt_task(row, error)?)),
            },
            Ok(Some(_)) => nodes.push(parent_node(read_parent(row, LEAF_COLUMNS), index(row))),
            Err(error) => nodes.push(Node::Corrupt(corrupt_task(row, error)?)),
        }
    }
    Ok(nodes)
}

/// A parent; a corrupt task if even its id or position cannot be read.
pub(crate) fn parent_node(parent: ReadParent, index: u32) -> Node {
    match parent {
        Err(CorruptParent { key, node: None, reason }) => {
            Node::Corrupt(CorruptTask { key: key.task.unwrap_or_default(), index, reason })
        }
        parent => Node::Parent(parent),
    }
}

/// A task with an invalid row.
pub(crate) fn corrupt_task(row: &Row<'_>, error: rusqlite::Error) -> Result<CorruptTask> {
    let key = keys::key(row, 0).map_err(fault)?;
    Ok(CorruptTask { key, index: index(row), reason: reason(error) })
}

fn index(row: &Row<'_>) -> u32 {
    row.get::<_, i64>(4).ok().and_then(|ordinal| ordinal.try_into().ok()).unwrap_or(u32::MAX)
}

/// Reads tasks.
pub(crate) fn read(connection: &Connection, wanted: NodesWanted) -> Result<Vec<Node>> {
    match wanted {
        NodesWanted::Id(id) => nodes(connection, SELECT_BY_ID, [id_blob(id.as_u128())]),
        NodesWanted::Children { parent, after, limit } => {
            let params = params![parent.run.row(), parent_column(parent.task), after, limit];
            nodes(connection, SELECT_CHILDREN, params)
        }
        NodesWanted::From { run, position: (parent, index), limit } => {
            nodes(connection, SELECT_FROM, params![run.row(), parent_column(parent), index, limit])
        }
    }
}

/// Reads leaves by their keys, as far as they can be read.
pub(crate) fn leaves(connection: &Connection, keys: &[TaskKey]) -> Result<Vec<TaskGroup>> {
    let mut statement = connection.cached(SELECT_LEAVES)?;
    let keys = array(keys.iter().map(|key| key.row()));
    let mut rows = statement.query([keys]).map_err(fault)?;
    let mut groups: Vec<TaskGroup> = Vec::new();
    let mut last = TaskKey::default();
    while let Some(row) = rows.next().map_err(fault)? {
        let Ok(leaf) = LeafRow::read(row) else { continue };
        if !groups.last_mut().is_some_and(|group| leaf.join(group, last)) {
            groups.push(leaf.group());
        }
        last = leaf.key;
    }
    Ok(groups)
}

/// Reads tasks by their keys.
pub(crate) fn by_keys(connection: &Connection, keys: Vec<i64>) -> Result<Vec<Node>> {
    if keys.is_empty() { Ok(Vec::new()) } else { nodes(connection, SELECT_BY_KEYS, [array(keys)]) }
}

pub(crate) const SELECT_LEAVES: &str = sql!("SELECT " (leaf_columns!()) " \
    FROM conductor_tasks t WHERE t.key IN rarray(?1) AND t.sealed IS NULL");

/// A task whose run is being pruned is not visible.
pub(crate) const SELECT_BY_ID: &str =
    select_tasks!("WHERE t.id = ?1 AND NOT EXISTS (SELECT 1 FROM conductor_pruned p WHERE p.run = t.run)");
pub(crate) const SELECT_BY_KEYS: &str = select_tasks!("WHERE t.key IN rarray(?1)");
pub(crate) const SELECT_JOIN: &str = select_tasks!("WHERE t.run = ?1 AND t.parent = ?2 AND t.ordinal = 0");
/// The tasks of a run from a position on, in the order of their positions.
pub(crate) const SELECT_FROM: &str = select_tasks!(
    "WHERE t.run = ?1 AND (t.parent, t.ordinal) >= (?2, ?3) ORDER BY t.parent, t.ordinal LIMIT ?4"
);
pub(crate) const SELECT_CHILDREN: &str =
    select_tasks!("WHERE t.run = ?1 AND t.parent = ?2 AND t.ordinal > ?3 ORDER BY t.ordinal LIMIT ?4");
