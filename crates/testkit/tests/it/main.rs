//! Every transcript against the machines, and against real servers over real sockets.

mod peers;
mod transcripts;
