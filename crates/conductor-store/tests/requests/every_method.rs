//! Every method of a store on a file: afterwards the rows agree with the events.

use crate::support::TestStore;
use crate::workload::{use_cancels, use_claims, use_everything};
use conductor_store::{Admin, SqliteStore, Verify};

#[test]
fn rows_agree_with_events_after_every_method() {
    type Work = fn(&SqliteStore) -> Result<(), Box<dyn std::error::Error>>;
    let test = TestStore::new();
    for work in [use_everything as Work, use_claims, use_cancels] {
        work(&test.store).unwrap();
        assert_eq!(test.store.verify(&Verify::all()).unwrap().found, 0);
    }
}
