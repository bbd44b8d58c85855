//! Enlist: a place of its own for each engine.

use crate::World;
use std::collections::HashSet;

pub fn every_engine_has_unique_key(world: &World<'_>) {
    let living: Vec<_> = (0..5).map(|_| world.hands()).collect();
    let mut holders: HashSet<_> = living.iter().map(crate::harness::test_engine::Hands::holder).collect();
    drop(living);
    world.rescue();
    for _ in 0..5 {
        holders.insert(world.hands().holder());
        world.rescue();
    }
    assert_eq!(holders.len(), 10, "the place of an engine that is gone is not given to another");
}

pub fn registration_and_departure_write_no_event(world: &World<'_>) {
    world.leaf();
    world.writes_nothing(|| {
        drop(world.hands());
        assert_eq!(world.rescue(), 0);
    });
}

pub fn live_engine_keeps_claims_when_others_leave(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let claimed = hands.claim_one();
    for _ in 0..3 {
        drop(world.hands());
        assert_eq!(world.rescue(), 0);
    }
    hands.end(&claimed, crate::harness::test_engine::success());
}
