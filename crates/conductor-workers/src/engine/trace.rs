//! What an engine tells `tracing`: all of its spans and events are here, under the target `conductor`.
//!
//! Without a subscriber each of them is a look at one atomic number, and nothing is formatted.

use crate::engine::Warning;
use crate::engine::completion::EngineEnd;
use crate::engine::scheduler::Settings;
use crate::handler::attempt::Attempt;
use conductor_model::{AttemptFailure, Kind};
use conductor_store::{FenceOutcome, SettleOutcome, StoreError};
use std::error::Error;
use tracing::{Span, debug, error, info, info_span, warn};

/// Around the call of a handler: what the handler itself says stands in it.
pub(crate) fn attempt(attempt: &Attempt, kind: &Kind) -> Span {
    info_span!(
        target: "conductor",
        "conductor.attempt",
        run = %attempt.run,
        task = %attempt.fence.task,
        kind = kind.as_str(),
        attempt = attempt.fence.attempt,
        index = attempt.index,
    )
}

pub(crate) fn started(settings: &Settings) {
    let Settings { kinds, workers, .. } = settings;
    info!(target: "conductor", workers, kinds = kinds.len(), "engine started");
}

pub(crate) fn over(end: &EngineEnd) {
    match end {
        EngineEnd::Stopped => info!(target: "conductor", "engine stopped"),
        EngineEnd::Failed(fault) => {
            error!(target: "conductor", error = &**fault as &dyn Error, "engine ended: the store cannot go on");
        }
        EngineEnd::RuntimeShutDown => {
            error!(target: "conductor", "engine ended: its Tokio runtime was shut down")
        }
        EngineEnd::Panicked => error!(target: "conductor", "engine ended: it panicked"),
    }
}

/// What a claim came to.
pub(crate) fn claimed(tasks: usize) {
    if tasks > 0 {
        debug!(target: "conductor", tasks, "claimed");
    }
}

/// What one transaction with the store came to.
pub(crate) fn exchanged(settled: &SettleOutcome) {
    claimed(settled.claimed.tasks.len());
    let endings = settled.results.len();
    if endings > 0 {
        debug!(
            target: "conductor",
            tasks = endings,
            stale = settled.results.iter().filter(|ending| **ending == FenceOutcome::Stale).count(),
            "settled"
        );
    }
}

/// An attempt failed; whether it is retried is the store's to say.
pub(crate) fn failed(attempt: &Attempt, kind: &Kind, failure: &AttemptFailure) {
    info!(
        target: "conductor",
        run = %attempt.run,
        task = %attempt.fence.task,
        kind = kind.as_str(),
        attempt = attempt.fence.attempt,
        index = attempt.index,
        error = %failure.text(),
        "attempt failed"
    );
}

pub(crate) fn timed_out(attempt: &Attempt, kind: &Kind) {
    info!(
        target: "conductor",
        run = %attempt.run,
        task = %attempt.fence.task,
        kind = kind.as_str(),
        attempt = attempt.fence.attempt,
        index = attempt.index,
        "attempt timed out"
    );
}

/// The claim is somebody else's by now, or may be.
pub(crate) fn lease_lost(attempt: &Attempt, kind: &Kind) {
    warn!(
        target: "conductor",
        run = %attempt.run,
        task = %attempt.fence.task,
        kind = kind.as_str(),
        attempt = attempt.fence.attempt,
        index = attempt.index,
        "lease lost"
    );
}

pub(crate) fn runs_decided(runs: u32) {
    if runs > 0 {
        info!(target: "conductor", runs, "runs decided");
    }
}

/// The store failed, and is asked again.
pub(crate) fn waits_for_store(fault: &StoreError) {
    warn!(target: "conductor", error = fault as &dyn Error, "the store failed, and is asked again");
}

/// What handlers reported could not be written; it is tried again.
pub(crate) fn progress_not_written(fault: &StoreError) {
    warn!(target: "conductor", error = fault as &dyn Error, "progress could not be written");
}

pub(crate) fn warning(warning: &Warning) {
    warn!(target: "conductor", %warning, "warning");
}
