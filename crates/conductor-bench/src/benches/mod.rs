//! What is measured: one file for each bench.

mod cancel;
mod claim;
mod drain;
mod fan_out;
mod growth;
mod history;
mod hold;
mod idle;
mod join;
mod latency;
mod layout;
mod prune;
mod retry;
mod revive;
mod verify;
mod whole;

use crate::Outcome;
use crate::measure::Bench;

pub(crate) type Entry = fn(&Bench) -> Outcome<()>;

/// Every bench, in the order in which they run.
pub(crate) const BENCHES: [(&str, Entry); 16] = [
    ("fan_out", fan_out::run),
    ("drain", drain::run),
    ("whole", whole::run),
    ("latency", latency::run),
    ("history", history::run),
    ("retry", retry::run),
    ("cancel", cancel::run),
    ("prune", prune::run),
    ("idle", idle::run),
    ("growth", growth::run),
    ("hold", hold::run),
    ("claim", claim::run),
    ("join", join::run),
    ("revive", revive::run),
    ("verify", verify::run),
    ("layout", layout::run),
];
