//! holysheep-proxy: between applications and the HolySheep API.
//!
//! `ARCHITECTURE.md` has the picture. To follow one request, read
//! [`connection`], [`pipeline`], [`upstream::exchange`], [`relay`], [`account`].

pub mod account;
pub mod admin;
pub mod answer;
pub mod app;
pub mod by_name;
pub mod check;
pub mod cli;
pub mod clients;
pub mod config;
pub mod connection;
pub mod cost;
pub mod costs;
pub mod downstream;
pub mod drain;
pub mod error;
pub mod forward;
pub mod health;
pub mod http1;
pub mod kernel;
pub mod limits;
pub mod listener;
pub mod measure;
pub mod metrics;
pub mod models;
pub mod pipeline;
pub mod probe;
pub mod readiness;
pub mod relay;
pub mod reload;
pub mod replace;
pub mod route;
pub mod stream;
mod table;
pub mod takeover;
pub mod tls;
pub mod traces;
pub mod upstream;
pub mod watch;
pub mod webhook;
pub mod worker;
