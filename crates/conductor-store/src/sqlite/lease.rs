//! Renew leases, and hand claims back.

use super::SqliteStore;
use super::fence::Fences;
use super::sql::{Sql, array};
use super::write::Write;
use crate::{Fence, FenceOutcome, Release, Renew, StoreError};
use conductor_model::{MAX_LEASE_MS, MAX_TASKS, Signal};
use rusqlite::params;

impl SqliteStore {
    pub(super) fn renew_leases(&self, request: &Renew) -> Result<Vec<FenceOutcome>, StoreError> {
        bounded(&request.fences)?;
        let until = request.now.plus_millis(request.lease_ms.min(MAX_LEASE_MS));
        self.write(request.now, |write| {
            let (answers, keys) = held(write, &request.fences)?;
            let keys = array(keys.iter().map(|task| task.key));
            write.tx().run(RENEW, params![keys, until.as_millis(), request.now.as_millis()])?;
            Ok(answers)
        })
    }

    pub(super) fn release_claims(&self, request: &Release) -> Result<Vec<FenceOutcome>, StoreError> {
        bounded(&request.fences)?;
        self.write(request.now, |write| {
            let (answers, mut tasks) = held(write, &request.fences)?;
            write.transit_leaves(&mut tasks, Signal::Release, None)?;
            Ok(answers)
        })
    }
}

pub(super) fn bounded(fences: &[Fence]) -> Result<(), StoreError> {
    if fences.len() > MAX_TASKS {
        return Err(StoreError::BatchTooLarge { len: fences.len(), max: MAX_TASKS });
    }
    Ok(())
}

/// An answer for each fence, and the tasks of those that hold.
fn held(
    write: &Write<'_>,
    fences: &[Fence],
) -> Result<(Vec<FenceOutcome>, Vec<super::task_row::TaskRow>), StoreError> {
    let mut rows = Fences::read(write.tx(), fences)?;
    let mut tasks = Vec::with_capacity(fences.len());
    let answer = |fence: &Fence| match rows.take(*fence) {
        Some(task) => {
            tasks.push(task);
            FenceOutcome::Applied
        }
        None => FenceOutcome::Stale,
    };
    let answers = fences.iter().map(answer).collect();
    Ok((answers, tasks))
}

pub(super) const RENEW: &str =
    "UPDATE conductor_tasks SET lease_until = ?2, updated_at = ?3 WHERE key IN rarray(?1)";
