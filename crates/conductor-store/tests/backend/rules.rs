//! Rules that stand in SQL, because an index must find the rows, and in the model: both say the same of any row.

use crate::support::TestStore;
use conductor_model::{
    CancelCause, ChildCounts, JoinStatus, NextStep, NodeType, ParentStatus, Policy, RunDraft, State,
    TaskDraft, Timestamp, lease_expired, next_step, retry_is_due,
};
use conductor_store::backend::{Backend, DueKind, Work, WriteTx};
use conductor_store::{RegisterEngine, Scope, Store, StoreError};
use proptest::option;
use proptest::prelude::*;
use rusqlite::{Connection, params};

/// A store with one run, whose first task is a parent and whose second is a leaf. Their keys are 1024 and 2048.
fn store() -> TestStore {
    let test = TestStore::new();
    test.submit(&RunDraft::new().task(TaskDraft::new("parent").open()).task(TaskDraft::new("leaf")));
    test
}

/// Whether a transaction has this work, and whether it finds one task for it.
fn finds(test: &TestStore, work: &Work, now: Timestamp) -> (bool, bool) {
    test.store.write(now, |tx| has_and_finds(tx, work)).unwrap()
}

fn has_and_finds(tx: &mut impl WriteTx, work: &Work) -> Result<(bool, bool), StoreError> {
    Ok((tx.has_work(work)?, tx.find(work, 10)?.len() == 1))
}

/// The columns from which it follows what a parent or a run needs next.
#[derive(Clone, Debug)]
struct Columns {
    state: State,
    is_delayed: bool,
    status: ParentStatus,
    swept: u32,
}

fn columns() -> impl Strategy<Value = Columns> {
    let counts = (option::of(0..4_u32), 0..4_u32, 0..3_u32);
    let join = prop_oneof![Just(JoinStatus::None), Just(JoinStatus::NotStarted), Just(JoinStatus::Open)];
    let cause = option::of(proptest::sample::select(&CancelCause::ALL[..]));
    let state = proptest::sample::select(&State::ALL[..]);
    (state, any::<bool>(), counts, cause, join, 0..4_u32).prop_map(
        |(state, is_delayed, (total, created, open), cancel_cause, join, swept)| {
            let total = total.map(|missing| created + missing);
            let counts = ChildCounts { total, created, open, failed: 0, cancelled: 0 };
            let status = ParentStatus { counts, policy: Policy::Fail, cancel_cause, join };
            // Only a PENDING parent waits for its start.
            let is_delayed = is_delayed && state == State::Pending;
            Columns { state, is_delayed, status, swept }
        },
    )
}

fn write_columns(connection: &Connection, (table, key): (&str, i64), due_column: &str, columns: &Columns) {
    let Columns { state, is_delayed, status, swept } = columns;
    let join_open = match status.join {
        JoinStatus::None => None,
        join => Some(join == JoinStatus::Open),
    };
    let sql = format!(
        "UPDATE {table} SET state = ?1, {due_column} = ?2, sealed = ?3, fanout = ?4, children = ?5, \
         open_children = ?6, cancel_cause = ?7, swept = ?8, join_open = ?9 WHERE rowid = {key}"
    );
    let params = params![
        state.code(),
        is_delayed.then_some(5_000),
        status.counts.is_sealed(),
        status.counts.total,
        status.counts.created,
        status.counts.open,
        status.cancel_cause.map(CancelCause::code),
        swept,
        join_open,
    ];
    connection.execute(&sql, params).unwrap();
}

fn stored_next_step(connection: &Connection, (table, key): (&str, i64)) -> Option<i64> {
    let sql = format!("SELECT next_step FROM {table} WHERE rowid = {key}");
    connection.query_row(&sql, [], |row| row.get(0)).unwrap()
}

const PARENT: (&str, i64) = ("conductor_parents", 1024);
const RUN: (&str, i64) = ("conductor_runs", 1);

proptest! {
    #[test]
    fn next_step_agrees_with_column(columns in columns()) {
        let test = store();
        let connection = test.connect();
        write_columns(&connection, PARENT, "due_at", &columns);
        write_columns(&connection, RUN, "deadline", &columns);
        let Columns { state, is_delayed, status, swept } = columns;
        let expected = |node_type, is_delayed| {
            next_step(node_type, state, status, is_delayed, swept).map(NextStep::code)
        };
        prop_assert_eq!(stored_next_step(&connection, PARENT), expected(NodeType::Parent, is_delayed));
        prop_assert_eq!(stored_next_step(&connection, RUN), expected(NodeType::Run, false));
    }

    #[test]
    fn due_retries_agree_with_rule(due_at in times(), now in times()) {
        let test = store();
        let sql = "UPDATE conductor_ranges SET state = 3, due_at = ?1";
        test.connect().execute(sql, [due_at.as_millis()]).unwrap();
        let is_due = retry_is_due(due_at, now);
        prop_assert_eq!(finds(&test, &Work::Due(DueKind::Retry, Scope::All, now), now), (is_due, is_due));
    }

    #[test]
    fn lost_claims_agree_with_rule(until in times(), since in times(), now in times()) {
        let test = store();
        let engine = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
        let sql = "UPDATE conductor_ranges SET state = 1, attempt = 1, lease_until = ?1, since = ?2, engine = ?3";
        let params = params![until.as_millis(), since.as_millis(), engine.key().0.cast_signed()];
        test.connect().execute(sql, params).unwrap();
        let is_lost = lease_expired(until, since, now);
        prop_assert_eq!(finds(&test, &Work::LostClaims(now), now), (is_lost, is_lost));
    }
}

/// Times close together, and far apart.
fn times() -> impl Strategy<Value = Timestamp> {
    let day = 24 * 60 * 60 * 1000;
    let millis = prop_oneof![0..10_i64, 0..10 * day, Just(7 * day), Just(7 * day + 1), Just(9_000 * day)];
    millis.prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}
