//! Seal an open fan-out.

use super::SqliteStore;
use super::event_log;
use super::ledger::Place;
use super::marks::Marks;
use super::sql::run_key;
use super::task_row::TaskRow;
use super::write::Write;
use crate::{NodeId, Seal, SealError};
use conductor_model::{ChildCounts, EventBody, NodeType, State};

impl SqliteStore {
    pub(super) fn seal_parent(&self, request: &Seal) -> Result<(), SealError> {
        self.write(request.now, |write| match request.parent {
            NodeId::Task(id) => {
                let task = TaskRow::by_id(write.tx(), id)?.ok_or(SealError::NotFound(request.parent))?;
                if task.shape == NodeType::Leaf {
                    return Err(SealError::NotAParent(id));
                }
                seal(write, request, task.place.run, Some(&task))
            }
            NodeId::Run(id) => {
                let run = run_key(write.tx(), id)?.ok_or(SealError::NotFound(request.parent))?;
                seal(write, request, run, None)
            }
        })
    }
}

fn seal(write: &mut Write<'_>, request: &Seal, run: i64, task: Option<&TaskRow>) -> Result<(), SealError> {
    let (tx, ledger, _) = write.parts();
    let total = request.children;
    let place = Place::child(run, task.map_or(0, |task| task.key));
    let head = *ledger.head(tx, place)?;
    if !may_seal(request, head.state, head.standing.counts)? {
        return Ok(());
    }
    if Marks::default().is_doomed(write, place)? {
        return Err(SealError::CancelInProgress(request.parent));
    }
    let (tx, ledger, now) = write.parts();
    ledger.head(tx, place)?.standing.counts.total = Some(total);
    let body = if task.is_some() { EventBody::TaskSealed { total } } else { EventBody::RunSealed { total } };
    event_log::record(tx, run, task.map(|task| task.key), now, &body)?;
    Ok(())
}

/// Whether there is something to seal; `false` when it is sealed with this number already.
fn may_seal(request: &Seal, state: State, numbers: ChildCounts) -> Result<bool, SealError> {
    let (parent, given) = (request.parent, request.children);
    match numbers.total {
        Some(sealed) if sealed == given => Ok(false),
        Some(sealed) => Err(SealError::AlreadySealed { parent, sealed, given }),
        None if state.is_terminal() => Err(SealError::AlreadySettled(parent)),
        None if numbers.created != given => {
            Err(SealError::CountMismatch { parent, exist: numbers.created, given })
        }
        None => Ok(true),
    }
}
