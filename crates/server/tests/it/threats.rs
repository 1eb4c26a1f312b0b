//! The attacks of docs/SECURITY_TESTS.md over real sockets, by their numbers.

mod frames;
mod messages;
