//! The operations of [`Monitor`](crate::Monitor).

mod eta;
mod health;
mod stuck;
mod summary;

pub(crate) use eta::eta;
pub(crate) use health::{health, retry_metrics};
pub(crate) use stuck::stuck;
pub(crate) use summary::summary;
