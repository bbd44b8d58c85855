//! Random transitions of the leaves of one block, beside a plain list of their conditions.

use super::{BlockRanges, Condition, is_range, of_block};
use crate::backend::{LeafStatus, OffsetSet};
use crate::sqlite::open;
use conductor_model::{State, Timestamp};
use rusqlite::Connection;
use std::collections::HashMap;

const LEAVES: u16 = 200;
const STEPS: u64 = 100_000;
const BLOCK: &str = "INSERT INTO conductor_blocks (block, prefix, low, count, run, parent, child_index, is_parent, kind, \
    priority, max_retries, created_at, has_inputs) \
    VALUES (1, '01KJMMA2G01Y5VSKAEKMTEG9', 0, 200, 1, 0, 1, 0, 1, 0, 3, 0, 0)";

/// The status of a leaf that was created just now.
const FRESH: LeafStatus = LeafStatus {
    state: State::Pending,
    due_at: None,
    attempt: 0,
    retry_count: 0,
    lease_losses: None,
    is_claimed: false,
};

/// A small generator of numbers, so that each failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap()).unwrap()
}

/// Where the leaves go from one condition; `None` where they end.
fn next(numbers: &mut Numbers, from: &Condition, now: Timestamp) -> Option<Condition> {
    let status = |state, due_at| LeafStatus { state, due_at, is_claimed: false, ..from.status };
    let free = |status| Some(Condition { status, engine: None, lease_until: None, since: now });
    match (from.status.state, numbers.below(10)) {
        (State::Pending, 0) | (State::Running, 7) => free(status(State::Cancelled, None)),
        (State::Pending, _) => {
            let attempt = from.status.attempt + 1;
            let status = LeafStatus { attempt, is_claimed: true, ..status(State::Running, None) };
            let (engine, lease_until) = (Some(1 + i64::from(numbers.below(2) == 0)), Some(at(500_000_000)));
            Some(Condition { status, engine, lease_until, since: now })
        }
        (State::Running, 6) => free(status(State::Failed, Some(at(600_000_000 + numbers.below(3))))),
        (State::Running, 8..) => None,
        (State::Failed, _) => {
            let retry_count = from.status.retry_count + 1;
            free(LeafStatus { retry_count, ..status(State::Pending, None) })
        }
        // A release, or a revival.
        (State::Running, 0..6) | (State::Cancelled | State::Succeeded, _) => {
            free(status(State::Pending, None))
        }
    }
}

/// The rows that are stored: one for each condition, with exactly the leaves that are in it.
fn assert_stored(connection: &Connection, leaves: &[Option<Condition>]) {
    let mut stored: HashMap<String, OffsetSet> = HashMap::new();
    for row in of_block(connection, 1).unwrap() {
        let Ok(row) = row else { panic!("a row cannot be read") };
        assert!(is_range(&row.condition.status));
        let before = stored.insert(format!("{:?}", row.condition), row.set);
        assert_eq!(before, None, "two rows have the same condition");
    }
    let mut expected: HashMap<String, OffsetSet> = HashMap::new();
    for (offset, condition) in (0..).zip(leaves) {
        if let Some(condition) = condition {
            expected.entry(format!("{condition:?}")).or_default().insert(offset);
        }
    }
    assert_eq!(stored, expected);
}

#[test]
fn each_condition_has_one_row_of_leaves() {
    let connection = open::memory().unwrap();
    connection.execute(BLOCK, []).unwrap();
    let mut numbers = Numbers(7);
    let mut leaves: Vec<Option<Condition>> = vec![None; usize::from(LEAVES)];
    let mut ranges = BlockRanges::new(1);
    for step in 0..STEPS {
        let now = at(step / 8);
        // Another transaction reads the rows again.
        if numbers.below(3) == 0 {
            ranges = BlockRanges::new(1);
        }
        let first = numbers.below(u64::from(LEAVES));
        let from = leaves[usize::try_from(first).unwrap()];
        let density = 1 + numbers.below(4);
        let is_chosen = |leaf: &Option<Condition>, numbers: &mut Numbers| {
            leaf.map(|leaf| leaf.status) == from.map(|from| from.status) && numbers.below(density) == 0
        };
        let chosen: Vec<u16> =
            (0..LEAVES).filter(|leaf| is_chosen(&leaves[usize::from(*leaf)], &mut numbers)).collect();
        let set: OffsetSet = chosen.iter().copied().collect();
        if set.is_empty() {
            continue;
        }
        let to = match &from {
            Some(from) => next(&mut numbers, from, now),
            None => Some(Condition { status: FRESH, engine: None, lease_until: None, since: now }),
        };
        if let Some(from) = from {
            ranges.remove(&connection, set, &from.status).unwrap();
        }
        if let Some(to) = to {
            ranges.add(&connection, set, to).unwrap();
        }
        ranges.save(&connection).unwrap();
        for leaf in chosen {
            leaves[usize::from(leaf)] = to;
        }
        if step % 16 == 0 {
            assert_stored(&connection, &leaves);
        }
    }
    assert_stored(&connection, &leaves);
    let refused = ranges.remove(&connection, OffsetSet::one(LEAVES), &FRESH);
    assert!(refused.is_err(), "a leaf that is not in this condition does not leave it");
}
