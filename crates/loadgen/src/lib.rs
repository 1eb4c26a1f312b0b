//! Load scenarios and latency figures, for any server that speaks the protocol.
//!
//! The program is `loadgen`; this library is what it is made of, so that tests can run the scenarios in one process.
//! Every scenario prints a table, and with `--json FILE` writes the same as JSON (`-`: to standard output, without the
//! table). With `--pid PID` it looks at the CPU and the memory of the server's process in `/proc`. It raises the soft
//! limit of file descriptors by itself as far as the hard limit lets it. Its exit code is 1 if something went wrong
//! with a pair or a device, or the scenario could not be run.
//!
//! # What is counted
//!
//! A *pair* is a device and a client. The client sends a `forward`, the device sends it back: one **round trip is two
//! forwards** of the server, and rates and costs are of forwards, latencies of round trips. Each payload carries a
//! number and a time. The client checks that every byte comes back, in order, once. A pair with a fault is out.
//!
//! # Scenarios
//!
//! ## pairs
//! ```text
//! loadgen pairs --url ws://127.0.0.1:8080 --pairs 50 --payload 1500 --in-flight 1 --duration 10 --pid "$(pidof cuttlebone)"
//! ```
//! How many forwards, how late, at which cost. In the closed loop (the default of `--rate`) each pair sends as soon as
//! an answer makes room. With `--rate R` all pairs together send R messages a second; a message that was held back
//! because too many were under way counts from the time it was due.
//!
//! ## idle
//! ```text
//! loadgen idle --url ws://127.0.0.1:8080 --connections 10000 --pid "$(pidof cuttlebone)"
//! ```
//! Memory of a connection on which nothing happens but pings: devices that register and fall silent. With `--relay`
//! half of them are clients, and each connection has carried a message each way.
//!
//! ## register
//! ```text
//! loadgen register --url ws://127.0.0.1:8080 --devices 10000 --beside-pairs 10
//! ```
//! How long until so many devices are registered, and what pairs at work notice of it.
//!
//! ## floor
//! ```text
//! loadgen floor --pairs 50 --payload 1500 --in-flight 1 --duration 10
//! ```
//! The same load as `pairs`, on a plain relay in a process of its own (see [`floor`]): what the machine and tokio cost,
//! before any signaling.
//!
//! ## ratio
//! ```text
//! loadgen ratio --url ws://127.0.0.1:8080 --pid "$(pidof cuttlebone)" --rounds 5
//! ```
//! `floor` and `pairs` in turns, and the CPU of a forward as a multiple of the floor: smallest, median, largest.
//!
//! ## hostile
//! ```text
//! loadgen hostile --url ws://127.0.0.1:8080 --connections 1000 --duration 30 --beside-pairs 10 --pid "$(pidof cuttlebone)"
//! ```
//! Random attacks (see [`hostile::Attack`]) beside honest pairs: their p99 before and meanwhile, and the server's memory
//! before, at its peak, and a minute later. Only a server on a loopback address can be attacked.

mod backoff;
pub mod chart;
mod child;
mod crowd;
mod descriptors;
pub mod disturb;
mod fault;
mod fleet;
pub mod floor;
pub mod hostile;
mod latency;
mod ledger;
mod link;
mod load;
mod meter;
mod pair;
pub mod publish;
mod recovery;
mod resume;
mod rng;
mod sample;
pub mod scenario;
mod schedule;
mod search;
mod sequence;
mod service;
mod sizes;
mod table;
mod tally;
mod timer;

pub use child::own_program;
pub use fault::{Fault, FaultCount, Faults, total};
pub use fleet::{Plan, Totals};
pub use latency::{Latency, Spread};
pub use load::{CpuUse, Load, OpenLoop, Rate, Shape, Target, Window};
pub use meter::{Memory, Meter};
pub use recovery::Recovery;
pub use sample::MIN_BYTES;
pub use schedule::Arrivals;
pub use service::Ending;
pub use sizes::Sizes;
