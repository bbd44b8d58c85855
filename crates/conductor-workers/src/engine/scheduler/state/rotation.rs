//! Composes the claims of an engine: each kind comes first in turn, and so does each run.

use super::base::Base;
use super::claims::Claims;
use crate::engine::config::Settings;
use crate::handler::clock::millis;
use conductor_store::{
    Claim, ClaimOutcome, EngineCapabilities, EngineKey, EngineRegistration, KindQuota, RegisterEngine,
    RotationCursor, StoreError,
};

/// The order of kinds in the next claim, and the registration of the engine that claims.
pub(crate) struct Rotation {
    registration: Option<EngineRegistration>,
    /// Where the last claim of each kind stopped among the runs.
    cursors: Vec<RotationCursor>,
    /// The kind that comes first in the present claim.
    first_kind: usize,
    /// Whether the last claim left ready tasks although there was room for more.
    more_available: bool,
}

impl Rotation {
    pub(crate) fn new(kinds: usize) -> Self {
        let cursors = vec![RotationCursor::default(); kinds];
        Self { registration: None, cursors, first_kind: 0, more_available: false }
    }

    /// Returns the key of the engine; `None` before its first claim.
    pub(crate) fn engine(&self) -> Option<EngineKey> {
        self.registration.as_ref().map(EngineRegistration::key)
    }

    /// Composes a claim for up to `limit` tasks. Registers the engine if that has not been done.
    pub(crate) fn compose(&mut self, base: &Base, claims: &Claims, limit: u32) -> Result<Claim, StoreError> {
        let engine = self.register(base)?;
        self.first_kind = (self.first_kind + 1) % self.cursors.len();
        let quota = |i: usize| {
            let kind = self.kind_at(i);
            let (name, max) = &base.settings.kinds[kind];
            let limit = max.map_or(limit, |max| max.saturating_sub(claims.of_kind(kind)));
            KindQuota::new(name.clone(), limit).after(self.cursors[kind])
        };
        let quotas = (0..self.cursors.len()).map(quota).collect();
        let claim = Claim::new(engine, quotas, millis(base.settings.lease), &base.env).at_most(limit);
        Ok(claim.allow_isolated(!claims.has_isolated()))
    }

    fn register(&mut self, base: &Base) -> Result<EngineKey, StoreError> {
        if let Some(engine) = self.engine() {
            return Ok(engine);
        }
        let Settings { kinds, workers, .. } = &base.settings;
        let capabilities = EngineCapabilities { workers: *workers, kinds: kinds.iter().cloned().collect() };
        let request = RegisterEngine::new(&base.env).capabilities(capabilities);
        Ok(self.registration.insert(base.store.register_engine(&request)?).key())
    }

    /// Returns the kind at position `i` of the present claim.
    pub(crate) fn kind_at(&self, i: usize) -> usize {
        (self.first_kind + i) % self.cursors.len()
    }

    /// Remembers where a claim stopped. `claim` is the request; `None` if nothing was claimed.
    pub(crate) fn advance(&mut self, claim: Option<&Claim>, outcome: &ClaimOutcome) {
        let found = outcome.len() + outcome.rejected;
        let has_room = claim.is_some_and(|claim| outcome.len() < claim.limit);
        self.more_available = outcome.more && found > 0 && has_room;
        for (i, cursor) in outcome.cursors.iter().enumerate() {
            let kind = self.kind_at(i);
            self.cursors[kind] = *cursor;
        }
    }

    /// Takes whether another claim would find tasks for the workers that are still free.
    pub(crate) fn take_more_available(&mut self) -> bool {
        std::mem::take(&mut self.more_available)
    }
}
