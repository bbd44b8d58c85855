//! The same random programs on two stores give the same answers. The numbers of events differ, and the order in which one
//! transaction records the events of siblings.

use crate::answers::answers;
use crate::harness::{Harness, StoreKind};
use crate::programs::{Op, cancel_and_revive_program, op, op_among_engines};
use proptest::collection::vec;
use proptest::prelude::*;

fn assert_same_answers(program: &[Op]) {
    let mut stores = [StoreKind::SqliteInMemory, StoreKind::Ranges].map(Harness::new);
    for op in program {
        let [rows, ranges] = stores.each_mut().map(|harness| {
            harness.apply(op);
            harness.tasks = harness.read();
            answers(&*harness.store, harness.now, &harness.runs, &harness.tasks)
        });
        for (expected, answer) in rows.iter().zip(&ranges) {
            assert_eq!(expected, answer, "after {op:?}");
        }
        assert_eq!(rows.len(), ranges.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_give_same_answers_on_ranges(program in vec(op(), 1..60)) {
        assert_same_answers(&program);
    }

    #[test]
    fn engines_get_same_answers_on_ranges(program in vec(op_among_engines(), 1..60)) {
        assert_same_answers(&program);
    }

    #[test]
    fn cancels_give_same_answers_on_ranges(program in cancel_and_revive_program()) {
        assert_same_answers(&program);
    }
}
