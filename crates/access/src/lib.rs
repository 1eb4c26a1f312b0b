//! Who may do what: tokens, and what they stand for.

mod denied;
mod line_fault;
mod pattern;
mod role;
mod tenant;
mod token;

pub use denied::Denied;
pub use line_fault::{LineFault, TokenFault};
pub use pattern::{InvalidPattern, Pattern, Patterns};
pub use role::{Role, Roles, UnknownRole};
pub use tenant::{InvalidName, Tenant};
pub use token::Token;
