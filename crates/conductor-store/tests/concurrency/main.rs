//! Several writers on one file, whether they are threads, connections or processes.

mod engine_registration;
mod prune;
#[path = "../support/mod.rs"]
mod support;
mod transactions;
#[cfg(target_os = "linux")]
mod write_notifier;
mod writers;
