//! Unknown claims: how an engine finds claims whose answer was lost.

use crate::Harness;
use crate::harness::test_engine::{failure, fences, success};
use conductor_model::TaskDraft;

pub fn claims_unknown_to_engine_are_returned(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_tasks((0..5).map(|_| TaskDraft::new("A")));
    let (known, unknown) = (fences(&engine.claim("A", 2)), fences(&engine.claim("A", 2)));
    assert_eq!(engine.unknown_claims(&known, 10), unknown);
    assert_eq!(engine.unknown_claims(&unknown, 10), known);
    let all = [known.clone(), unknown].concat();
    harness.writes_nothing(|| assert!(engine.unknown_claims(&all, 10).is_empty()));
    // A claim of another attempt at the same task is another claim.
    let mut earlier = known[0];
    earlier.attempt -= 1;
    assert_eq!(engine.unknown_claims(&[&all[1..], &[earlier]].concat(), 10), [known[0]]);
    let _ = engine.release(&known);
    assert!(engine.unknown_claims(&all[2..], 10).is_empty());
}

pub fn settled_and_foreign_claims_are_excluded(harness: &Harness<'_>) {
    let (one, other) = (harness.engine(), harness.engine());
    harness.submit_tasks((0..6).map(|_| TaskDraft::new("A")));
    let (mine, theirs) = (one.claim("A", 4), other.claim("A", 1));
    one.settle_one(&mine[0], success());
    one.settle_one(&mine[1], failure("no"));
    let _ = one.release(&[mine[2].fence]);
    assert_eq!(one.unknown_claims(&[], 10), [mine[3].fence]);
    assert_eq!(other.unknown_claims(&[], 10), fences(&theirs));
    drop(other);
    assert_eq!(harness.rescue(), 1);
    harness.advance_ms(60_000);
    assert_eq!(harness.rescue(), 1);
    assert!(one.unknown_claims(&[], 10).is_empty(), "its lease is lost");
}

pub fn claims_are_returned_in_bounded_pages(harness: &Harness<'_>) {
    let engine = harness.engine();
    harness.submit_tasks((0..7).map(|_| TaskDraft::new("A")));
    let all = fences(&engine.claim("A", 10));
    let mut known = Vec::new();
    loop {
        let page = engine.unknown_claims(&known, 3);
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        known.extend(page);
    }
    known.sort_by_key(|fence| fence.key);
    assert_eq!(known, all, "each claim is returned once");
    assert_eq!(engine.unknown_claims(&[], 0).len(), 1, "a limit of 0 counts as 1");
}
