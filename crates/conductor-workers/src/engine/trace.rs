//! The spans and events that an engine records with `tracing`, all with the target `conductor`.
//!
//! Without a subscriber each of them only reads an atomic number, and formats nothing.

use crate::handler::attempt::Attempt;
use crate::handler::batch::{Batch, bits};
use conductor_model::{AttemptFailure, Kind};
use conductor_store::{FenceOutcome, OffsetSet, Settle, SettleOutcome, StoreError};
use std::error::Error;
use std::fmt::Display;
use tracing::{Span, debug, error, info, info_span, warn};

/// Calls a macro of `tracing` with the fields of an attempt: that of one task of a batch.
macro_rules! attempt_fields {
    ($macro:ident [$($head:tt)*] $batch:expr, $bit:expr, $kind:expr, [$($tail:tt)*]) => {
        $macro!(
            target: "conductor",
            $($head)*
            run = %$batch.run,
            task = %$batch.fence($bit).task,
            kind = $kind.as_str(),
            attempt = $batch.fence($bit).attempt,
            index = $batch.index($bit),
            $($tail)*
        )
    };
}

/// Returns the span around the call of a handler. Events that the handler records belong to it.
pub(super) fn attempt_span(attempt: &Attempt, kind: &Kind) -> Span {
    attempt_fields!(info_span ["conductor.attempt",] attempt.batch, attempt.bit, kind, [])
}

pub(super) fn failed(attempt: &Attempt, kind: &Kind, failure: &AttemptFailure) {
    attempt_fields!(info [] attempt.batch, attempt.bit, kind, [error = %failure.text(), "attempt failed"]);
}

pub(super) fn timed_out(attempt: &Attempt, kind: &Kind) {
    attempt_fields!(info [] attempt.batch, attempt.bit, kind, ["attempt timed out"]);
}

/// The claims of these tasks have passed to another engine, or may have.
pub(super) fn leases_lost(batch: &Batch, tasks: u64, kind: &Kind) {
    for bit in bits(tasks) {
        attempt_fields!(warn [] batch, bit, kind, ["lease lost"]);
    }
}

pub(super) fn started(workers: u32, kinds: usize) {
    info!(target: "conductor", workers, kinds, "engine started");
}

pub(super) fn stopped() {
    info!(target: "conductor", "engine stopped");
}

pub(super) fn store_failed(error: &StoreError) {
    error!(target: "conductor", error = error as &dyn Error, "engine ended: the store failed");
}

pub(super) fn runtime_shut_down() {
    error!(target: "conductor", "engine ended: its Tokio runtime was shut down");
}

pub(super) fn panicked() {
    error!(target: "conductor", "engine ended: it panicked");
}

pub(super) fn claimed(tasks: u32) {
    if tasks > 0 {
        debug!(target: "conductor", tasks, "claimed");
    }
}

pub(super) fn settled(request: &Settle, outcome: &SettleOutcome) {
    let all = |sets: &mut dyn Iterator<Item = &OffsetSet>| sets.map(|set| set.len() as usize).sum::<usize>();
    let tasks = request.results.len() + all(&mut request.succeeded.iter().map(|set| &set.offsets));
    if tasks > 0 {
        // The task of a stale result has passed to another engine, or was cancelled.
        let stale = || {
            let applied = outcome.results.iter().filter(|result| **result == FenceOutcome::Applied).count();
            tasks - applied - all(&mut outcome.succeeded.iter())
        };
        debug!(target: "conductor", tasks, stale = stale(), "settled");
    }
}

pub(super) fn runs_decided(runs: u32) {
    if runs > 0 {
        info!(target: "conductor", runs, "runs decided");
    }
}

pub(super) fn store_retried(error: &StoreError) {
    warn!(target: "conductor", error = error as &dyn Error, "the store failed; retrying");
}

pub(super) fn progress_not_written(error: &StoreError) {
    warn!(target: "conductor", error = error as &dyn Error, "progress could not be written; retrying");
}

pub(super) fn warning(warning: &dyn Display) {
    warn!(target: "conductor", %warning, "warning");
}
