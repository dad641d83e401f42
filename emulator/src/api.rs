//! What the emulator answers, by route. One file per endpoint family below `api/`.
//!
//! `exchange.rs` builds an [`Ask`] from a request and gets an `Answer` back. Token counts are
//! functions of the request alone, so that a test can predict them:
//!
//! * prompt tokens: the UTF-8 bytes of all texts, divided by 4, rounded up;
//! * completion tokens: `max_tokens` (or `max_completion_tokens`, `max_output_tokens`), else 16; 5 in an
//!   answer that calls a tool, one for each piece of the call's arguments.
//!
//! An answer calls the first of a request's `tools`, unless `tool_choice` is none or the newest message
//! brings a tool's result. Definitions and calls of tools are no texts, results are.

pub(crate) mod answer;
mod chat;
mod completions;
mod embeddings;
mod messages;
mod models;
mod moderations;
mod request;
mod responses;
pub(crate) mod sse;
mod stored;
mod text;
mod tools;

use bytes::Bytes;
use http::{Method, StatusCode, request::Parts};

use crate::bill::Use;
use crate::fault::RetryHints;
use crate::routes::Route;
use crate::server::Shared;
use answer::Answer;
use request::Request;

/// A request and what an answer to it may depend on.
pub(crate) struct Ask<'a> {
    pub(crate) route: Route,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) body: &'a Bytes,
    pub(crate) settings: Settings,
}

/// What identifies and times an answer. Constant without timestamps.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Part of the answer's id.
    pub(crate) number: u64,
    /// Seconds since the Unix epoch.
    pub(crate) created: u64,
    pub(crate) pace: sse::Pace,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(shared: &Shared, route: Route, head: &'a Parts, body: &'a Bytes) -> Self {
        let (number, created) = if shared.timestamps {
            let seconds = crate::exchange::unix_ns() / 1_000_000_000;
            (shared.answer_numbers.next(), seconds)
        } else {
            (0, 0)
        };
        Self {
            route,
            method: &head.method,
            path: head.uri.path(),
            body,
            settings: Settings {
                number,
                created,
                pace: sse::Pace {
                    interval: shared.token_interval,
                    stamped: shared.timestamps,
                },
            },
        }
    }
}

/// The answer to a request whose key is good.
pub(crate) fn answer(ask: &Ask<'_>) -> Answer {
    let dialect = ask.route.dialect();
    if ask.route == Route::Other {
        let message = format!("Invalid URL ({} {})", ask.method, ask.path);
        return Answer::error(dialect, StatusCode::NOT_FOUND, None, &message);
    }
    if !ask.route.methods().contains(ask.method) {
        let message = format!("Not allowed to {} on {}", ask.method, ask.path);
        return Answer::error(dialect, StatusCode::METHOD_NOT_ALLOWED, None, &message);
    }
    let settings = &ask.settings;
    match ask.route {
        Route::ChatCompletions => with_model(ask, chat::answer),
        Route::Completions => with_model(ask, completions::answer),
        Route::Embeddings => with_model(ask, embeddings::answer),
        Route::Responses => with_model(ask, responses::answer),
        Route::Messages | Route::MinimaxMessages => with_model(ask, messages::answer),
        Route::CountTokens => with_model(ask, messages::count),
        Route::Moderations => with_body(ask, moderations::answer),
        Route::Rerank => with_body(ask, stored::rerank),
        Route::Realtime => Answer::bad_request(dialect, "this path is a WebSocket"),
        Route::Models => models::list(),
        Route::Model => models::one(ask.path),
        Route::Images => stored::images(settings),
        Route::Audio => stored::audio(ask.path),
        Route::Files => stored::files(ask),
        Route::Batches => stored::batches(ask),
        Route::Other => Answer::status(dialect, 404, RetryHints::default()),
    }
}

type Answering = fn(&Request<'_>, &Settings) -> Answer;

fn with_model(ask: &Ask<'_>, answer: Answering) -> Answer {
    with_body(ask, |request, settings| {
        if request.model.is_empty() {
            let dialect = ask.route.dialect();
            return Answer::bad_request(dialect, "you must provide a model parameter");
        }
        let used = Use {
            model: request.model.clone().into_owned(),
            input: request.prompt_tokens(),
            output: match ask.route {
                Route::Embeddings => 0,
                _ => request.completion_tokens(),
            },
        };
        Answer {
            used: (ask.route != Route::CountTokens).then_some(used),
            ..answer(request, settings)
        }
    })
}

fn with_body(ask: &Ask<'_>, answer: impl Fn(&Request<'_>, &Settings) -> Answer) -> Answer {
    match serde_json::from_slice::<Request<'_>>(ask.body) {
        Ok(request) => answer(&request, &ask.settings),
        Err(error) => {
            let message = format!("We could not parse the JSON body of your request: {error}");
            Answer::bad_request(ask.route.dialect(), &message)
        }
    }
}
