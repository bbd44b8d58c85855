//! Rows of the tables of blocks and ranges that another program changed: only their own tasks fail, a verification names them,
//! and a repair restores what the events have.

mod blocks;
mod ended;
mod helpers;
mod limits;
mod others;
mod random;
mod ranges;
mod trees;
