//! Policies, joins, cancels, deadlines and revivals.

pub mod cancel;
pub mod cancel_subtree;
pub mod expire;
pub mod join;
pub mod join_cancel;
pub mod policy;
pub mod revive;
pub mod revive_all;
pub mod sweep;
