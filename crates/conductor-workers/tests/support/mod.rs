//! Parts that several test programs of this crate share.

#![allow(dead_code, reason = "each test program uses some of these parts")]

pub(crate) mod fixture;
pub(crate) mod gate;
pub(crate) mod pages;
pub(crate) mod random;
pub(crate) mod waiting;
