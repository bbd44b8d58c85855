//! Opening, adopting and refusing database files.

mod folder;
mod new;
mod refused;
mod views;
