//! Takes back claims whose lease is over or whose engine does not live.

use crate::backend::{AdminWrite, CorruptRow, Node, Work};
use crate::ops::tx::{Transaction, fail_leaf};
use crate::{Rescue, StepOutcome, StoreError};
use conductor_model::AttemptFailure;

pub(crate) fn rescue(t: &mut Transaction<'_, '_>, request: &Rescue) -> Result<StepOutcome, StoreError> {
    let limit = request.limit.max(1);
    let mut changed = 0;
    for node in t.store()?.find(&Work::LostClaims(request.now), limit)? {
        match node {
            Node::Leaves(group) => {
                changed += group.len();
                for offset in group.offsets.iter() {
                    let failure = AttemptFailure::LeaseExpired;
                    let failed =
                        fail_leaf(t, &group.leaf(offset), group.id(offset), &failure, request.jitter);
                    failed.map_err(|error| error.in_step(group.key(offset)))?;
                }
            }
            Node::Corrupt(corrupt) => {
                changed += 1;
                t.store()?.fail_corrupt(CorruptRow::Task(&corrupt))?;
            }
            Node::Parent(_) => {}
        }
    }
    let more = changed >= limit;
    if !more {
        t.store()?.admin_write(AdminWrite::RemoveDeadEngines)?;
    }
    Ok(StepOutcome { changed, more })
}
