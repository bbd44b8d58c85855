//! A task is refused at a position that another one has, and the transaction goes on.
//!
//! An operation takes a position only once, as long as no other program changes the rows. So no test of the conformance suite
//! comes to this.

use crate::memory::MemoryStore;
use conductor_model::{Backoff, MaxRetries, RunDraft, TaskDraft, TaskId, Timestamp};
use conductor_store::backend::{
    Backend, NewBlock, NodesWanted, ParentKey, Position, ReadTx, TaskKey, WriteTx,
};
use conductor_store::{Environment, Query, SqliteStore, Store, StoreError, Submit};

#[test]
fn sqlite_refuses_taken_position() {
    assert_taken_position_is_refused(&SqliteStore::open_in_memory().unwrap());
}

#[test]
fn store_in_memory_refuses_taken_position() {
    assert_taken_position_is_refused(&MemoryStore::default());
}

fn assert_taken_position_is_refused(store: &(impl Backend + Store + Query)) {
    let env = Environment::seeded(Timestamp::from_millis(1_767_225_600_000).unwrap(), 1);
    let run = RunDraft::new().open().task(TaskDraft::new("first")).validate().unwrap();
    let id = store.submit(&Submit::new(run, &env)).unwrap().run;
    let ids = env.ids(2);
    let [taken, free] = [(ids.first_task(), 1), (TaskId::from_u128(ids.first_task().as_u128() + 1), 2)];
    store
        .write(env.now(), |tx| {
            let run = ParentKey::run(tx.locate(id.into())?.expect("run exists").key.run);
            let refused = insert(tx, run, taken);
            assert!(matches!(refused, Err(StoreError::CorruptRow { .. })), "{refused:?}");
            assert!(tx.nodes(NodesWanted::Id(taken.0))?.is_empty());
            insert(tx, run, free)?;
            assert_eq!(tx.nodes(NodesWanted::Id(free.0))?.len(), 1);
            Ok::<_, StoreError>(())
        })
        .unwrap();
    assert_eq!(store.task(free.0).unwrap().unwrap().index, 2);
}

/// Inserts a leaf with an id at an index.
fn insert(tx: &mut impl WriteTx, parent: ParentKey, (id, index): (TaskId, u32)) -> Result<(), StoreError> {
    let first_key: TaskKey = tx.new_keys(false, &[1])?.blocks[0];
    let kind = "A".parse().unwrap();
    tx.insert(
        None,
        &[NewBlock {
            first_key,
            first_id: id,
            first_index: index,
            count: 1,
            position: Position { parent, is_join: false },
            kind: &kind,
            priority: 0,
            max_retries: MaxRetries::default(),
            backoff: Backoff::default(),
            timeout_ms: None,
            due_at: None,
            names: &["A"],
            inputs: &[],
            parent: None,
        }],
    )
}
