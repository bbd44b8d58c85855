//! Our tables in a database of the user's own: a row of the user's and its run are one transaction.

mod install;
mod open;
mod processes;
mod refused;
mod shop;
mod submit;
