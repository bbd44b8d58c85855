//! What the engine guarantees, by topic.

#[path = "../support/mod.rs"]
mod support;

mod claims {
    mod concurrency;
    mod leases;
    mod unhandled;
    mod waking;
}
mod faults;
mod handlers {
    #[cfg(feature = "tokio")]
    mod asynchronous;
    mod context;
    mod joins;
    mod timing;
    mod typed;
}
mod lifecycle {
    mod cancelling;
    mod embedded;
    mod retention;
    mod settling;
    mod stopping;
    mod trees;
}
mod faulty_store;
mod pausing;
mod watching {
    mod progress;
    mod subscription;
}
