//! The proxy over real sockets, one file per behaviour.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but does not see that their helpers are tests too"
)]

mod access_log;
mod access_log_sample;
mod accounting;
mod added_usage;
mod admin;
mod breaker;
mod budgets;
mod cancellation;
mod check;
mod client_command;
mod client_timeouts;
mod clients;
mod clients_models;
mod clients_reload;
mod clients_secrets;
mod command_line;
mod condition;
mod config_command;
mod configuration;
mod cost;
mod costs;
mod dns;
mod downstream_h2;
mod drain_delay;
mod drain_end;
mod endpoints;
mod errors;
mod expect_continue;
mod fault_matrix;
mod forwarding;
mod h2_floods;
mod harness;
mod health_ready;
mod hedging;
mod keep_alive;
mod kernel_timings;
mod keys;
mod leaving;
mod limits;
mod limits_processes;
mod limits_redis;
mod memory;
mod models;
mod models_cache;
mod openmetrics;
mod operating;
mod pool;
mod probes;
mod prompt_records;
mod readiness;
mod realtime;
mod reload;
mod response_fields;
mod retry_rules;
mod signs_of_life;
mod stale_connections;
mod startup;
mod streaming;
mod summary;
mod take_over;
mod tls_listener;
mod traces;
mod upstream_alpn;
mod upstream_errors;
mod upstream_h2;
mod upstream_h2_retries;
mod upstream_keys;
mod usage;
mod webhook;
mod windows;
mod wire;
