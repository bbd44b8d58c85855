//! The kinds of tasks: a name is stored once, and tasks have its key.

use crate::sqlite::connection::sql::{Result, Sql, kind_key};
use conductor_model::Kind;
use rusqlite::Connection;
use std::collections::HashMap;

/// The keys of kinds that a transaction has looked up.
pub(crate) type KindKeys = HashMap<Kind, i64>;

/// Returns the key of a kind; `None` if no task ever had it.
pub(crate) fn known_kind(connection: &Connection, kinds: &mut KindKeys, kind: &Kind) -> Result<Option<i64>> {
    if let Some(known) = kinds.get(kind) {
        return Ok(Some(*known));
    }
    let key = kind_key(connection, kind.as_str())?;
    if let Some(key) = key {
        kinds.insert(kind.clone(), key);
    }
    Ok(key)
}

/// Returns the key of a kind. Inserts the kind at its first use.
pub(crate) fn intern_kind(connection: &Connection, kinds: &mut KindKeys, kind: &Kind) -> Result<i64> {
    if let Some(known) = known_kind(connection, kinds, kind)? {
        return Ok(known);
    }
    connection.run("INSERT INTO conductor_kinds (name) VALUES (?1)", [kind.as_str()])?;
    let key = connection.last_insert_rowid();
    kinds.insert(kind.clone(), key);
    Ok(key)
}
