//! The stores of Origin Conductor.
//!
//! A store keeps runs, tasks and events, and carries out one intent in one bounded transaction. What follows
//! from what is decided in [`conductor_model`]; a store asks it and writes the answer. The contract is the
//! traits [`Store`], [`Admin`], [`Query`] and [`Monitor`] together with the suite in `conformance` (a feature), which
//! every store passes.
//!
//! ```
//! use conductor_model::{RunDraft, State, TaskDraft};
//! use conductor_store::{FanOut, Query, Scope, Source, SqliteStore, Store, Submit};
//! use serde_json::json;
//!
//! let store = SqliteStore::open_in_memory()?;
//! let source = Source::system();
//!
//! let run = RunDraft::new().task(TaskDraft::new("PARENT").input(json!({"fanout": 3}))).check()?;
//! let run = store.submit(&Submit::new(run, &source))?.run;
//!
//! // One step creates at most as many children as it is given ids.
//! assert_eq!(store.fan_out(&FanOut::new(Scope::Run(run), 100, &source))?.children, 3);
//! assert_eq!(store.run(run)?.unwrap().state, State::Running);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod cancel;
mod claim;
mod enlist;
mod fault;
mod lease;
mod lookout;
mod progress;
mod prune;
mod query;
mod repair;
mod report;
mod revive;
mod scope;
mod seal;
mod settle;
mod shared;
mod source;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod step;
mod store;
mod submit;
mod verify;

pub use append::{Append, AppendError, Appended};
pub use cancel::{Cancel, CancelError, Cancelled};
pub use claim::{Claim, Claimed, ClaimedTask, Fence, Fenced, Turn, Want};
pub use enlist::{Enlist, Handles, Holder, Presence};
pub use fault::Fault;
pub use lease::{Release, Renew, Rescue, Rescued};
pub use lookout::Lookout;
pub use progress::Progressed;
pub use prune::{Prune, Pruned};
pub use query::{ChildFailure, ChildOutput, EventFilter, MAX_PAGE, Page, TaskFilter, Waits, Watch};
pub use repair::{Mended, Repair, Repaired, Unmended};
pub use report::{Outcome, Refused, Report, Reported, Reports};
pub use revive::{Revivable, Revive, ReviveError, Revived};
pub use scope::{ParentId, Scope};
pub use seal::{Seal, SealError};
pub use settle::{Ending, Settle, Settled};
pub use source::{Clock, Source, SystemClock};
#[cfg(feature = "sqlite")]
pub use sqlite::{OpenError, SqliteOptions, SqliteStore, Synchronous};
pub use step::{Aggregated, Expired, FanOut, FannedOut, Promoted, Retried, Step, Swept};
pub use store::{Admin, Monitor, Query, Store};
pub use submit::{Submit, SubmitError, Submitted};
pub use verify::{Aspect, Divergence, Verified, Verify};
