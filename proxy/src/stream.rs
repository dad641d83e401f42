//! Looks at bodies as they pass, without changing or keeping them.

pub mod json;
pub mod request;
