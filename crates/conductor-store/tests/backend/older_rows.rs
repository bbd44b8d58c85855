//! A write of a row that was read before a count keeps the count.

use crate::support::TestStore;
use conductor_model::{CancelCause, CountDelta, NodeStatus, NodeType, RunDraft, State};
use conductor_store::StoreError;
use conductor_store::backend::{
    Backend, CountChange, Counted, ParentKey, ParentRow, ParentWrite, ReadTx, RunKey, WriteTx,
};

const RUN: ParentKey = ParentKey { run: RunKey(1), task: None };

#[test]
fn write_of_older_row_keeps_counts() {
    let test = TestStore::new();
    test.submit(&RunDraft::new().open());
    let now = test.env.now();
    let present = test.store.write(now, |tx| cancel_older_row(tx)).unwrap();
    assert_eq!(present.status.cancel_cause, Some(CancelCause::Requested));
    assert_eq!((present.status.counts.created, present.status.counts.open), (2, 2));
    assert_eq!(present.state_counts.pending, 2);
    assert_eq!(test.store.write(now, |tx| run(tx)).unwrap(), present);
}

fn run(tx: &mut impl ReadTx) -> Result<ParentRow, StoreError> {
    Ok(tx.parents(&[RUN])?.remove(0).unwrap())
}

/// Counts two children after it has read the row, which it then writes with a cancel cause.
fn cancel_older_row(tx: &mut impl WriteTx) -> Result<ParentRow, StoreError> {
    let mut row = run(tx)?;
    let mut delta = CountDelta::default();
    let pending = NodeStatus { node_type: NodeType::Leaf, state: State::Pending, retry_scheduled: false };
    delta.add(None, pending, 2);
    let counted = tx.count(&[CountChange { parent: RUN, delta }])?;
    assert!(matches!(counted, Counted::Now { .. }));
    row.status.cancel_cause = Some(CancelCause::Requested);
    let write = ParentWrite { row, is_corrupt: false, output: None, clears_output: false, error: None };
    tx.write(&[], &[write])?;
    run(tx)
}
