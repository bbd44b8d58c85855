//! The codes under which every store writes the names of events.

/// The names of all events, at the index of their code. New names are appended; codes never change.
pub const EVENT_NAMES: [&str; 24] = [
    "run.created",
    "run.sealed",
    "run.started",
    "run.aggregated",
    "run.cancel_requested",
    "run.reopened",
    "task.created",
    "task.fanned_out",
    "task.sealed",
    "task.started",
    "task.succeeded",
    "task.failed",
    "task.retried",
    "task.released",
    "task.cancelled",
    "task.revived",
    "task.reopened",
    "task.aggregated",
    "run.adopted",
    "task.adopted",
    "original",
    "run.swept",
    "task.cancel_requested",
    "task.swept",
];

/// Returns the code of the event with this name; `None` if there is no such event.
pub fn event_code(name: &str) -> Option<i64> {
    EVENT_NAMES.iter().position(|known| *known == name).and_then(|code| i64::try_from(code).ok())
}
