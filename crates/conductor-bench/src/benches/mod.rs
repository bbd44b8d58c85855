//! The benches, one per file.

mod bytes;
mod cancel;
mod drain;
mod growth;
mod history;
mod idle;
mod latency;
mod layout;
mod lock_hold;
mod operations;
mod roots;
mod whole_run;

use crate::measure::Bench;
use crate::outcome::Outcome;

pub(crate) type Entry = fn(&Bench) -> Outcome<()>;

/// All benches, in the order in which they run.
pub(crate) const BENCHES: [(&str, Entry); 18] = [
    ("fan_out", operations::fan_out::run),
    ("drain", drain::run),
    ("roots", roots::run),
    ("bytes", bytes::run),
    ("whole", whole_run::run),
    ("latency", latency::run),
    ("history", history::run),
    ("retry", operations::retry::run),
    ("cancel", cancel::run),
    ("prune", operations::prune::run),
    ("idle", idle::run),
    ("growth", growth::run),
    ("hold", lock_hold::run),
    ("claim", operations::claim::run),
    ("join", operations::join::run),
    ("revive", operations::revive::run),
    ("verify", operations::verify::run),
    ("layout", layout::run),
];
