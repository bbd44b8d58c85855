//! The contract between the operations and a database: rows in and rows out, inside one transaction.
//!
//! Every operation is written once, in this crate, over the traits of this module. A backend implements
//! three traits and gets [`Store`](crate::Store), [`Admin`](crate::Admin), [`Query`](crate::Query) and
//! [`Monitor`](crate::Monitor) for them:
//!
//! | trait | is |
//! |---|---|
//! | [`Backend`] | the database: it opens transactions and snapshots, and knows which engines live |
//! | [`ReadTx`] | what an open transaction or snapshot can be asked |
//! | [`WriteTx`] | what an open transaction can also change |
//!
//! An operation first asks for all the rows of a phase in one call. It decides. It writes all that follows, and it
//! records the events last. A backend decides nothing: the operation says which state follows, what is counted, and what
//! is recorded.
//!
//! - **Sets.** Tasks are handed over in sets: a [`TaskGroup`] is the part of one block of siblings that is in the same
//!   condition. A block may have several groups, whose keys overlap.
//! - **Keys.** [`WriteTx::new_keys`] gives keys before rows exist. They follow each other inside a block only.
//! - **Counts.** A backend gets changes of counts, and adds them up at once or [later](Counted::Later).
//! - **Locks.** What a [`WriteTx`] has read stays true until the commit.
//! - **Damaged rows.** A row that another program changed is part of the answer, where the type says how.
//!
//! `docs/design/adding-a-store.md` in the repository leads through the implementation of a backend.

mod audit;
mod changes;
mod group;
mod keys;
mod node;
mod open;
mod pruning;
mod read_tx;
mod records;
mod stored;
mod wanted;
mod work;
mod write_tx;

pub use crate::OffsetSet;
pub use audit::{AdminWrite, AuditJoins, AuditKeys, AuditRuns, AuditTasks, Examine};
pub use changes::{
    ClaimWrite, CorruptRow, CountChange, Counted, LeafWrite, NewBlock, NewEvent, NewKeys, NewParent,
    NewRunRow, ParentWrite, ProgressWrite,
};
pub(crate) use group::continues_block;
pub use group::{Block, KeySet, LeafStatus, TaskGroup};
pub use keys::{ParentKey, Position, RunKey, TaskKey};
pub use node::{CorruptParent, CorruptTask, Node, ParentNode, ParentRow, ReadParent};
pub use open::{Backend, BackendError};
pub use pruning::{PrunableRun, PruneBudget, PruneWork, Pruned};
pub use read_tx::ReadTx;
pub use records::{
    ChildResult, ChildResults, ChildResultsWanted, ChildWanted, ClaimRow, ClaimsWanted, Counts, CountsWanted,
    EngineRow, EventsWanted, ExplainDetail, ExplainRow, LatestEvents, LeafDetail, NodePlace, PastEvent,
    ProgressWanted, Rows, RunsWanted, StuckCondition, StuckRow, StuckWanted, TaskRecord, TaskRecords,
    TasksWanted,
};
pub use stored::{
    AdminWritten, AuditEvent, AuditJoin, AuditRun, AuditTask, CreatedPart, Examined, FirstKey, IdRange,
    KeyRange, KeysFound, ParentColumns, RunColumns, StoredPosition, TaskColumns,
};
pub use wanted::{
    Above, AboveRun, AboveTask, ChildTemplate, Decidable, Existing, ExistingWanted, FanOutParent,
    FanOutWanted, JoinRow, NodesWanted, ParentInput, PlannedJoin, ReadyGroup, ReadyTasks, ReadyWanted,
    Submission,
};
pub use work::{DueKind, RunsWith, Turn, Work};
pub use write_tx::WriteTx;
