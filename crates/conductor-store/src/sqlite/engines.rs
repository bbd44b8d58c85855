//! Engines that work on a database, and whether they are alive.
//!
//! A live engine holds a lock on a file of its own beside the database. The system releases the lock when the
//! process ends for any reason. A process id is less reliable, because systems reuse it. A database in memory belongs
//! to one process, which remembers its live engines.

use crate::backend::EngineRow;
use crate::sqlite::connection::files;
use crate::sqlite::connection::sql::{Result, Sql, array, id_blob};
use crate::sqlite::rows::columns;
use crate::sqlite::rows::keys::{RowKey, key};
use crate::{EngineKey, EngineRegistration, RegisterEngine, StoreError};
use conductor_model::EngineId;
use rusqlite::Connection;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Finds out whether an engine is alive.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// The database file; `None` in memory.
    pub(crate) path: Option<PathBuf>,
    /// The live engines of a database in memory.
    live: LiveSet,
}

/// The live engines of this process.
type LiveSet = Arc<Mutex<HashSet<EngineId>>>;

impl Liveness {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, live: LiveSet::default() }
    }

    fn is_alive(&self, engine: EngineId) -> bool {
        match &self.path {
            Some(path) => is_locked(&file_of(path, engine)),
            None => lock(&self.live).contains(&engine),
        }
    }

    /// Removes the files of dead engines. A file that remains is removed when the next engine starts.
    pub(crate) fn remove_files(&self, engines: &[DeadEngine]) {
        if let Some(path) = &self.path {
            for engine in engines {
                let _ = fs::remove_file(file_of(path, engine.id));
            }
        }
    }
}

/// Registers an engine, and creates the file that shows that it is alive.
pub(crate) fn register(
    connection: &Connection,
    liveness: Option<&Liveness>,
    request: &RegisterEngine,
) -> Result<EngineRegistration> {
    let lock_guard = match liveness.map(|liveness| (&liveness.path, &liveness.live)) {
        // In one transaction, like the search for files without an engine.
        Some((Some(path), _)) => {
            remove_stray_files(connection, path)?;
            LivenessLock::File(LockedFile::make(file_of(path, request.engine))?)
        }
        Some((None, live)) => {
            lock(live).insert(request.engine);
            LivenessLock::Memory(request.engine, Arc::clone(live))
        }
        None => return Err(StoreError::Backend("an engine needs a store".into())),
    };
    let id = id_blob(request.engine.as_u128());
    let capabilities = serde_json::to_string(&request.capabilities);
    let capabilities = capabilities.map_err(|error| StoreError::Backend(Box::new(error)))?;
    connection.run(INSERT_ENGINE, rusqlite::params![id, request.now.as_millis(), capabilities])?;
    let key = EngineKey::of_row(connection.last_insert_rowid());
    Ok(EngineRegistration::new(key, lock_guard))
}

/// An engine that is registered and not alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadEngine {
    pub(crate) key: i64,
    pub(crate) id: EngineId,
}

/// The engines that are registered and not alive.
pub(crate) fn dead(connection: &Connection, liveness: &Liveness) -> Result<Vec<DeadEngine>> {
    let mut engines = connection.all(SELECT_ENGINES, [], |row| {
        Ok(DeadEngine { key: row.get(0)?, id: EngineId::from_u128(columns::id(row, 1)?) })
    })?;
    engines.retain(|engine| !liveness.is_alive(engine.id));
    Ok(engines)
}

/// Removes engines.
pub(crate) fn remove(connection: &Connection, engines: &[DeadEngine]) -> Result<()> {
    let keys = array(engines.iter().map(|engine| engine.key));
    connection.run(DELETE_ENGINES, [keys]).map(drop)
}

/// The live engines and their capabilities: none if another version has written them in an unknown format.
pub(crate) fn live(connection: &Connection, liveness: &Liveness) -> Result<Vec<EngineRow>> {
    let mut engines = connection.all(SELECT_CAPABILITIES, [], |row| {
        let capabilities: Option<String> = row.get(2)?;
        let capabilities = capabilities.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        Ok(EngineRow { key: key(row, 0)?, id: EngineId::from_u128(columns::id(row, 1)?), capabilities })
    })?;
    engines.retain(|engine| liveness.is_alive(engine.id));
    Ok(engines)
}

/// Shows that an engine is alive, until it is dropped.
enum LivenessLock {
    File(LockedFile),
    Memory(EngineId, LiveSet),
}

impl Drop for LivenessLock {
    fn drop(&mut self) {
        match self {
            // While the file is still locked, so that no process mistakes it for the file of another engine.
            Self::File(locked) => {
                let _ = fs::remove_file(&locked.path);
            }
            Self::Memory(engine, live) => {
                lock(live).remove(engine);
            }
        }
    }
}

struct LockedFile {
    path: PathBuf,
    _file: File,
}

impl LockedFile {
    fn make(path: PathBuf) -> Result<Self> {
        let io = |error: std::io::Error| {
            let text = format!(
                "cannot create and lock {} ({error}); an engine needs this file beside the database, so allow it to write there",
                path.display()
            );
            StoreError::Io(Box::new(std::io::Error::new(error.kind(), text)))
        };
        let file = files::private().write(true).create_new(true).open(&path).map_err(io)?;
        file.try_lock().map_err(|error| io(error.into()))?;
        Ok(Self { path, _file: file })
    }
}

const ENGINE_FILE: &str = "-engine-";

fn file_of(database: &Path, engine: EngineId) -> PathBuf {
    files::beside(database, &format!("{ENGINE_FILE}{engine}"))
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
fn remove_stray_files(tx: &Connection, database: &Path) -> Result<()> {
    let known = tx.all(SELECT_ENGINES, [], |row| columns::id(row, 1))?;
    let known: HashSet<PathBuf> =
        known.into_iter().map(|id| file_of(database, EngineId::from_u128(id))).collect();
    let (Some(folder), Some(name)) = (database.parent(), database.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let ours = format!("{name}{ENGINE_FILE}");
    // A folder that cannot be listed keeps its stray files.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&ours));
        if is_ours && !known.contains(&path) && !is_locked(&path) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

fn lock(live: &LiveSet) -> std::sync::MutexGuard<'_, HashSet<EngineId>> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

const SELECT_ENGINES: &str = "SELECT key, id FROM conductor_engines";
const DELETE_ENGINES: &str = "DELETE FROM conductor_engines WHERE key IN rarray(?1)";
const SELECT_CAPABILITIES: &str = "SELECT key, id, handles FROM conductor_engines";
const INSERT_ENGINE: &str = "INSERT INTO conductor_engines (id, started_at, handles) VALUES (?1, ?2, ?3)";
