//! The scheduler: the part of an engine without threads and without a clock.
//!
//! It knows the claimed attempts, and decides turn by turn what to ask of the store. Each turn settles results, makes the
//! next claim and carries out the steps; `turn.rs` has the order. The caller passes the time, and runs the attempts
//! ([`Workers`]). The threads of an engine are one such caller, the simulation is the other.
//!
//! | file | content |
//! |---|---|
//! | `turn.rs` | one turn |
//! | `exchange.rs` | the transaction that settles results and makes the next claim, in four phases |
//! | `submit.rs` | the transaction that submits a run and claims its tasks |
//! | `renew.rs`, `release.rs`, `stop.rs` | how claims are kept, released and abandoned |
//! | `stale.rs` | how cancelled attempts are found |
//! | `steps.rs` | the background steps |
//! | `state/` | the scheduler and its parts: claims, outbox, rotation, prefetch, timers |

mod exchange;
mod release;
mod renew;
mod stale;
mod state;
mod steps;
mod stop;
mod submit;
mod turn;

pub(crate) use state::{LeaseValidity, MAX_SETTLE_BYTES, Prefetch, Scheduler};
pub(crate) use turn::{TurnInput, Workers};
