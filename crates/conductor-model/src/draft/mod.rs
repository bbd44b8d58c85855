//! The drafts of runs and tasks: drafts hold unchecked values, and validation turns them into values that are always valid.

mod fanout;
mod join;
mod new_run;
mod new_task;
mod payload_hash;
mod reader;
mod run;
mod task;

pub use fanout::{Fanout, FanoutItem};
pub use join::{JoinDraft, NewJoin};
pub use new_run::NewRun;
pub use new_task::NewTask;
pub use payload_hash::{PAYLOAD_HASH_VERSION, PayloadHash};
pub use run::{MAX_TASKS, RunDraft};
pub use task::TaskDraft;
