//! The steps without an engine: fan-out, aggregation, retries, and all of them in any order.

#[path = "../support/mod.rs"]
mod support;

mod damaged;
mod interleaving;
mod original_behavior;
