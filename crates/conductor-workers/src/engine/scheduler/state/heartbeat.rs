//! When leases are renewed, and how long claims are valid.

use crate::handler::clock::millis;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time until which the claims of this engine are certainly valid, in milliseconds of its monotonic clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseValidity(Arc<AtomicU64>);

impl LeaseValidity {
    /// Returns whether an attempt may start now.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        millis(now) < self.0.load(Ordering::Acquire)
    }

    fn set(&self, until: Duration) {
        self.0.store(millis(until), Ordering::Release);
    }
}

/// When the leases are renewed next.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    lease: Duration,
    validity: LeaseValidity,
    next_at: Duration,
}

impl Heartbeat {
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, validity: LeaseValidity::default(), next_at: Duration::ZERO }
    }

    pub(crate) fn validity(&self) -> LeaseValidity {
        self.validity.clone()
    }

    pub(crate) fn next_at(&self) -> Duration {
        self.next_at
    }

    /// Extends the validity: all claims were made or renewed at `now` or later.
    pub(crate) fn extend_validity(&mut self, now: Duration) {
        self.validity.set(now + self.lease);
        self.next_at = now + self.lease / 3;
    }
}
