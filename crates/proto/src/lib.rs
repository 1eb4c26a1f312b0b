//! The signaling protocol as pure state machines: no clock, no I/O, no map.
