//! Engines that work on a database, and whether they live.
//!
//! An engine that lives holds a lock on a file of its own beside the database. The system releases the lock when the
//! process ends for any reason. A process id is less reliable, because systems reuse it. A database in memory belongs
//! to one process, which remembers who lives.

use super::SqliteStore;
use super::open::place;
use super::rescue::Gone;
use super::rows;
use super::sql::{Sql, id_blob};
use crate::{EngineCapabilities, EngineKey, EngineRegistration, RegisterEngine, StoreError};
use conductor_model::EngineId;
use rusqlite::Connection;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The engines of this process that live, for a database in memory.
pub(super) type Alive = Arc<Mutex<HashSet<EngineId>>>;

impl SqliteStore {
    pub(super) fn enlist_engine(&self, request: &RegisterEngine) -> Result<EngineRegistration, StoreError> {
        // In one transaction, like the search for files without an engine.
        self.write(request.now, |write| {
            let sign = if let Some(path) = &self.path {
                remove_strays(write.tx(), path)?;
                Sign::File(LockedFile::make(file_of(path, request.engine))?)
            } else {
                lock(&self.alive).insert(request.engine);
                Sign::Memory(request.engine, Arc::clone(&self.alive))
            };
            let id = id_blob(request.engine.as_u128());
            let handles = serde_json::to_string(&request.capabilities);
            let handles = handles.map_err(|error| StoreError::Backend(Box::new(error)))?;
            write.tx().run(INSERT_ENGINE, rusqlite::params![id, request.now.as_millis(), handles])?;
            Ok(EngineRegistration::new(EngineKey(write.tx().last_insert_rowid().cast_unsigned()), sign))
        })
    }

    /// The engines that are known and do not live.
    pub(super) fn engines_gone(&self) -> Result<Vec<Gone>, StoreError> {
        let mut known = Vec::new();
        self.probe(|connection| {
            known = connection.all(SELECT_ENGINES, [], |row| {
                Ok(Gone { key: row.get(0)?, id: EngineId::from_u128(rows::id(row, 1)?) })
            })?;
            Ok(true)
        })?;
        known.retain(|engine| !self.lives(engine.id));
        Ok(known)
    }

    /// The engines that live, and what they handle; what one of another version said of itself, and cannot be read, is
    /// nothing.
    pub(super) fn engines_that_live(&self, connection: &Connection) -> Result<Vec<Living>, StoreError> {
        let mut engines = connection.all(SELECT_HANDLES, [], |row| {
            let handles: Option<String> = row.get(2)?;
            let handles = handles.and_then(|handles| serde_json::from_str(&handles).ok()).unwrap_or_default();
            Ok(Living { key: row.get(0)?, id: EngineId::from_u128(rows::id(row, 1)?), handles })
        })?;
        engines.retain(|engine| self.lives(engine.id));
        Ok(engines)
    }

    fn lives(&self, engine: EngineId) -> bool {
        match &self.path {
            Some(path) => is_locked(&file_of(path, engine)),
            None => lock(&self.alive).contains(&engine),
        }
    }

    /// Removes the files of engines that are gone; one that stays is removed when the next engine starts.
    pub(super) fn forget_engines(&self, gone: &[Gone]) {
        if let Some(path) = &self.path {
            for engine in gone {
                let _ = fs::remove_file(file_of(path, engine.id));
            }
        }
    }
}

/// An engine that lives.
pub(super) struct Living {
    pub(super) key: i64,
    pub(super) id: EngineId,
    pub(super) handles: EngineCapabilities,
}

/// What shows that an engine lives, until it is dropped.
enum Sign {
    File(LockedFile),
    Memory(EngineId, Alive),
}

impl Drop for Sign {
    fn drop(&mut self) {
        match self {
            // While the file is still locked, so that no process mistakes it for the file of another engine.
            Self::File(locked) => {
                let _ = fs::remove_file(&locked.path);
            }
            Self::Memory(engine, alive) => {
                lock(alive).remove(engine);
            }
        }
    }
}

struct LockedFile {
    path: PathBuf,
    _file: File,
}

impl LockedFile {
    fn make(path: PathBuf) -> Result<Self, StoreError> {
        let io = |error: std::io::Error| {
            let said = format!(
                "cannot create and lock {} ({error}); an engine needs this file beside the database, so allow it to write there",
                path.display()
            );
            StoreError::Io(Box::new(std::io::Error::new(error.kind(), said)))
        };
        let file = place::private().write(true).create_new(true).open(&path).map_err(io)?;
        file.try_lock().map_err(|error| io(error.into()))?;
        Ok(Self { path, _file: file })
    }
}

const ENGINE_FILE: &str = "-engine-";

fn file_of(database: &Path, engine: EngineId) -> PathBuf {
    place::beside(database, &format!("{ENGINE_FILE}{engine}"))
}

/// Returns whether a process has locked the file. A missing file is not locked. A file that cannot be opened may be locked;
/// then the lease decides.
fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Deletes the files of unknown engines. Their process ended between creating the file and the commit, or the rescuing
/// process ended before it deleted the file.
fn remove_strays(tx: &Connection, database: &Path) -> Result<(), StoreError> {
    let known = tx.all(SELECT_ENGINES, [], |row| rows::id(row, 1))?;
    let known: HashSet<PathBuf> =
        known.into_iter().map(|id| file_of(database, EngineId::from_u128(id))).collect();
    let (Some(folder), Some(name)) = (database.parent(), database.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let ours = format!("{name}{ENGINE_FILE}");
    // A folder that cannot be listed keeps its strays.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&ours));
        if is_ours && !known.contains(&path) && !is_locked(&path) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

fn lock(alive: &Alive) -> std::sync::MutexGuard<'_, HashSet<EngineId>> {
    alive.lock().unwrap_or_else(PoisonError::into_inner)
}

const SELECT_ENGINES: &str = "SELECT key, id FROM conductor_engines";
const SELECT_HANDLES: &str = "SELECT key, id, handles FROM conductor_engines";
const INSERT_ENGINE: &str = "INSERT INTO conductor_engines (id, started_at, handles) VALUES (?1, ?2, ?3)";
