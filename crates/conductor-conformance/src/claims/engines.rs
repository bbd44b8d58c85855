//! Enlist: a place of its own for each engine.

use crate::World;
use std::collections::HashSet;

pub fn every_engine_has_a_place_of_its_own(world: &World<'_>) {
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

pub fn an_engine_that_comes_or_goes_is_no_event(world: &World<'_>) {
    world.leaf();
    world.writes_nothing(|| {
        drop(world.hands());
        assert_eq!(world.rescue(), 0);
    });
}

pub fn an_engine_that_lives_keeps_its_claims_whoever_comes_and_goes(world: &World<'_>) {
    let hands = world.hands();
    world.leaf();
    let claimed = hands.claim_one();
    for _ in 0..3 {
        drop(world.hands());
        assert_eq!(world.rescue(), 0);
    }
    hands.end(&claimed, crate::harness::test_engine::success());
}
