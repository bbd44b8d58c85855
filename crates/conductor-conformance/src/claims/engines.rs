//! Engines: each registration has its own key.

use crate::Harness;
use crate::harness::test_engine::{TestEngine, success};
use std::collections::HashSet;

pub fn every_engine_has_unique_key(harness: &Harness<'_>) {
    let live: Vec<_> = (0..5).map(|_| harness.engine()).collect();
    let mut keys: HashSet<_> = live.iter().map(TestEngine::key).collect();
    drop(live);
    harness.rescue();
    for _ in 0..5 {
        keys.insert(harness.engine().key());
        harness.rescue();
    }
    assert_eq!(keys.len(), 10, "the key of a dead engine is not reused");
}

pub fn registration_and_departure_write_no_event(harness: &Harness<'_>) {
    harness.submit_leaf();
    harness.writes_nothing(|| {
        drop(harness.engine());
        assert_eq!(harness.rescue(), 0);
    });
}

pub fn live_engine_keeps_claims_when_others_leave(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_leaf();
    let claimed = engine.claim_one();
    for _ in 0..3 {
        drop(harness.engine());
        assert_eq!(harness.rescue(), 0);
    }
    engine.settle_one(&claimed, success());
}
