//! The one table of what the data port serves.
//!
//! Every path stands here with its methods, dialect and treatment; metric and
//! log labels are its templates, never a raw path.

/// Whose error and stream format a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's API.
    OpenAi,
    /// Anthropic's API.
    Anthropic,
}

/// What the proxy does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass it on.
    Forward,
    /// Pass it on, or answer from the model list's cache.
    Models,
    /// Pass it on, as a WebSocket.
    Realtime,
    /// `healthy`, or with a query whether traffic should come.
    Health,
    /// The caller's own limits.
    RateLimit,
    /// A notice of a payment, verified and handed on; where none are taken, a path like any unknown one.
    Webhook,
}

/// What a request asks of a model, in OpenTelemetry's terms (`gen_ai.operation.name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A conversation: chat completions, responses, messages.
    Chat,
    /// The continuation of a text.
    TextCompletion,
    /// Vectors of texts.
    Embeddings,
    /// Pictures. Like the ones below not one of OpenTelemetry's names, which allows for others.
    Images,
    /// Speech, or what has been said.
    Audio,
    /// An order of documents.
    Rerank,
    /// A session over a WebSocket.
    Realtime,
}

impl Operation {
    /// How many there are.
    pub const COUNT: usize = Self::Realtime as usize + 1;

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Rerank => "rerank",
            Self::Realtime => "realtime",
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Route {
    /// The path; `{id}` stands for one segment, `*` at the end for the rest.
    pub template: &'static str,
    /// Allowed methods, in the form of the `Allow` field.
    pub methods: &'static str,
    /// Dialect of the errors the proxy makes.
    pub dialect: Dialect,
    /// Treatment.
    pub action: Action,
    /// What it asks of a model, if its requests carry one and cost tokens.
    pub operation: Option<Operation>,
    /// Its streams say what they used if `stream_options` asks for it, and not of themselves.
    pub has_stream_options: bool,
}

/// Paths whose requests are for a model and cost nothing.
const FREE: [&str; 2] = ["/v1/messages/count_tokens", "/v1/moderations"];

impl Route {
    /// Whether asking twice does no harm: nothing is stored or begun, and next to nothing is paid for.
    pub fn is_repeatable(&self) -> bool {
        let is_lookup = matches!(self.action, Models) || self.template.starts_with("/v1/models");
        is_lookup
            || matches!(self.operation, Some(Embeddings | Rerank))
            || FREE.contains(&self.template)
    }

    /// Whether the bodies of its requests name a model, be it that they cost tokens or not.
    pub fn names_model(&self) -> bool {
        self.operation.is_some() || FREE.contains(&self.template)
    }

    /// Whether it is about what is stored upstream, so that no other can serve it.
    pub fn is_stored(&self) -> bool {
        let begins = |start| self.template.starts_with(start);
        begins("/v1/files") || begins("/v1/batches") || begins("/v1/models")
    }
}

const fn route(
    methods: &'static str,
    template: &'static str,
    dialect: Dialect,
    action: Action,
    operation: Option<Operation>,
) -> Route {
    Route {
        template,
        methods,
        dialect,
        action,
        operation,
        has_stream_options: false,
    }
}

const fn with_stream_options(template: &'static str, operation: Operation) -> Route {
    Route {
        has_stream_options: true,
        ..route("POST", template, OpenAi, Forward, Some(operation))
    }
}

use Action::{Forward, Health, Models, RateLimit};
use Dialect::{Anthropic, OpenAi};
use Operation::{Audio, Chat, Embeddings, Images, Rerank, TextCompletion};

/// All routes. Order matters only where a template with `*` could also match.
pub static ROUTES: [Route; 21] = [
    with_stream_options("/v1/chat/completions", Chat),
    with_stream_options("/v1/completions", TextCompletion),
    route("POST", "/v1/embeddings", OpenAi, Forward, Some(Embeddings)),
    route("POST", "/v1/responses", OpenAi, Forward, Some(Chat)),
    route("POST", "/v1/messages", Anthropic, Forward, Some(Chat)),
    route(
        "POST",
        "/v1/messages/count_tokens",
        Anthropic,
        Forward,
        None,
    ),
    route(
        "POST",
        "/minimax/v1/messages",
        Anthropic,
        Forward,
        Some(Chat),
    ),
    route("POST", "/v1/images/*", OpenAi, Forward, Some(Images)),
    route("POST", "/v1/audio/*", OpenAi, Forward, Some(Audio)),
    route("POST", "/v1/moderations", OpenAi, Forward, None),
    route("POST", "/v1/rerank", OpenAi, Forward, Some(Rerank)),
    route(
        "GET",
        "/v1/realtime",
        OpenAi,
        Action::Realtime,
        Some(Operation::Realtime),
    ),
    route("GET", "/v1/models", OpenAi, Models, None),
    route("GET", "/v1/models/{id}", OpenAi, Forward, None),
    route("GET, POST", "/v1/files", OpenAi, Forward, None),
    route("GET, POST, DELETE", "/v1/files/*", OpenAi, Forward, None),
    route("GET, POST", "/v1/batches", OpenAi, Forward, None),
    route("GET, POST", "/v1/batches/*", OpenAi, Forward, None),
    route("GET, HEAD", "/health", OpenAi, Health, None),
    route("GET", "/v1/rate_limit", OpenAi, RateLimit, None),
    route("POST", "/webhooks/payment", OpenAi, Action::Webhook, None),
];

/// The label of requests that match no route.
pub const UNKNOWN: &str = "unknown";

/// Index into [`ROUTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteId(u8);

impl RouteId {
    /// The route's line in the table.
    #[inline]
    pub fn get(self) -> &'static Route {
        // An id is only made by `find`, from the table itself.
        ROUTES.get(usize::from(self.0)).unwrap_or(&ROUTES[0])
    }

    /// Position in the table, for per-route arrays.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Finds the route of a path (without query), whatever the method.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the table has far fewer than 256 lines"
)]
pub fn find(path: &[u8]) -> Option<RouteId> {
    ROUTES
        .iter()
        .position(|route| matches(route.template.as_bytes(), path))
        .map(|index| RouteId(index as u8))
}

/// Whether `method` is one of the route's.
pub fn allows(route: &Route, method: &[u8]) -> bool {
    route
        .methods
        .split(", ")
        .any(|allowed| allowed.as_bytes() == method)
}

/// The dialect in which to refuse a path that is in no table.
pub fn dialect_of_unknown(path: &[u8]) -> Dialect {
    if path.starts_with(b"/v1/messages") || path.starts_with(b"/minimax/") {
        Anthropic
    } else {
        OpenAi
    }
}

fn matches(template: &[u8], path: &[u8]) -> bool {
    if let Some(prefix) = template.strip_suffix(b"*") {
        return path.strip_prefix(prefix).is_some_and(is_tail);
    }
    // A model's id may contain a slash, as `deepseek-ai/DeepSeek-V3` does.
    if let Some(prefix) = template.strip_suffix(b"{id}") {
        return path.strip_prefix(prefix).is_some_and(is_tail);
    }
    template == path
}

/// A non-empty rest of a path without empty or dot segments, which another
/// server could read as a different path (`/v1/files/../chat/completions`).
fn is_tail(tail: &[u8]) -> bool {
    decode_separators(tail)
        .split(|byte| *byte == b'/')
        // What follows a semicolon is a parameter to some servers, which then
        // see `..` in `..;x`.
        .filter_map(|segment| segment.split(|byte| *byte == b';').next())
        .all(|name| !matches!(name, b"" | b"." | b".."))
}

/// Undoes the encodings that can make a segment mean another path: of the dot,
/// of the slash, of the semicolon, and the backslash some servers take for a
/// slash; and those encodings encoded again (`%252e`), however often.
fn decode_separators(tail: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(tail.len());
    let mut rest = tail;
    while let Some((first, after_one)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'%', digits @ ..] => decode_escape(digits).unwrap_or((b'%', after_one)),
            [b'\\', after @ ..] => (b'/', after),
            _ => (*first, after_one),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}

/// The separator that stands behind a percent sign, and what follows it.
fn decode_escape(mut digits: &[u8]) -> Option<(u8, &[u8])> {
    while let [b'2', b'5', inner @ ..] = digits {
        digits = inner;
    }
    match digits {
        [b'2', b'e' | b'E', after @ ..] => Some((b'.', after)),
        [b'2', b'f' | b'F', after @ ..] | [b'5', b'c' | b'C', after @ ..] => Some((b'/', after)),
        [b'3', b'b' | b'B', after @ ..] => Some((b';', after)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
