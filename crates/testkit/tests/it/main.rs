//! Every transcript against the machines, and against real servers over real sockets.

mod fault_proxy;
mod peers;
mod transcripts;
