//! The parts of an operation inside a transaction: transitions, counts, decisions.
//!
//! A transition is pushed as a write, a change of counts and an event. Two things wait until a phase or the transaction ends,
//! so that no transition calls a decision, which makes transitions itself:
//!
//! - A parent or a run whose join has settled is decided at the end of the phase, before anything that depends on it.
//! - A parent or a run that cannot be read fails at the end of the transaction.
//!
//! Each file uses only those above it in this list:
//!
//! | file | part |
//! |---|---|
//! | `transaction` | what the operation has to write, count and record |
//! | `parents_write` | writes parents and runs that make no transition |
//! | `cancel_cause` | gives a parent or a run a cancel cause |
//! | `counts` | counts transitions, and applies the policy to new failures |
//! | `load` | reads parents and runs, with all that was counted |
//! | `parents` | transitions of parents and runs |
//! | `leaves` | transitions of leaves |
//! | `join` | starts the join of a parent or a run |
//! | `decide` | decides parents and runs |
//! | `corrupt` | fails what another program damaged |
//! | `run` | the frame of an operation |

mod cancel_cause;
mod corrupt;
mod counts;
mod decide;
mod join;
mod leaves;
mod load;
mod parents;
mod parents_write;
mod run;
mod transaction;

pub(crate) use cancel_cause::set_cancel_cause;
pub(crate) use corrupt::{fail_corrupt_leaf, fail_corrupt_parent};
pub(crate) use counts::apply_policy;
pub(crate) use decide::{decide, decide_ended_joins};
pub(crate) use join::decide_by_join;
pub(crate) use leaves::{LeafChange, LeafEvent, MAX_COUNT, change_leaves, clear_due, fail_leaf};
pub(crate) use load::{
    find_task, is_cancelling, learn_above, load_parent, load_parents, read_above, require_parent,
};
pub(crate) use parents::{ParentChange, change_parent};
pub(crate) use parents_write::{clear_parent_due, push_row};
pub(crate) use run::run;
pub(crate) use transaction::{Transaction, TransitionError, corrupt_task, note_corrupt};
