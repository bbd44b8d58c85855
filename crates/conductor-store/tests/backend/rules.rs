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

/// A store with one run, whose first task is a parent and whose second is a leaf.
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
            // Only a PENDING task waits for its start, and only a FAILED one for its retry.
            let is_delayed = is_delayed && matches!(state, State::Pending | State::Failed);
            Columns { state, is_delayed, status, swept }
        },
    )
}

fn write_columns(connection: &Connection, table: &str, due_column: &str, columns: &Columns) {
    let Columns { state, is_delayed, status, swept } = columns;
    let join_open = match status.join {
        JoinStatus::None => None,
        join => Some(join == JoinStatus::Open),
    };
    let sql = format!(
        "UPDATE {table} SET state = ?1, {due_column} = ?2, sealed = ?3, fanout = ?4, children = ?5, \
         open_children = ?6, mark = ?7, swept = ?8, joining = ?9 WHERE key = 1"
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

fn wants(connection: &Connection, table: &str) -> Option<i64> {
    connection.query_row(&format!("SELECT wants FROM {table} WHERE key = 1"), [], |row| row.get(0)).unwrap()
}

proptest! {
    #[test]
    fn next_step_agrees_with_column(columns in columns()) {
        let test = store();
        let connection = test.connect();
        write_columns(&connection, "conductor_tasks", "due_at", &columns);
        write_columns(&connection, "conductor_runs", "deadline", &columns);
        let Columns { state, is_delayed, status, swept } = columns;
        let expected = |node_type, is_delayed| {
            next_step(node_type, state, status, is_delayed, swept).map(NextStep::code)
        };
        prop_assert_eq!(wants(&connection, "conductor_tasks"), expected(NodeType::Parent, is_delayed));
        prop_assert_eq!(wants(&connection, "conductor_runs"), expected(NodeType::Run, false));
    }

    #[test]
    fn due_retries_agree_with_rule(due_at in times(), now in times()) {
        let test = store();
        let sql = "UPDATE conductor_tasks SET state = 3, due_at = ?1 WHERE key = 2";
        test.connect().execute(sql, [due_at.as_millis()]).unwrap();
        let is_due = retry_is_due(due_at, now);
        prop_assert_eq!(finds(&test, &Work::Due(DueKind::Retry, Scope::All, now), now), (is_due, is_due));
    }

    #[test]
    fn lost_claims_agree_with_rule(until in times(), since in times(), now in times()) {
        let test = store();
        let engine = test.store.register_engine(&RegisterEngine::new(&test.env)).unwrap();
        let sql = "UPDATE conductor_tasks SET state = 1, attempt = 1, lease_until = ?1, updated_at = ?2, \
            holder = ?3 WHERE key = 2";
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
