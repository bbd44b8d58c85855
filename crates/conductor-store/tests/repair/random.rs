//! Random changes of the rows.

use crate::damaged::Damaged;
use crate::support::TestStore;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Admin, Divergence, Verify};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A number in this range, NULL, the largest attempt, or one that no column can have.
fn number(max: i64) -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..=max).prop_map(|n| n.to_string()),
        1 => Just("NULL".to_owned()),
        1 => Just("-1".to_owned()),
        1 => Just("99999999999".to_owned()),
        1 => Just("2000000000".to_owned()),
        1 => Just(i64::MIN.to_string()),
        1 => Just(i64::MAX.to_string()),
    ]
}

fn assignment(columns: &'static [(&'static str, i64)]) -> impl Strategy<Value = String> {
    let column = (0..columns.len()).prop_map(move |nth| columns[nth]);
    column.prop_flat_map(|(column, max)| number(max).prop_map(move |value| format!("{column} = {value}")))
}

const BLOCK: &[(&str, i64)] = &[
    ("kind", 9),
    ("low", 1023),
    ("count", 6),
    ("run", 3),
    ("parent", 2048),
    ("child_index", 6),
    ("is_parent", 1),
    ("timeout_ms", 9),
    ("max_retries", 3),
];
const RANGE: &[(&str, i64)] = &[
    ("block", 5),
    ("first", 5),
    ("last", 5),
    ("state", 4),
    ("due_at", 9),
    ("attempt", 3),
    ("retry_count", 3),
    ("lease_losses", 2),
    ("lease_until", 9),
    ("engine", 9),
    ("kind", 3),
    ("priority", 3),
    ("run", 3),
];
const ENDED: &[(&str, i64)] = &[("state", 4), ("attempt", 3), ("retry_count", 3)];
const RUN: &[(&str, i64)] = &[
    ("state", 4),
    ("children", 9),
    ("open_children", 9),
    ("pending", 9),
    ("cancel_cause", 4),
    ("join_open", 1),
];
const PARENT: &[(&str, i64)] = &[
    ("state", 4),
    ("sealed", 1),
    ("fanout", 4),
    ("children", 4),
    ("open_children", 4),
    ("failed_children", 4),
    ("cancel_cause", 4),
    ("swept", 4),
    ("due_at", 9),
    ("join_open", 1),
    ("run", 3),
];

/// A change of some columns, or of a row that has these columns.
fn update() -> impl Strategy<Value = String> {
    let update = |table: &str, to: &str, which: &str| {
        format!("UPDATE OR IGNORE conductor_{table} SET {to} WHERE {which}")
    };
    prop_oneof![
        3 => (1..10_i64, assignment(BLOCK))
            .prop_map(move |(block, to)| update("blocks", &to, &format!("block = {block}"))),
        4 => (0..10_i64, assignment(RANGE))
            .prop_map(move |(key, to)| update("ranges", &to, &format!("key = {key}"))),
        2 => (0..9_i64, assignment(ENDED))
            .prop_map(move |(third, to)| update("ended", &to, &format!("task % 3 = {third} % 3"))),
        2 => (1..9_i64, assignment(PARENT))
            .prop_map(move |(block, to)| update("parents", &to, &format!("task = 1024 * {block}"))),
        1 => (1..3_i64, assignment(RUN))
            .prop_map(move |(key, to)| update("runs", &to, &format!("key = {key}"))),
        1 => Just("UPDATE conductor_ranges SET members = x'05' WHERE key = 3".to_owned()),
        1 => Just("UPDATE conductor_parents SET policy = '{'".to_owned()),
        1 => (1..10_i64, proptest::sample::select(vec![0, 5, 11, 9000, -3, i64::MAX, i64::MIN]))
            .prop_map(move |(block, to)| update("blocks", &format!("block = {to}"), &format!("block = {block}"))),
    ]
}

/// One statement of another program.
fn change() -> impl Strategy<Value = String> {
    let block = 1..10_i64;
    prop_oneof![
        14 => update(),
        1 => block.clone().prop_map(|block| format!("DELETE FROM conductor_blocks WHERE block = {block}")),
        1 => block.clone().prop_map(|block| format!("DELETE FROM conductor_ranges WHERE block = {block}")),
        1 => block.clone().prop_map(|block| format!("DELETE FROM conductor_parents WHERE task = 1024 * {block}")),
        1 => block.prop_map(|block| format!("DELETE FROM conductor_inputs WHERE task / 1024 = {block}")),
        1 => Just("DELETE FROM conductor_ended".to_owned()),
        1 => (1..30_i64).prop_map(|key| format!("DELETE FROM conductor_events WHERE key = {key}")),
        1 => (0..4_i64).prop_map(|offset| format!(
            "INSERT INTO conductor_ranges (block, first, last, state, attempt, retry_count, since, run, parent, kind, priority) \
             SELECT block, {offset}, {offset}, 0, 0, 0, since, run, parent, kind, priority FROM conductor_ranges LIMIT 1"
        )),
    ]
}

/// The divergences as sorted texts.
fn texts(divergences: impl IntoIterator<Item = Divergence>) -> Vec<String> {
    let mut texts: Vec<_> = divergences.into_iter().map(|divergence| divergence.to_string()).collect();
    texts.sort_unstable();
    texts
}

fn changes() -> impl Strategy<Value = String> {
    proptest::collection::vec(change(), 1..6).prop_map(|changes| changes.join(";"))
}

/// Asserts that a verification after repairs finds exactly the divergences that the last repair reported as unrepairable.
fn assert_only_reported(test: &TestStore) {
    // One repair can make another divergence repairable, or move a row to a run that was repaired before.
    let _ = (test.repair(), test.repair());
    let last = test.repair();
    let unrepairable = texts(last.unrepairable.into_iter().map(|item| item.divergence));
    let found = texts(test.store.verify(&Verify::all()).unwrap().divergences);
    assert_eq!(found, unrepairable, "{:#?}", last.repaired);
    assert_eq!(last.repaired, vec![]);
}

proptest! {
    // The seed is fixed, so that a rare combination does not fail another change. More cases find more of them.
    #![proptest_config(ProptestConfig {
        cases: 60,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn repair_leaves_only_reported_divergences(changes in changes()) {
        let test = Damaged::new();
        test.change(&changes);
        assert_only_reported(&test);
    }

    #[test]
    fn repair_of_tree_leaves_only_reported_divergences(changes in changes()) {
        let test = TestStore::new();
        test.submit_example();
        test.submit(&RunDraft::new().task(TaskDraft::new("P").fan_out([1])));
        test.run_steps();
        test.change(&changes);
        assert_only_reported(&test);
    }

    /// No step and no claim fails or goes on for ever, so that each worker can do the rest.
    #[test]
    fn damage_stops_no_worker(changes in changes()) {
        let test = Damaged::new();
        test.change(&changes);
        test.work();
    }
}
