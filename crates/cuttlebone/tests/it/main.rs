//! The real program, run as a user runs it.

mod access;
mod audit;
mod canary;
mod certificate;
mod config;
mod demo;
mod device;
mod help;
mod program;
mod proxies;
mod serve;
mod sockets;
mod systemd;
mod threats;
mod token;
