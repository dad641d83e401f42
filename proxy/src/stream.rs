//! Looks at bodies as they pass, without changing or keeping them.

pub mod events;
pub mod frames;
pub mod json;
pub mod model;
pub mod request;
pub mod response;
pub mod usage;
