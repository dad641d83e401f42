//! The table of everything the emulator answers: method, path, dialect.
//!
//! `exchange.rs` looks a request up here and `api.rs` answers by route; `stats.rs` counts by it.

use http::Method;

/// Whose error shape a route speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
}

/// What a path is for. The discriminant indexes the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    ChatCompletions,
    Completions,
    Embeddings,
    Responses,
    Messages,
    CountTokens,
    MinimaxMessages,
    Moderations,
    Rerank,
    Realtime,
    Models,
    Model,
    Images,
    Audio,
    Files,
    Batches,
    /// Nothing the API knows.
    Other,
}

struct Entry {
    route: Route,
    methods: &'static [Method],
    /// A `{id}` at the end stands for one segment, a `*` for anything or nothing.
    template: &'static str,
    dialect: Dialect,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const ANY: &[Method] = &[Method::GET, Method::POST, Method::DELETE];

const fn entry(
    route: Route,
    methods: &'static [Method],
    template: &'static str,
    dialect: Dialect,
) -> Entry {
    Entry {
        route,
        methods,
        template,
        dialect,
    }
}

use Dialect::{Anthropic, OpenAi};

/// In the order of the enum, which `index_is_position` checks.
const TABLE: [Entry; Route::COUNT] = [
    entry(Route::ChatCompletions, POST, "/v1/chat/completions", OpenAi),
    entry(Route::Completions, POST, "/v1/completions", OpenAi),
    entry(Route::Embeddings, POST, "/v1/embeddings", OpenAi),
    entry(Route::Responses, POST, "/v1/responses", OpenAi),
    entry(Route::Messages, POST, "/v1/messages", Anthropic),
    entry(
        Route::CountTokens,
        POST,
        "/v1/messages/count_tokens",
        Anthropic,
    ),
    entry(
        Route::MinimaxMessages,
        POST,
        "/minimax/v1/messages",
        Anthropic,
    ),
    entry(Route::Moderations, POST, "/v1/moderations", OpenAi),
    entry(Route::Rerank, POST, "/v1/rerank", OpenAi),
    entry(Route::Realtime, GET, "/v1/realtime", OpenAi),
    entry(Route::Models, GET, "/v1/models", OpenAi),
    entry(Route::Model, GET, "/v1/models/{id}", OpenAi),
    entry(Route::Images, ANY, "/v1/images/*", OpenAi),
    entry(Route::Audio, ANY, "/v1/audio/*", OpenAi),
    entry(Route::Files, ANY, "/v1/files*", OpenAi),
    entry(Route::Batches, ANY, "/v1/batches*", OpenAi),
    entry(Route::Other, &[], "other", OpenAi),
];

impl Route {
    pub(crate) const COUNT: usize = 17;

    /// The route of a path, whatever the method.
    pub(crate) fn of(path: &str) -> Self {
        let mut entries = TABLE.iter();
        let found = entries.find(|entry| matches(entry.template, path));
        found.map_or(Self::Other, |entry| entry.route)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|entry| entry.route)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn template(self) -> &'static str {
        TABLE[self.index()].template
    }

    pub(crate) fn dialect(self) -> Dialect {
        TABLE[self.index()].dialect
    }

    pub(crate) fn methods(self) -> &'static [Method] {
        TABLE[self.index()].methods
    }
}

fn matches(template: &str, path: &str) -> bool {
    if let Some(prefix) = template.strip_suffix('*') {
        let rest = path.strip_prefix(prefix);
        return rest
            .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'));
    }
    if let Some(prefix) = template.strip_suffix("{id}") {
        let id = path.strip_prefix(prefix);
        return id.is_some_and(|id| !id.is_empty() && !id.contains('/'));
    }
    template == path
}

#[cfg(test)]
mod tests;
