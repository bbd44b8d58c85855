//! What the engine promises, promise by promise.

#[cfg(feature = "tokio")]
mod asynchronous;
mod concurrency;
mod context;
mod desk;
mod faults;
mod handlers;
mod installed;
mod leases;
mod meddler;
mod retention;
mod settling;
mod stopping;
mod timing;
mod trees;
mod unhandled;
mod waking;
