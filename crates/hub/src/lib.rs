//! Where devices and clients meet: mailboxes, the registry, seats.
//!
//! Everything here is synchronous and without I/O; the time comes in as an argument. A connection task drives a
//! [`Seat`], answers what the seat asks for by [`Registry::resolve`], and writes what its [`Inbox`] holds.
//!
//! The rules, each with a test of its name:
//! - **R1** A session's own replies go through its own mailbox.
//! - **R2** `config` and `device_info` are queued before anybody can reach the session.
//! - **R3** A client whose device's queue is full is not read, then closed. A client that does not read is closed.
//!   A device is never held up.
//! - **R4** A client's later `client_disconnected` always finds room.
//! - **R5** A late end of a registration never removes a newer one.
//! - **R6** Closing is: take nothing more, deliver what is queued, the error, the close. Who is gone meanwhile is reported
//!   before the close.
//! - **R7** Listings are sorted copies.

mod config;
mod device;
mod event;
mod item;
mod lease;
mod mailbox;
mod observer;
mod party;
mod registry;
mod request;
mod resume_token;
mod seat;
mod settings;
mod sync;

pub use config::{ConfigFor, WriteConfig};
pub use event::{DeviceSummary, Event};
pub use item::{Item, Notice};
pub use lease::{Lease, LeaseRefusal, LeaseWish, Leased};
pub use mailbox::{Budget, Budgets, Inbox, Mark, Received, Urgent, Weights};
pub use observer::{Direction, Observer, ResumeOutcome, Unobserved};
pub use party::{Address, Owner, Party, Realm};
pub use registry::{Counts, Holder, IdSource, Probe, Registration, Registry, Resolution, Waiting};
pub use request::{Answer, AttachRequest, RegisterRequest, Request};
pub use resume_token::{TokenKey, Tokens};
pub use seat::{ClientSeat, DeviceSeat, Next, Seat, SeatOptions};
pub use settings::{Bound, Settings};
