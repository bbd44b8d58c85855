//! What engines ask for their claims: claim, settle, renew, release, record progress, rescue.

pub(crate) mod claim;
mod claimed;
pub(crate) mod fences;
pub(crate) mod lease;
pub(crate) mod rescue;
pub(crate) mod settle;
