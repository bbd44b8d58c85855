//! What an explanation has read of a snapshot.

use crate::StoreError;
use crate::backend::{
    Above, AboveRun, AboveTask, ChildWanted, EngineRow, ExplainDetail, ExplainRow, LatestEvents, ParentKey,
    PastEvent, ReadTx,
};
use crate::backend::{ClaimRow, ClaimsWanted};
use crate::ops::ancestors::Ancestors;
use conductor_model::{ExplainTarget, Timestamp};

/// A snapshot of the store at a moment. Ancestors and engines are read once.
pub(crate) struct Snapshot<'t> {
    tx: &'t mut dyn ReadTx,
    now: Timestamp,
    ancestors: Ancestors,
    engines: Option<Vec<EngineRow>>,
}

impl<'t> Snapshot<'t> {
    /// A snapshot of which nothing is read.
    pub(crate) fn new(tx: &'t mut dyn ReadTx, now: Timestamp) -> Self {
        Self { tx, now, ancestors: Ancestors::default(), engines: None }
    }

    /// Reads runs and tasks, and what stands above them.
    pub(crate) fn rows(&mut self, keys: &[ParentKey]) -> Result<Vec<Option<ExplainRow>>, StoreError> {
        let rows = self.tx.explain_rows(keys)?;
        self.ancestors.learn(&parents_among(rows.iter().flatten()));
        let mut unknown: Vec<ParentKey> = rows.iter().flatten().filter_map(|row| row.parent).collect();
        unknown.retain(|parent| !self.ancestors.knows(*parent));
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let above = self.tx.above(&unknown)?;
            self.ancestors.learn(&above);
        }
        Ok(rows)
    }

    /// Finds a child of a parent and reads it.
    pub(super) fn child(
        &mut self,
        parent: ParentKey,
        child: ChildWanted,
    ) -> Result<Option<ExplainRow>, StoreError> {
        let Some(key) = self.tx.find_child(parent, child)? else { return Ok(None) };
        Ok(self.rows(&[ParentKey::task(parent.run, key)])?.pop().flatten())
    }

    /// What is known of the ancestors of the rows.
    pub(super) fn ancestors(&self) -> &Ancestors {
        &self.ancestors
    }

    /// Reads the newest event of its type.
    pub(super) fn latest_event(&mut self, wanted: LatestEvents) -> Result<Option<PastEvent>, StoreError> {
        Ok(self.tx.latest_events(wanted)?.into_iter().next())
    }

    /// Reads claims of engines.
    pub(super) fn claims(&mut self, wanted: &ClaimsWanted<'_>) -> Result<Vec<ClaimRow>, StoreError> {
        self.tx.claims(wanted)
    }

    /// The engines that live.
    pub(super) fn live_engines(&mut self) -> Result<&[EngineRow], StoreError> {
        if self.engines.is_none() {
            self.engines = Some(self.tx.live_engines()?);
        }
        Ok(self.engines.as_deref().unwrap_or_default())
    }

    /// How many engines live.
    pub(super) fn engine_count(&mut self) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.live_engines()?.len()).unwrap_or(u32::MAX))
    }

    /// How many engines live, if a time has come.
    pub(super) fn engine_count_since(&mut self, at: Timestamp) -> Result<Option<u32>, StoreError> {
        (at <= self.now).then(|| self.engine_count()).transpose()
    }
}

/// Those of the rows that other rows may stand below.
fn parents_among<'r>(rows: impl Iterator<Item = &'r ExplainRow>) -> Above {
    let mut above = Above::default();
    for row in rows {
        let ExplainDetail::Parent(status) = &row.detail else { continue };
        let cancel_cause = status.cancel_cause;
        match (&row.target, row.key.task, row.parent) {
            (ExplainTarget::Run(id), ..) => {
                above.runs.push(AboveRun { key: row.key.run, id: *id, state: row.state, cancel_cause });
            }
            (ExplainTarget::Task { id, .. }, Some(key), Some(parent)) => {
                above.tasks.push(AboveTask { key, id: *id, parent, cancel_cause });
            }
            _ => {}
        }
    }
    above
}
