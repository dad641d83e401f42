//! What requests cost: amounts without rounding, prices, and the catalogue that knows a model's.
//!
//! [`crate::account`] charges each request, `holysheep-proxy costs` ([`crate::costs`]) computes bills from it. An amount is
//! a whole number until it is printed.

mod built_in;
pub mod catalogue;
pub mod money;
pub mod price;
pub mod split;

pub use catalogue::{Catalogue, Entry};
pub use money::Amount;
pub use price::{Price, Tokens};
