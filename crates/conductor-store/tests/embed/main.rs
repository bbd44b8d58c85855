//! The tables of the store in the database of a host application: one transaction for its rows and their run.

mod host_app;
mod install;
mod open;
mod processes;
mod rejected;
mod submit;
