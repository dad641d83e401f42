//! HTTP/1.1 on the wire: the forwarding path's own engine.
//!
//! Both sides of the proxy use it: [`crate::connection`] for clients and
//! [`crate::upstream`] for HolySheep. It works on byte ranges in the read
//! buffer, so that a request costs no header map, no per-field allocation and
//! no second task. h2 is hyper's; its header maps are turned into the same
//! [`Head`], so everything above sees one shape.
//!
//! What is refused, and why, stands with the grammar of heads in [`head`], and
//! in [`framing`] and [`chunked`].

pub mod buffer;
pub mod chunked;
pub mod decoder;
pub mod encode;
pub mod field;
pub mod framing;
pub mod guarded;
pub mod head;

pub use buffer::ReadBuffer;
pub use decoder::{BodyDecoder, Piece};
pub use field::FieldName;
pub use framing::Framing;
pub use guarded::Guarded;
pub use head::{Head, HeadError, HeadView};
