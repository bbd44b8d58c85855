//! What makes no progress although it should.

use crate::backend::{ParentKey, ReadTx, StuckCondition, StuckWanted};
use crate::ops::explain::explain_all;
use crate::ops::page::page_limit;
use crate::ops::scope::run_of_scope;
use crate::{Scope, StoreError, StuckThreshold};
use conductor_model::StuckItem;

/// The conditions that count as stuck after the threshold. A task that waits for its time, its turn or its children is
/// in none of them.
const CONDITIONS: [StuckCondition; 10] = [
    StuckCondition::ExternalAttempt,
    StuckCondition::ExpiredLease,
    StuckCondition::UnstartedRun,
    StuckCondition::OpenParent,
    StuckCondition::OpenRun,
    StuckCondition::UndecidedParent,
    StuckCondition::UndecidedRun,
    StuckCondition::OverdueStart,
    StuckCondition::OverdueRetry,
    StuckCondition::MissingChildren,
];

/// What counts as stuck.
pub(super) fn wanted(threshold: StuckThreshold) -> StuckWanted<'static> {
    StuckWanted { conditions: &CONDITIONS, before: threshold.cutoff() }
}

/// See [`Monitor::stuck`](crate::Monitor::stuck).
pub(crate) fn stuck(
    tx: &mut dyn ReadTx,
    scope: Scope,
    threshold: StuckThreshold,
    limit: u32,
) -> Result<Vec<StuckItem>, StoreError> {
    let run = run_of_scope(tx, scope)?;
    let rows = tx.stuck(run, &wanted(threshold), page_limit(limit))?;
    let keys: Vec<ParentKey> = rows.iter().map(|row| row.key).collect();
    let explanations = explain_all(tx, &keys, threshold.now)?;
    let items = rows.into_iter().zip(explanations).filter_map(|(row, explanation)| {
        let reason = explanation?.root_cause().clone();
        Some(StuckItem { run: row.run, task: row.task, reason, since: row.since })
    });
    Ok(items.collect())
}
