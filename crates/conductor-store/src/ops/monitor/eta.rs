//! The remaining work of a run, and its recent throughput.

use crate::StoreError;
use crate::backend::{CountsWanted, LatestEvents, ReadTx};
use crate::ops::scope::find_run;
use conductor_model::{Eta, EventBody, RecentEvent, RunId, Timestamp};

/// From how many events the throughput is computed. An engine settles and claims up to some thousands of tasks in one
/// transaction, and more than one of these must be among them.
const EVENTS: u32 = 10_000;
/// Of how many parents the missing children are counted.
const PARENTS: u32 = 10_000;

/// See [`Monitor::eta`](crate::Monitor::eta).
pub(crate) fn eta(tx: &mut dyn ReadTx, run: RunId, now: Timestamp) -> Result<Option<Eta>, StoreError> {
    let Some(run) = find_run(tx, run)? else { return Ok(None) };
    let wanted = [
        CountsWanted::States,
        CountsWanted::RetriesDue,
        CountsWanted::MissingChildren { max_parents: PARENTS },
    ];
    let counts = tx.counts(Some(run), &wanted)?;
    let open = counts.states.pending + counts.states.running;
    let remaining = open + counts.retries_due + counts.missing_children;
    let since = now.minus_millis(Eta::WINDOW_MS);
    let events = tx.latest_events(LatestEvents::Since { run, since, limit: EVENTS })?;
    let recent: Vec<RecentEvent> = events
        .into_iter()
        .map(|event| RecentEvent {
            at: event.at,
            // What cannot be read settled nothing that is known.
            settled: event.body.as_ref().is_some_and(EventBody::settles_task),
        })
        .collect();
    Ok(Some(Eta::of(remaining, &recent, now)))
}
