//! The event log.

use super::queries::up_to;
use super::state::{EventRow, State};
use conductor_store::StoreError;
use conductor_store::backend::{EventsWanted, LatestEvents, ParentKey, PastEvent, Rows, RunKey};
use conductor_store::model::{Event, EventBody};

impl State {
    pub(super) fn event_records(
        &self,
        wanted: &EventsWanted<'_>,
        limit: u32,
    ) -> Rows<Result<Event, StoreError>> {
        let is_wanted = |row: &EventRow| {
            wanted.run.is_none_or(|run| row.run == run)
                && wanted.task.is_none_or(|task| row.task == Some(task))
                && wanted.name.is_none_or(|name| row.body.name() == name)
                && wanted.since.is_none_or(|since| row.at >= since)
                && wanted.until.is_none_or(|until| row.at < until)
        };
        let behind = self.events.range(wanted.after.saturating_add(1)..);
        let records = behind.filter(|(_, row)| is_wanted(row)).filter_map(|(seq, row)| {
            let run = self.run(row.run)?.id;
            let task = row.task.and_then(|task| self.task(task)).map(|task| task.id);
            Some(Ok(Event { seq: *seq, run, task, at: row.at, body: row.body.clone() }))
        });
        up_to(records, limit)
    }

    /// The events of a run, the newest first.
    fn newest(&self, run: RunKey) -> impl Iterator<Item = &EventRow> {
        self.events.values().rev().map(AsRef::as_ref).filter(move |event| event.run == run)
    }

    pub(super) fn latest_events(&self, wanted: LatestEvents) -> Vec<PastEvent> {
        let past = |event: &EventRow| PastEvent { at: event.at, body: Some(event.body.clone()) };
        match wanted {
            LatestEvents::Since { run, since, limit } => {
                let events = self.newest(run).take(limit as usize);
                events.take_while(|event| event.at >= since).map(past).collect()
            }
            LatestEvents::CancelRequest(ParentKey { run, task }) => {
                let is_request = |event: &&EventRow| {
                    let (EventBody::RunCancelRequested { .. } | EventBody::TaskCancelRequested { .. }) =
                        event.body
                    else {
                        return false;
                    };
                    event.task == task
                };
                self.newest(run).find(is_request).map(past).into_iter().collect()
            }
            LatestEvents::Cancel(run, task, at) => {
                let is_cancel = |event: &&EventRow| {
                    let is_of_task = event.task == Some(task) && event.at == at;
                    is_of_task && matches!(event.body, EventBody::TaskCancelled { .. })
                };
                self.newest(run).find(is_cancel).map(past).into_iter().collect()
            }
        }
    }
}
