//! Stand-in for the HolySheep API: an OpenAI- and Anthropic-shaped upstream to develop, test and
//! measure a proxy against.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use holysheep_emulator::{Emulator, Fault, FaultScope};
//!
//! let emulator = Emulator::builder().start().await?;
//! println!("{} {}", emulator.base_url(), emulator.api_key());
//! emulator.set_fault(Fault::Cut { after: 100 }, FaultScope::Next(1))?;
//! // … let the proxy under test call `emulator.base_url()` …
//! assert_eq!(emulator.stats().faulted, 0);
//! # Ok(())
//! # }
//! ```
//!
//! A request's way: `server/port.rs` accepts, `server/handshake.rs` does TLS, `server/connection.rs`
//! drives hyper, `exchange.rs` takes the request through faults and think time, `api.rs` answers,
//! `body.rs` sends. `control.rs` offers over HTTP what [`Emulator`] offers in process.

mod api;
mod auth;
mod bill;
mod body;
mod builder;
mod clock;
mod control;
mod emulator;
mod exchange;
mod fault;
mod head;
mod latency;
mod realtime;
mod record;
mod routes;
mod server;
mod stats;
pub mod tls;

pub use bill::Billed;
pub use builder::{Builder, DEFAULT_API_KEY, StartError, Tls};
pub use emulator::{Emulator, WaitError};
pub use fault::{FAULT_HEADER, Fault, FaultError, FaultScope, GRAMMAR, Malformation, RetryHints};
pub use latency::{Profile, ProfileError};
pub use record::{Books, RecordedRequest, body_hash};
pub use stats::Stats;
pub use tls::{Authority, CertificateKind, TlsError};
