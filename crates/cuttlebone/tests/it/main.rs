//! The real program, run as a user runs it.

mod access;
mod audit;
mod config;
mod demo;
mod device;
mod help;
mod program;
mod serve;
mod sockets;
mod threats;
mod token;
