//! Load scenarios and latency figures for any server of the protocol.
