//! Opening, adopting and refusing database files.

mod adopt;
mod adopt_refused;
mod folder;
mod new;
mod processes;
mod refused;
mod seed;
mod upgrade;
mod views;
