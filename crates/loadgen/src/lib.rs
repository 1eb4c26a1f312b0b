//! Load scenarios and latency figures, for any server that speaks the protocol.
//!
//! The program is `loadgen`; this library is what it is made of, so that tests can run the scenarios in one process.
//! Every scenario prints a table, and with `--json FILE` writes the same as JSON (`-`: to standard output, without the
//! table), with the command line it came from. `loadgen chart` draws a report. With `--pid PID` it looks at the CPU and the
//! memory of the server's process in `/proc`. It raises the soft limit of file descriptors by itself as far as the hard
//! limit lets it. Its exit code is 1 if something went wrong that a server with nothing to hide would not do, or the
//! scenario could not be run. `loadgen SCENARIO --help` says what is measured, in which units, and gives an example.
//!
//! # What is counted
//!
//! A *pair* is a device and a client. The client sends a `forward`, the device sends it back: one **round trip is two
//! forwards** of the server, and rates and costs are of forwards, latencies of round trips. Each payload carries its
//! sender, a number and a time. The client checks that every byte comes back, to it, in order, once. A pair with a fault is
//! out. Faults are counted by kind; an HTTP status, a close code and a `cuttlebone_code` are kinds of their own
//! (`http_503`, `closed_4029`, `error_rate_limited`).
//!
//! # The open loop
//!
//! In the *closed loop* a pair sends as soon as an answer makes room: it shows how fast a server can be, and hides how late
//! it is, because nothing is sent while it stalls. With `--rate` the loop is *open*: the moments are planned, at equal
//! distances or as Poisson arrivals, and
//!
//! 1. a message is sent when it is due, whatever the server does; only a bound for memory (100,000 messages under way)
//!    holds it back;
//! 2. its latency counts from when it was due, so that its sender's own lateness is part of it;
//! 3. that lateness is told by itself, with the number of messages that were sent more than a millisecond late, so that a
//!    reader can see whether the server or this program was slow;
//! 4. what was due in the window is measured also if the answer comes after its end, and what is not answered five seconds
//!    later counts with the time it has waited.
//!
//! # Scenarios
//!
//! | name | what it says |
//! |---|---|
//! | `pairs` | how many forwards, how late, at which cost |
//! | `fan-in` | the same with many clients on each device |
//! | `floor` | the load of `pairs` on a plain relay in a process of its own (see [`floor`]): what the machine and tokio cost |
//! | `ratio` | `floor` and `pairs` in turns: CPU of a forward as a multiple of the floor |
//! | `saturate` | the highest rate with a p99 below a bound, and p50 and p99 at half of it beside the floor's |
//! | `curve` | CPU of a forward with few pairs and with many, at one rate over all of them |
//! | `churn` | sessions that come, say a few messages, and go, at a rate |
//! | `versus` | two servers in turns under one of these loads: ratios of p50, p99, rate and CPU |
//! | `idle` | memory of a connection on which nothing happens, plain and with TLS |
//! | `memory` | what the server keeps after a storm of connections |
//! | `register` | how long until many devices are registered, and what pairs at work notice of it |
//! | `storm` | the same as fast as they may; what those hear that are refused, and when they are in at last |
//! | `resume` | clients that are cut at once and resume: time, ids, messages lost and doubled |
//! | `restart` | the same for devices and clients when the server goes and comes again |
//! | `isolation` | what others notice of a viewer that never reads, and of an address that is greedy |
//! | `hostile` | what honest pairs notice of random attacks (see [`hostile::Attack`]) |
//! | `chart` | an SVG of a report |
//!
//! Only a server on a loopback address can be attacked or disturbed; attackers run in a process of their own with the lowest
//! priority.

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
