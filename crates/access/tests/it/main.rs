//! Tokens, from the text to what their holder may do.

mod certificates;
mod keys;
mod published;
mod reload;
mod remote;
mod session;
mod static_tokens;
mod support;
mod threats;
