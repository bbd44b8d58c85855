//! The store whose tables keep children together passes the conformance suite.

use conductor_store::ranges::RangeStore;

mod in_memory {
    conductor_conformance::suite!(|| super::RangeStore::open_in_memory().unwrap());
}
