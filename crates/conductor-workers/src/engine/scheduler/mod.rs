//! The scheduler: the part of an engine without threads and without a clock.
//!
//! It knows the claimed attempts, and decides turn by turn what to ask of the store. Each turn settles results, makes the
//! next claim and carries out the steps; `turn.rs` has the order. The caller passes the time, and runs the attempts
//! ([`Workers`]). The threads of an engine are one such caller, the simulation is the other.
//!
//! | file | content |
//! |---|---|
//! | `state.rs` | the scheduler and the time of its next wake-up |
//! | `turn.rs` | one turn |
//! | `exchange.rs` | the transaction that settles results and makes the next claim, in four phases |
//! | `submit.rs` | the transaction that submits a run and claims its tasks |
//! | `heartbeat.rs`, `release.rs`, `stop.rs` | how claims are kept, released and abandoned |
//! | `cancel_check.rs` | how cancelled attempts are found |
//! | `steps.rs` | the background steps |
//! | `claims.rs`, `outbox.rs`, `rotation.rs`, `prefetch.rs`, `corrupt_rows.rs` | the parts of the state |

mod cancel_check;
mod claims;
mod corrupt_rows;
mod exchange;
mod heartbeat;
mod outbox;
mod prefetch;
mod release;
mod rotation;
mod state;
mod steps;
mod stop;
mod submit;
mod turn;

pub(crate) use heartbeat::LeaseValidity;
pub(crate) use outbox::MAX_SETTLE_BYTES;
pub(crate) use prefetch::Prefetch;
pub(crate) use state::Scheduler;
pub(crate) use turn::{TurnInput, Workers};
