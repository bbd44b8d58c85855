//! What the engine promises, promise by promise.

#[cfg(feature = "tokio")]
mod asynchronous;
mod cancelling;
mod concurrency;
mod context;
mod desk;
mod faults;
mod handlers;
mod installed;
mod joins;
mod leases;
mod meddler;
mod progress;
mod retention;
mod settling;
mod stopping;
mod subscription;
mod timing;
mod trees;
mod unhandled;
mod waking;
