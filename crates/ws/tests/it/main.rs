//! The codec as its callers see it.

mod close;
mod fragments;
mod frames;
mod limits;
mod memory;
mod split;
mod text;
