//! Seals an open fan-out.

use crate::backend::{Node, ParentKey};
use crate::ops::scope::find_run;
use crate::ops::tx::{Transaction, corrupt_task, find_task, is_cancelling, push_row, require_parent};
use crate::{NodeId, Seal, SealError};
use conductor_model::{EventBody, SealRejection, can_seal};

pub(crate) fn seal(t: &mut Transaction<'_, '_>, request: &Seal) -> Result<(), SealError> {
    let (parent, total) = (request.parent, request.children);
    let key = find(t, parent)?;
    let mut row = require_parent(t, key)?;
    let is_new = can_seal(row.node.state, row.status.counts, total).map_err(|rejection| match rejection {
        SealRejection::Sealed(sealed) => SealError::AlreadySealed { parent, sealed, given: total },
        SealRejection::Settled => SealError::AlreadySettled(parent),
        SealRejection::Existing(exist) => SealError::CountMismatch { parent, exist, given: total },
    })?;
    if !is_new {
        return Ok(());
    }
    if is_cancelling(t, key)? {
        return Err(SealError::CancelInProgress(parent));
    }
    row.status.counts.total = Some(total);
    push_row(t, &row);
    let body =
        if key.task.is_some() { EventBody::TaskSealed { total } } else { EventBody::RunSealed { total } };
    t.push_parent_event(key, body);
    Ok(())
}

fn find(t: &mut Transaction<'_, '_>, parent: NodeId) -> Result<ParentKey, SealError> {
    match parent {
        NodeId::Run(id) => {
            let run = find_run(t.store()?, id)?.ok_or(SealError::NotFound(parent))?;
            Ok(ParentKey::run(run))
        }
        NodeId::Task(id) => match find_task(t, id)?.ok_or(SealError::NotFound(parent))? {
            Node::Leaves(_) => Err(SealError::NotAParent(id)),
            Node::Parent(Ok(row)) => Ok(row.node.key),
            Node::Parent(Err(corrupt)) => Ok(corrupt.key),
            Node::Corrupt(corrupt) => Err(corrupt_task(corrupt.key, &corrupt.reason).into()),
        },
    }
}
