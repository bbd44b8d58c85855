//! The claims that engines hold.

use crate::backend::{ClaimsWanted, ReadTx, TaskKey};
use crate::ops::page::page_limit;
use crate::{EngineKey, Fence, StoreError};
use std::collections::HashSet;

/// See [`Query::stale_claims`](crate::Query::stale_claims).
pub(crate) fn stale_claims(tx: &mut dyn ReadTx, fences: &[Fence]) -> Result<Vec<Fence>, StoreError> {
    let keys: Vec<TaskKey> = fences.iter().map(|fence| TaskKey(fence.key)).collect();
    let claims = tx.claims(&ClaimsWanted::Tasks(&keys))?;
    let mut valid: HashSet<Fence> = claims.into_iter().map(|claim| claim.fence).collect();
    // The same fence is valid once.
    Ok(fences.iter().copied().filter(|fence| !valid.remove(fence)).collect())
}

/// See [`Query::unknown_claims`](crate::Query::unknown_claims).
pub(crate) fn unknown_claims(
    tx: &mut dyn ReadTx,
    engine: EngineKey,
    known: &[Fence],
    limit: u32,
) -> Result<Vec<Fence>, StoreError> {
    let known: HashSet<&Fence> = known.iter().collect();
    let wanted = ClaimsWanted::Engines { engines: &[engine], kind: None, limit: u32::MAX };
    let fences = tx.claims(&wanted)?.into_iter().map(|claim| claim.fence);
    Ok(fences.filter(|fence| !known.contains(fence)).take(page_limit(limit) as usize).collect())
}
