//! The requests of callers and engines, each with its outcome and its error.

mod append;
mod claim;
mod claimed;
mod engine;
mod fence;
mod lease;
mod offsets;
mod progress;
mod report;
mod seal;
mod settle;
mod step;
mod submit;

pub use append::{Append, AppendError, AppendOutcome};
pub use claim::{Claim, ClaimOutcome, KindQuota, RotationCursor};
pub use claimed::{ClaimedGroup, ClaimedTask, Inputs};
pub use engine::{EngineCapabilities, EngineKey, EngineRegistration, RegisterEngine};
pub use fence::{Fence, FenceOutcome, FenceSet};
pub use lease::{Release, Renew, Rescue};
pub use offsets::OffsetSet;
pub use progress::RecordProgress;
pub use report::{Report, ReportBatch, ReportOutcome, ReportRejection, ReportedResult};
pub use seal::{Seal, SealError};
pub use settle::{AttemptResult, Settle, SettleOutcome};
pub use step::{AggregateOutcome, FanOut, FanOutOutcome, Step, StepOutcome, SweepOutcome};
pub use submit::{Submit, SubmitError, SubmitOutcome};
