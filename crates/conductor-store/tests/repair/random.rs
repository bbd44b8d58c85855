//! Random changes of the rows.

use crate::support::TestStore;
use conductor_model::{RunDraft, TaskDraft};
use conductor_store::{Admin, Divergence, Verify};
use proptest::prelude::*;

/// A number in this range, or NULL.
fn number_or_null(max: i64) -> impl Strategy<Value = String> {
    prop_oneof![Just("NULL".to_owned()), number(max)]
}

fn number(max: i64) -> impl Strategy<Value = String> {
    (0..=max).prop_map(|n| n.to_string())
}

/// A column of `conductor_tasks` and a value for it.
fn task_value() -> impl Strategy<Value = (&'static str, String)> {
    let id = (0..20_u8).prop_map(|n| format!("x'000000000000000000000000000000{n:02x}'"));
    let key = prop_oneof![number(20), Just("9000".to_owned()), Just(i64::MAX.to_string())];
    prop_oneof![
        (Just("state"), number(4)),
        (Just("due_at"), number_or_null(9)),
        (Just("attempt"), number(3)),
        (Just("retry_count"), number(3)),
        (Just("lease_until"), number_or_null(9)),
        (Just("holder"), number_or_null(9)),
        (Just("ordinal"), number(6)),
        (Just("parent"), number(14)),
        (Just("run"), number(3)),
        (Just("sealed"), number_or_null(1)),
        (Just("fanout"), number_or_null(4)),
        (Just("children"), number_or_null(4)),
        (Just("open_children"), number_or_null(4)),
        (Just("failed_children"), number_or_null(4)),
        (Just("policy"), Just("'{'".to_owned())),
        (Just("mark"), number_or_null(4)),
        (Just("swept"), number_or_null(4)),
        (Just("joining"), number_or_null(1)),
        (Just("id"), id),
        (Just("kind"), number(9)),
        (Just("key"), key),
    ]
}

/// A column of `conductor_runs` and a value for it.
fn run_value() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        (Just("state"), number(4)),
        (Just("children"), number(9)),
        (Just("open_children"), number(9)),
        (Just("pending"), number(9)),
        (Just("mark"), number_or_null(4)),
        (Just("joining"), number_or_null(1)),
    ]
}

/// One statement of another program.
fn change() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (1..15_i64, task_value()).prop_map(|(key, (column, value))| {
            format!("UPDATE OR IGNORE conductor_tasks SET {column} = {value} WHERE key = {key}")
        }),
        2 => (1..3_i64, run_value()).prop_map(|(key, (column, value))| {
            format!("UPDATE conductor_runs SET {column} = {value} WHERE key = {key}")
        }),
        3 => (1..15_i64).prop_map(|key| format!("DELETE FROM conductor_tasks WHERE key = {key}")),
        1 => (1..15_i64).prop_map(|key| format!("DELETE FROM conductor_inputs WHERE task = {key}")),
        1 => (1..60_i64).prop_map(|seq| format!("DELETE FROM conductor_events WHERE seq = {seq}")),
    ]
}

/// The divergences as sorted texts.
fn texts(divergences: impl IntoIterator<Item = Divergence>) -> Vec<String> {
    let mut texts: Vec<_> = divergences.into_iter().map(|divergence| divergence.to_string()).collect();
    texts.sort_unstable();
    texts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// After repairs, verification finds exactly the divergences that the last repair reported as unrepairable.
    #[test]
    fn repair_leaves_only_reported_divergences(changes in proptest::collection::vec(change(), 1..6)) {
        let test = TestStore::new();
        test.submit_example();
        test.submit(&RunDraft::new().task(TaskDraft::new("P").fan_out([1])));
        test.run_steps();
        test.change(&changes.join(";"));
        // One repair can make another divergence repairable, or move a row to a run that was repaired before.
        let _ = (test.repair(), test.repair());
        let last = test.repair();
        let unrepairable = texts(last.unrepairable.into_iter().map(|item| item.divergence));
        let found = texts(test.store.verify(&Verify::all()).unwrap().divergences);
        prop_assert_eq!(found, unrepairable, "{:#?}", last.repaired);
        prop_assert_eq!(last.repaired, vec![]);
    }
}
