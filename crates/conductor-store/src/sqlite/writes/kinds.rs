//! The kinds of tasks: a name is stored once, and tasks have its key.

use crate::sqlite::connection::sql::{Result, Sql, kind_key};
use conductor_model::Kind;
use rusqlite::Connection;
use std::collections::HashMap;

/// The keys of kinds that a transaction has looked up.
pub(crate) type KindKeys = HashMap<Kind, i64>;

/// Returns the key of a kind. Inserts the kind at its first use.
pub(crate) fn intern_kind(connection: &Connection, kinds: &mut KindKeys, kind: &Kind) -> Result<i64> {
    if let Some(known) = kinds.get(kind) {
        return Ok(*known);
    }
    let key = if let Some(known) = kind_key(connection, kind.as_str())? {
        known
    } else {
        connection.run("INSERT INTO conductor_kinds (name) VALUES (?1)", [kind.as_str()])?;
        connection.last_insert_rowid()
    };
    kinds.insert(kind.clone(), key);
    Ok(key)
}
