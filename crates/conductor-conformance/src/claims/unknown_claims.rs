//! Held: what a claim came to whose answer was lost.

use crate::World;
use crate::harness::test_engine::{failure, fences, success};
use conductor_model::TaskDraft;

pub fn claims_unknown_to_engine_are_returned(world: &World<'_>) {
    let hands = world.hands();
    world.run_of((0..5).map(|_| TaskDraft::new("A")));
    let (known, unknown) = (fences(&hands.claim("A", 2)), fences(&hands.claim("A", 2)));
    assert_eq!(hands.held(&known, 10), unknown);
    assert_eq!(hands.held(&unknown, 10), known);
    let all = [known.clone(), unknown].concat();
    world.writes_nothing(|| assert!(hands.held(&all, 10).is_empty()));
    // Another attempt at the same task is another claim.
    let mut earlier = known[0];
    earlier.attempt -= 1;
    assert_eq!(hands.held(&[&all[1..], &[earlier]].concat(), 10), [known[0]]);
    let _ = hands.release(&known);
    assert!(hands.held(&all[2..], 10).is_empty());
}

pub fn settled_and_foreign_claims_are_excluded(world: &World<'_>) {
    let (one, other) = (world.hands(), world.hands());
    world.run_of((0..6).map(|_| TaskDraft::new("A")));
    let (mine, theirs) = (one.claim("A", 4), other.claim("A", 1));
    one.end(&mine[0], success());
    one.end(&mine[1], failure("no"));
    let _ = one.release(&[mine[2].fence]);
    assert_eq!(one.held(&[], 10), [mine[3].fence]);
    assert_eq!(other.held(&[], 10), fences(&theirs));
    drop(other);
    assert_eq!(world.rescue(), 1);
    world.pass_ms(60_000);
    assert_eq!(world.rescue(), 1);
    assert!(one.held(&[], 10).is_empty(), "its lease was lost");
}

pub fn claims_are_returned_in_bounded_pages(world: &World<'_>) {
    let hands = world.hands();
    world.run_of((0..7).map(|_| TaskDraft::new("A")));
    let all = fences(&hands.claim("A", 10));
    let mut known = Vec::new();
    loop {
        let part = hands.held(&known, 3);
        assert!(part.len() <= 3);
        if part.is_empty() {
            break;
        }
        known.extend(part);
    }
    known.sort_by_key(|fence| fence.key);
    assert_eq!(known, all, "each once");
    assert_eq!(hands.held(&[], 0).len(), 1, "0 counts as 1");
}
