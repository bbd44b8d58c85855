//! The steps of engines: what follows from the time, and from other operations.

pub(crate) mod aggregate;
pub(crate) mod due;
pub(crate) mod expire;
pub(crate) mod fan_out;
pub(crate) mod sweep;
