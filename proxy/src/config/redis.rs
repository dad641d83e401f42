//! `limits.redis:` where the counters are that all replicas share.

use std::path::PathBuf;
use std::time::Duration;

use redis::IntoConnectionInfo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::file::{self, Span};
use super::shapes::{Positive, RedisUrl};

/// As it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("dependencies" = {"password_file": ["url"], "timeout": ["url"], "prefix": ["url"]}))]
pub struct RedisFile {
    /// Its address; `rediss://` for TLS.
    #[schemars(with = "Option<RedisUrl>", example = &"redis://redis.cache:6379")]
    pub url: Option<String>,
    /// Its password; read at the start.
    #[schemars(example = &"/etc/holysheep/redis/password")]
    pub password_file: Option<PathBuf>,
    /// How long a request waits for it, at most 1s.
    #[schemars(with = "Option<Positive>")]
    pub timeout: Option<Span>,
    /// What its keys begin with; replicas of one deployment have the same.
    pub prefix: Option<String>,
}

/// A server of Redis or Valkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redis {
    /// `redis://HOST:PORT/DB`, `rediss://` for TLS; perhaps with a user, never with a password.
    pub url: String,
    /// The password; read at the start.
    pub password_file: Option<PathBuf>,
    /// How long a request waits for it; then its limits are those of this process.
    #[serde(serialize_with = "file::as_text")]
    pub timeout: Duration,
    /// What its keys begin with. Replicas of one deployment have the same.
    pub prefix: String,
}

/// Longer than that nobody waits for a limit.
const LONGEST: Duration = Duration::from_secs(1);

impl RedisFile {
    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Option<Redis> {
        let mut problem = |field: &'static str, message: String| {
            problems.push(Problem {
                field: field.into(),
                message,
            });
        };
        let Some(url) = self.url.clone() else {
            if self.password_file.is_some() || self.timeout.is_some() || self.prefix.is_some() {
                let message = "missing; expected such as redis://redis.cache:6379";
                problem("limits.redis.url", message.to_owned());
            }
            return None;
        };
        match url.as_str().into_connection_info() {
            // Not what it is: it may hold a password.
            Err(_) => problem(
                "limits.redis.url",
                "it is none; expected such as redis://redis.cache:6379 or rediss://10.0.0.5:6380/1"
                    .to_owned(),
            ),
            Ok(info) if info.redis_settings().password().is_some() => problem(
                "limits.redis.url",
                "there is a password in it; expected it in a file of its own (limits.redis.password_file)"
                    .to_owned(),
            ),
            Ok(_) => {}
        }
        let timeout = self.timeout.map_or(Duration::from_millis(5), |span| span.0);
        if timeout.is_zero() || timeout > LONGEST {
            let message = "out of range; expected more than 0s, at most 1s".to_owned();
            problem("limits.redis.timeout", message);
        }
        Some(Redis {
            url,
            password_file: self.password_file.clone(),
            timeout,
            prefix: self
                .prefix
                .clone()
                .unwrap_or_else(|| "holysheep".to_owned()),
        })
    }
}
