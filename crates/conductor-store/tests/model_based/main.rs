//! Random programs against the SQLite store beside a plain reference: states, counts and events agree after each
//! operation, and the tables agree with the events alone.

mod apply;
mod cancel_revive;
mod checks;
mod claims;
mod harness;
mod programs;
mod random;
mod reference;
mod regressions;
mod steps;
mod submissions;
