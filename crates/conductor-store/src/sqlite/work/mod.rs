//! The rows that operations look for before they write.

pub(crate) mod candidates;
pub(crate) mod existing;
pub(crate) mod parent_cache;
pub(crate) mod ready;
