//! Operations of administrators: cancel, revive, prune.

pub(crate) mod cancel;
pub(crate) mod prune;
pub(crate) mod revive;
mod subtree;
