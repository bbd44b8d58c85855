//! The traits that every store implements, split by who calls them.

mod admin;
mod monitor;
mod query;
mod store;

pub use admin::Admin;
pub use monitor::Monitor;
pub use query::Query;
pub use store::Store;
