//! Random programs. After each operation the store agrees with the reference.

use crate::harness::{Coverage, Harness, StoreKind};
use crate::programs::{Op, cancel_and_revive_program, op, op_among_engines};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::cell::RefCell;

/// Situations that the programs of cancels and revivals must reach, or they do not test them.
const INTERESTING: [&str; 14] = [
    "claim of siblings in two blocks",
    "claim rejects cancelled tasks",
    "deadline cancel",
    "fail-fast cancel",
    "join is claimed",
    "join is revived",
    "parent is cancelled",
    "revive below a cancelled parent",
    "revive is rejected",
    "revive of many in several transactions",
    "revive of many skips some",
    "sweep cancels a join",
    "sweep cancels parents",
    "sweep stops at its limit",
];

/// Asserts that the store agrees with the reference after each operation.
fn assert_matches_reference(kind: StoreKind, program: &[Op]) -> Coverage {
    let mut harness = Harness::new(kind);
    for op in program {
        harness.apply(op);
        harness.check();
    }
    harness.check_end();
    harness.coverage
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Runs programs of cancels and revivals, which must reach all that is interesting.
fn assert_cancels_and_revivals_match(kind: StoreKind) {
    let coverage = RefCell::new(Coverage::new());
    let outcome = TestRunner::new(config(192)).run(&cancel_and_revive_program(), |program| {
        for (situation, count) in assert_matches_reference(kind, &program) {
            *coverage.borrow_mut().entry(situation).or_default() += count;
        }
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let coverage = coverage.into_inner();
    println!("{coverage:#?}");
    for situation in INTERESTING {
        let count = coverage.get(situation).copied().unwrap_or(0);
        assert!(count >= 1, "no program reached this situation: {situation}; {coverage:?}");
    }
}

#[test]
fn cancel_and_revive_programs_match_reference() {
    assert_cancels_and_revivals_match(StoreKind::SqliteInMemory);
}

#[test]
fn cancels_counted_later_match_reference() {
    assert_cancels_and_revivals_match(StoreKind::Memory);
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn in_memory_programs_match_reference(program in vec(op(), 1..80)) {
        let _ = assert_matches_reference(StoreKind::SqliteInMemory, &program);
    }

    #[test]
    fn engine_programs_match_reference(program in vec(op_among_engines(), 1..80)) {
        let _ = assert_matches_reference(StoreKind::SqliteInMemory, &program);
    }

    #[test]
    fn programs_counted_later_match_reference(program in vec(op(), 1..80)) {
        let _ = assert_matches_reference(StoreKind::Memory, &program);
    }

    #[test]
    fn engines_counted_later_match_reference(program in vec(op_among_engines(), 1..80)) {
        let _ = assert_matches_reference(StoreKind::Memory, &program);
    }
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn reopened_file_programs_match_reference(program in vec(op(), 1..80)) {
        let _ = assert_matches_reference(StoreKind::SqliteFile, &program);
    }
}
