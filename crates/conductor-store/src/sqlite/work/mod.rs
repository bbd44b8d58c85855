//! The rows that operations ask for before they write.

mod block_rows;
pub(super) mod existing;
pub(super) mod fan_out_parents;
pub(super) mod find;
pub(super) mod kinds;
pub(super) mod leaves;
pub(super) mod parent_cache;
pub(super) mod ready;
