//! Engines and their claims: claim, renew, settle, release, rescue, progress.

pub mod claim;
pub mod engines;
pub mod progress;
pub mod release;
pub mod renew;
pub mod rescue;
pub mod settle;
pub mod siblings;
pub mod unknown_claims;
