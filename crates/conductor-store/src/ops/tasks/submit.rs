//! Submits a run with its root tasks.

use super::create_roots::{CreateError, Roots, insert_roots, note_roots};
use crate::backend::{ExistingWanted, NewEvent, NewRunRow, Submission};
use crate::ops::tx::Transaction;
use crate::{StoreError, Submit, SubmitError, SubmitOutcome};
use conductor_model::{ChildCounts, EventBody, IdBlock, NewRun, PAYLOAD_HASH_VERSION, RunId, TaskId};

pub(crate) fn submit(t: &mut Transaction<'_, '_>, request: &Submit) -> Result<SubmitOutcome, SubmitError> {
    let (run, count) = (&request.run, request.ids.len());
    let chosen = Chosen::of(run, request.ids);
    let (run_id, tasks) = match &chosen {
        Ok(chosen) => (Some(chosen.run), chosen.roots.ids()),
        Err(_) => (run.id(), Vec::new()),
    };
    let wanted = ExistingWanted { idempotency_key: run.idempotency_key(), run: run_id, tasks: &tasks };
    let existing = t.store()?.existing(&wanted)?;
    if let Some(earlier) = existing.submission {
        return Ok(SubmitOutcome { run: repeated(earlier, run)?, created: false });
    }
    let chosen = chosen.map_err(|error| match error {
        CreateError::TooFewIds => SubmitError::TooFewIds(count),
        CreateError::IdTaken(id) => SubmitError::TaskIdTaken(id),
    })?;
    if existing.run.is_some() {
        return Err(SubmitError::RunIdTaken(chosen.run));
    }
    if let Some(taken) = existing.task {
        return Err(SubmitError::TaskIdTaken(taken));
    }
    insert(t, run, &chosen)?;
    Ok(SubmitOutcome { run: chosen.run, created: true })
}

/// The ids of a run and of all that is submitted with it.
struct Chosen<'a> {
    run: RunId,
    join: Option<TaskId>,
    roots: Roots<'a>,
}

impl<'a> Chosen<'a> {
    fn of(run: &'a NewRun, mut ids: IdBlock) -> Result<Self, CreateError> {
        let id = run.id().or_else(|| ids.take_run()).ok_or(CreateError::TooFewIds)?;
        let join = match run.join() {
            Some(_) => Some(ids.take_task().ok_or(CreateError::TooFewIds)?),
            None => None,
        };
        Ok(Self { run: id, join, roots: Roots::choose(run.tasks(), &mut ids)? })
    }
}

/// The run that was submitted with the same idempotency key, if its payload was the same.
fn repeated(earlier: Submission, run: &NewRun) -> Result<RunId, SubmitError> {
    let Submission { run: id, payload_version, payload_hash } = earlier;
    let is_same = payload_version == PAYLOAD_HASH_VERSION && run.payload() == Some(payload_hash);
    if is_same { Ok(id) } else { Err(SubmitError::IdempotencyConflict { run: id }) }
}

fn insert(t: &mut Transaction<'_, '_>, run: &NewRun, chosen: &Chosen<'_>) -> Result<(), StoreError> {
    let total = u32::try_from(run.tasks().len()).unwrap_or(u32::MAX);
    let counts = if run.is_open() { ChildCounts::open() } else { ChildCounts::sealed(total) };
    let deadline = run.deadline_ms().map(|ms| t.now.plus_millis(ms));
    let keys = t.store()?.new_keys(true, &chosen.roots.sizes())?;
    let row = NewRunRow { key: keys.run, id: chosen.run, run, counts, deadline, join_id: chosen.join };
    insert_roots(t, (keys.run, Some(&row)), 1, &chosen.roots, &keys.blocks)?;
    let body = EventBody::RunCreated { policy: run.policy(), has_join: run.join().is_some() };
    t.push_event(NewEvent::Run(keys.run, body));
    if let Some(total) = counts.total {
        t.push_event(NewEvent::Run(keys.run, EventBody::RunSealed { total }));
    }
    note_roots(t, keys.run, 1, &chosen.roots, &keys.blocks);
    Ok(())
}
