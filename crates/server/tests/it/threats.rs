//! The attacks of docs/SECURITY_TESTS.md over real sockets, by their numbers.

mod address;
mod frames;
mod http;
mod load;
mod messages;
mod names;
mod pages;
mod reference;
mod smuggling;
