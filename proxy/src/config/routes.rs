//! How the requests of each route are treated: `responses:`, and `routes:`, which sets the same for one path.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use humantime::format_duration;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::file::{Span, as_text};
use super::shapes::Positive;
use super::{Problem, Timeouts};
use crate::route::{Action, ROUTES, Route};

/// What becomes of a request whose client leaves before it has the whole response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientLeaves {
    /// It ends upstream, too, at once.
    #[default]
    Cancel,
    /// The response is read to its end, to learn what it used; the other limits hold.
    Drain,
    /// The same for so long at most.
    DrainFor(Duration),
}

/// As it is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ClientLeavesFile {
    /// It ends upstream, too, at once.
    Cancel,
    /// The response is read to its end, to learn what it used; the other limits hold.
    Drain,
    /// The same for so long at most.
    DrainFor(Span),
}

impl<'de> Deserialize<'de> for ClientLeaves {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match ClientLeavesFile::deserialize(deserializer)? {
            ClientLeavesFile::Cancel => Self::Cancel,
            ClientLeavesFile::Drain => Self::Drain,
            ClientLeavesFile::DrainFor(span) => Self::DrainFor(span.0),
        })
    }
}

impl JsonSchema for ClientLeaves {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        ClientLeavesFile::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        ClientLeavesFile::json_schema(generator)
    }
}

impl Serialize for ClientLeaves {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match self {
            Self::Cancel => serializer.serialize_str("cancel"),
            Self::Drain => serializer.serialize_str("drain"),
            Self::DrainFor(limit) => {
                let text = format_duration(*limit).to_string();
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("drain_for", &text)?;
                map.end()
            }
        }
    }
}

/// `responses:`
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResponsesFile {
    /// What becomes of a request whose client leaves: cancel, drain, or `{drain_for: 30s}`.
    pub client_leaves: Option<ClientLeaves>,
    /// A sign of life in streams of which nothing has come for so long, at least 100ms; 0s sends none.
    pub keep_alive: Option<Span>,
}

/// A line of `routes:`: what is not set there is as for all.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteFile {
    /// As `timeouts.first_byte` unless set.
    #[schemars(with = "Option<Positive>")]
    pub first_byte: Option<Span>,
    /// As `timeouts.idle` unless set, but at least 10m for /v1/realtime.
    #[schemars(with = "Option<Positive>")]
    pub idle: Option<Span>,
    /// As `timeouts.total` unless set.
    pub total: Option<Span>,
    /// As `responses.client_leaves` unless set.
    pub client_leaves: Option<ClientLeaves>,
    /// As `responses.keep_alive` unless set.
    pub keep_alive: Option<Span>,
    /// Ask another endpoint, too, after so long, where asking twice does no harm; 0s, which is never, unless set.
    pub hedge_after: Option<Span>,
}

/// How the requests of one route are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// From the request's end to the response head.
    #[serde(serialize_with = "as_text")]
    pub first_byte: Duration,
    /// Between two pieces of the response.
    #[serde(serialize_with = "as_text")]
    pub idle: Duration,
    /// From the request's head to the response's end; zero sets no limit.
    #[serde(serialize_with = "as_text")]
    pub total: Duration,
    /// What becomes of it when its client leaves.
    pub client_leaves: ClientLeaves,
    /// A stream's client gets a sign of life whenever nothing else has come for so long; zero sends none.
    #[serde(serialize_with = "as_text")]
    pub keep_alive: Duration,
    /// A request that has had no answer for so long is also sent to another endpoint, and the first answer counts; zero
    /// never does that. Only where asking twice does no harm.
    #[serde(serialize_with = "as_text")]
    pub hedge_after: Duration,
}

/// How requests are treated: in general, and by route where that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Treatments {
    /// In general.
    #[serde(rename = "responses", serialize_with = "as_responses")]
    general: Treatment,
    /// By path, as in the table of routes.
    routes: BTreeMap<&'static str, Treatment>,
}

impl Treatments {
    /// One for each line of [`ROUTES`], in its order.
    pub fn by_route(&self) -> [Treatment; ROUTES.len()] {
        ROUTES.each_ref().map(|route| {
            let own = self.routes.get(route.template);
            own.copied().unwrap_or_else(|| default(self.general, route))
        })
    }
}

/// As it stands in the file: the rest of it stands in other sections there.
fn as_responses<S: Serializer>(general: &Treatment, serializer: S) -> Result<S::Ok, S::Error> {
    let mut responses = serializer.serialize_map(Some(2))?;
    responses.serialize_entry("client_leaves", &general.client_leaves)?;
    let keep_alive = format_duration(general.keep_alive).to_string();
    responses.serialize_entry("keep_alive", &keep_alive)?;
    responses.end()
}

/// What holds for a route that sets nothing. In a session nothing may be said for minutes.
fn default(general: Treatment, route: &Route) -> Treatment {
    Treatment {
        idle: match route.action {
            Action::Realtime => general.idle.max(SESSION_IDLE),
            _ => general.idle,
        },
        ..general
    }
}

/// Shortest of the limits between two pieces of a session that sets none.
const SESSION_IDLE: Duration = Duration::from_secs(600);
/// Shortest time between two signs of life.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_millis(100);

pub(super) fn checked(
    timeouts: &Timeouts,
    responses: ResponsesFile,
    given: &BTreeMap<String, RouteFile>,
    problems: &mut Vec<Problem>,
) -> Treatments {
    let or = |given: Option<Span>, general| given.map_or(general, |span| span.0);
    let general = Treatment {
        first_byte: timeouts.first_byte,
        idle: timeouts.idle,
        total: timeouts.total,
        client_leaves: responses.client_leaves.unwrap_or_default(),
        keep_alive: or(responses.keep_alive, Duration::ZERO),
        hedge_after: Duration::ZERO,
    };
    check("responses", &general, problems);
    let mut routes = BTreeMap::new();
    for (path, own) in given {
        let Some(route) = ROUTES.iter().find(|route| route.template == path) else {
            let known: Vec<&str> = ROUTES.iter().map(|route| route.template).collect();
            problems.push(Problem {
                field: format!("routes.{path}").into(),
                message: format!(
                    "there is no such route; expected one of {}",
                    known.join(", ")
                ),
            });
            continue;
        };
        let general = default(general, route);
        let treatment = Treatment {
            first_byte: or(own.first_byte, general.first_byte),
            idle: or(own.idle, general.idle),
            total: or(own.total, general.total),
            client_leaves: own.client_leaves.unwrap_or(general.client_leaves),
            keep_alive: or(own.keep_alive, general.keep_alive),
            hedge_after: or(own.hedge_after, general.hedge_after),
        };
        if !treatment.hedge_after.is_zero() && !route.is_repeatable() {
            problems.push(Problem {
                field: format!("routes.{path}.hedge_after").into(),
                message: "asking twice would be paid for twice, or do its work twice; expected it for the \
                          list of models, embeddings, moderations, rerank and count_tokens only"
                    .to_owned(),
            });
        }
        check(&format!("routes.{path}"), &treatment, problems);
        routes.insert(route.template, treatment);
    }
    Treatments { general, routes }
}

fn check(section: &str, treatment: &Treatment, problems: &mut Vec<Problem>) {
    let mut require = |holds: bool, field: &str, message: &str| {
        if !holds {
            problems.push(Problem {
                field: format!("{section}.{field}").into(),
                message: message.to_owned(),
            });
        }
    };
    let keep_alive = treatment.keep_alive;
    require(
        keep_alive.is_zero() || keep_alive >= SHORTEST_KEEP_ALIVE,
        "keep_alive",
        "is too short; expected 0s, which sends none, or at least 100ms",
    );
    let wait = match treatment.client_leaves {
        ClientLeaves::DrainFor(limit) => limit,
        ClientLeaves::Cancel | ClientLeaves::Drain => Duration::MAX,
    };
    require(
        !wait.is_zero(),
        "client_leaves.drain_for",
        "0s would end everything at once; expected such as 30s, or cancel",
    );
    // What holds for all is checked where it is set.
    if section != "responses" {
        for (field, limit) in [
            ("first_byte", treatment.first_byte),
            ("idle", treatment.idle),
        ] {
            let message = "0s would end everything at once; expected such as 10s";
            require(!limit.is_zero(), field, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Config, ConfigFile};

    fn built(text: &str) -> Result<Treatments, String> {
        let config = Config::build(ConfigFile::parse(text)?).map_err(|error| error.to_string())?;
        Ok(config.routes)
    }

    fn of(treatments: &Treatments, path: &str) -> Treatment {
        let index = ROUTES.iter().position(|route| route.template == path);
        treatments.by_route()[index.unwrap()]
    }

    #[test]
    fn a_route_differs_in_what_it_sets() {
        let treatments = built(
            "{timeouts: {idle: 7s}, responses: {client_leaves: drain}, routes: {/v1/messages: {first_byte: 5m, \
             client_leaves: {drain_for: 30s}, keep_alive: 15s}}}",
        )
        .unwrap();
        let chat = of(&treatments, "/v1/chat/completions");
        assert_eq!(chat, treatments.general);
        assert_eq!(chat.client_leaves, ClientLeaves::Drain);
        let session = of(&treatments, "/v1/realtime");
        assert_eq!(session.idle, Duration::from_secs(600));
        let messages = of(&treatments, "/v1/messages");
        assert_eq!(messages.first_byte, Duration::from_secs(300));
        assert_eq!(messages.idle, Duration::from_secs(7));
        assert_eq!(messages.total, Duration::ZERO);
        let limit = Duration::from_secs(30);
        assert_eq!(messages.client_leaves, ClientLeaves::DrainFor(limit));
        assert_eq!(messages.keep_alive, Duration::from_secs(15));
        let shown = serde_json::to_value(&treatments).unwrap();
        let messages = &shown["routes"]["/v1/messages"];
        assert_eq!(messages["client_leaves"]["drain_for"], "30s");
        assert_eq!(
            shown["responses"],
            json!({"client_leaves": "drain", "keep_alive": "0s"})
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, start) in [
            (
                "routes: {/v1/chat: {}}",
                "routes./v1/chat: there is no such route; expected one of /v1/chat/completions",
            ),
            (
                "routes: {/v1/files: {idle: 0s}}",
                "routes./v1/files.idle: 0s would",
            ),
            (
                "routes: {/v1/files: {keep_alive: 1ms}}",
                "routes./v1/files.keep_alive: is too short",
            ),
            (
                "routes: {/v1/chat/completions: {hedge_after: 1s}}",
                "routes./v1/chat/completions.hedge_after: asking twice would be paid for twice",
            ),
            (
                "responses: {keep_alive: 1ms}",
                "responses.keep_alive: is too short",
            ),
            (
                "responses: {client_leaves: {drain_for: 0s}}",
                "responses.client_leaves.drain_for: 0s",
            ),
            (
                "responses: {client_leaves: stay}",
                "responses.client_leaves: ",
            ),
            (
                "routes: {/v1/files: {client_leaves: {drain_for: long}}}",
                "routes./v1/files.client_leaves",
            ),
        ] {
            let error = built(text).unwrap_err();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
