//! The claimed attempts of an engine.

use crate::handler::attempt::Attempt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The claimed attempts, with a count for each kind.
pub(crate) struct Claims {
    /// By the key of the claim. The order is always the same, so a simulation can be repeated.
    attempts: BTreeMap<u64, Arc<Attempt>>,
    /// How many attempts of each kind are claimed.
    by_kind: Vec<u32>,
    /// Started attempts whose results no longer count, for the workers that run them.
    abandoned: Vec<Arc<Attempt>>,
}

impl Claims {
    pub(crate) fn new(kinds: usize) -> Self {
        Self { attempts: BTreeMap::new(), by_kind: vec![0; kinds], abandoned: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Attempt>> {
        self.attempts.values()
    }

    /// Returns the attempts whose handlers were called.
    pub(crate) fn started(&self) -> impl Iterator<Item = &Arc<Attempt>> {
        self.iter().filter(|attempt| attempt.has_started())
    }

    /// Returns how many attempts have not started.
    pub(crate) fn waiting(&self) -> usize {
        self.iter().filter(|attempt| !attempt.has_started()).count()
    }

    /// Returns the keys of the last attempts that have not started.
    pub(crate) fn last_waiting(&self, count: usize) -> BTreeSet<u64> {
        let waiting = self.iter().rev().filter(|attempt| !attempt.has_started());
        waiting.take(count).map(|attempt| attempt.fence.key).collect()
    }

    /// Returns the attempts whose timeout has passed.
    pub(crate) fn overdue(&self, now: Duration) -> Vec<Arc<Attempt>> {
        self.iter().filter(|attempt| attempt.is_overdue(now)).cloned().collect()
    }

    /// Returns when the first timeout passes, if all attempts that have not started start at `now`.
    pub(crate) fn next_timeout(&self, now: Duration) -> Option<Duration> {
        let timeout = |attempt: &Arc<Attempt>| {
            attempt.timeout().map(|timeout| attempt.deadline().unwrap_or(now + timeout))
        };
        self.iter().filter_map(timeout).min()
    }

    pub(crate) fn get(&self, key: u64) -> Option<Arc<Attempt>> {
        self.attempts.get(&key).cloned()
    }

    pub(crate) fn of_kind(&self, kind: usize) -> u32 {
        self.by_kind[kind]
    }

    pub(crate) fn has_isolated(&self) -> bool {
        self.iter().any(|attempt| attempt.isolated)
    }

    pub(crate) fn insert(&mut self, attempt: Arc<Attempt>) {
        self.by_kind[attempt.kind] += 1;
        self.attempts.insert(attempt.fence.key, attempt);
    }

    /// Removes an attempt. Returns whether it was claimed.
    pub(crate) fn remove(&mut self, attempt: &Attempt) -> bool {
        let is_claimed =
            self.attempts.get(&attempt.fence.key).is_some_and(|known| known.fence == attempt.fence);
        if is_claimed {
            self.attempts.remove(&attempt.fence.key);
            self.by_kind[attempt.kind] -= 1;
        }
        is_claimed
    }

    /// Removes and returns all attempts that `which` selects.
    pub(crate) fn remove_where(&mut self, which: impl Fn(&Attempt) -> bool) -> Vec<Arc<Attempt>> {
        let removed: Vec<_> = self.iter().filter(|attempt| which(attempt)).cloned().collect();
        for attempt in &removed {
            self.remove(attempt);
        }
        removed
    }

    /// Removes an attempt whose claim was lost or whose timeout has passed. If it has started, its handler is asked to
    /// stop; otherwise it never starts.
    pub(crate) fn abandon(&mut self, attempt: Arc<Attempt>) {
        self.remove(&attempt);
        if !attempt.revoke() {
            attempt.cancel_token().cancel();
            self.abandoned.push(attempt);
        }
    }

    /// Takes the started attempts that were abandoned since the last call.
    pub(crate) fn take_abandoned(&mut self) -> Vec<Arc<Attempt>> {
        std::mem::take(&mut self.abandoned)
    }

    /// Removes all attempts, and asks their handlers to stop.
    pub(crate) fn cancel_all(&mut self) {
        for attempt in std::mem::take(&mut self.attempts).into_values() {
            if !attempt.revoke() {
                attempt.cancel_token().cancel();
            }
        }
    }
}
