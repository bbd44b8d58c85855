//! The operations of every store, written once over the traits of [`backend`](crate::backend).
//!
//! An operation that writes runs in the frame of `tx`. It consists of phases. In each phase it reads all the rows that it
//! needs in one call, decides with functions of `conductor_model`, and keeps its writes, changes of counts and events.
//! `tx` hands the writes over before the next read, counts before a parent is read, and hands over the events last.
//!
//! Each folder or file uses only those above it in this list:
//!
//! | folder or file | holds |
//! |---|---|
//! | `page`, `rotation`, `scope` | pages of lists, shares of runs, runs of requests |
//! | `ancestors`, `input` | what is known of the parents above tasks; which input a task has |
//! | `tx` | the parts of an operation in a transaction: transitions, counts, decisions |
//! | `tasks` | what callers ask: submit, append, seal, report |
//! | `steps` | the steps of engines: fan-out, aggregate, sweep, retries and starts that are due, deadlines |
//! | `claims` | what engines ask for their claims: claim, settle, renew, release, progress, rescue |
//! | `query`, `explain`, `monitor` | what readers ask, on a snapshot |
//! | `admin` | what administrators ask: cancel, revive, prune |
//! | `verify`, `repair` | compare the rows with the events, and restore rows |
//! | `import` | how runs and tasks of the TypeScript version continue |
//! | `store`, `administration`, `read` | the traits [`Store`](crate::Store), [`Admin`](crate::Admin), [`Query`](crate::Query) and [`Monitor`](crate::Monitor), for every backend |

mod admin;
mod administration;
mod ancestors;
mod claims;
mod explain;
// Only SQLite has databases of the TypeScript version.
#[cfg(feature = "sqlite")]
pub(crate) mod import;
mod input;
pub(crate) mod monitor;
mod page;
mod query;
mod read;
mod repair;
mod rotation;
mod scope;
mod steps;
pub(crate) mod store;
mod tasks;
mod tx;
mod verify;
