//! The requests that are sent: chat completions as the official SDK sends them, short ones and long ones.

use std::time::Duration;

use super::Target;
use crate::upstream::Pacing;

/// A prompt that brings the body to about one kilobyte.
const BODY: &str = concat!(
    r#"{"messages":[{"role":"system","content":"You are a helpful assistant for platform engineers. "#,
    "Answer briefly, name the trade-offs, and say so when a question cannot be answered from ",
    "what you were given. Prefer measured figures over opinions, and give their units. When a ",
    "configuration file is asked for, give the whole file, with a comment for every line that a ",
    "colleague would ask about, and nothing that is not needed.",
    r#""},{"role":"user","content":""#,
    "We run a reverse proxy between our services and an inference API, on three nodes with two ",
    "cores each. Every request opens a new TLS connection to the API at present. Explain in a few ",
    "sentences what a pool of kept-alive connections would change for the latency of a request, ",
    "for the CPU time on our side, and for the number of sockets in TIME_WAIT; and what we would ",
    "have to watch out for when the API closes idle connections after a minute.",
    r#""}],"model":"gpt-4.1","max_tokens":512,"temperature":0.2,"top_p":1,"user":"bench"}"#,
);

/// What comes before and after the text of a long prompt.
const PROMPT: [&str; 2] = [
    r#"{"messages":[{"role":"user","content":""#,
    r#""}],"model":"gpt-4.1","max_tokens":512,"user":"bench"}"#,
];

/// What is asked.
const PATH: &str = "/v1/chat/completions";

/// The text of a long prompt, over and over.
const TEXT: &str = "Each request opens a new connection, so most of them wait for round trips. ";

/// What the body's `user` is, unless it stands for a query.
const USER: &str = r#""user":"bench""#;

/// The request's bytes, for a server on loopback port `port`; `connection` is what it says about more requests.
pub(super) fn chat_completion(port: u16, connection: &str) -> Vec<u8> {
    request(PATH, port, connection, BODY)
}

/// A request with a body of so many bytes, for `port`; `close` asks upstream to end its connection with the answer.
pub(crate) fn prompt(port: u16, bytes: usize, close: bool) -> Vec<u8> {
    let path = match close {
        true => "/v1/chat/completions?close",
        false => PATH,
    };
    request(path, port, "keep-alive", &text(bytes))
}

/// A request with a body of so many bytes.
pub(crate) fn sized(target: &Target, bytes: usize) -> Vec<u8> {
    asking(target, None, "keep-alive", &text(bytes))
}

/// A request with the usual prompt and a name that access logs have; `think` is for how long upstream shall think, in
/// whole microseconds.
pub(crate) fn named(target: &Target, name: &str, think: Option<Duration>) -> Vec<u8> {
    let query = think.map(|time| format!("think={}", time.as_micros()));
    let connection = format!("keep-alive\r\nx-request-id: {name}");
    asking(target, query, &connection, BODY)
}

/// A request for a stream, with the usual prompt; upstream is told its pacing.
pub(crate) fn stream(target: &Target, pacing: Pacing) -> Vec<u8> {
    let body = BODY.replacen('{', r#"{"stream":true,"#, 1);
    asking(target, Some(pacing.query()), "keep-alive", &body)
}

/// The usual request, as this target gets it.
pub(super) fn usual(target: &Target) -> Vec<u8> {
    asking(target, None, "keep-alive", BODY)
}

/// Asks upstream for something in the query, or in the body where a gateway does not pass the query on.
fn asking(target: &Target, query: Option<String>, connection: &str, body: &str) -> Vec<u8> {
    let (port, more) = (target.port(), target.fields());
    let connection = format!("{connection}{more}");
    match query {
        None => request(PATH, port, &connection, body),
        Some(query) if target.is_gateway() => {
            let body = body.replacen(USER, &format!(r#""user":"{query}""#), 1);
            request(PATH, port, &connection, &body)
        }
        Some(query) => request(&format!("{PATH}?{query}"), port, &connection, body),
    }
}

/// A body of so many bytes.
fn text(bytes: usize) -> String {
    let [before, after] = PROMPT;
    let text = bytes.saturating_sub(before.len() + after.len());
    let text: String = TEXT.chars().cycle().take(text).collect();
    format!("{before}{text}{after}")
}

fn request(path: &str, port: u16, connection: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\n\
         Host: localhost:{port}\r\n\
         Accept-Encoding: gzip, deflate\r\n\
         Connection: {connection}\r\n\
         Accept: application/json\r\n\
         Content-Type: application/json\r\n\
         User-Agent: OpenAI/Python 2.8.1\r\n\
         X-Stainless-Lang: python\r\n\
         X-Stainless-Package-Version: 2.8.1\r\n\
         X-Stainless-OS: Linux\r\n\
         X-Stainless-Arch: x64\r\n\
         X-Stainless-Runtime: CPython\r\n\
         X-Stainless-Runtime-Version: 3.11.2\r\n\
         Authorization: Bearer client\r\n\
         X-Stainless-Async: false\r\n\
         x-stainless-retry-count: 0\r\n\
         x-stainless-read-timeout: 600\r\n\
         Content-Length: {length}\r\n\
         \r\n\
         {body}",
        length = body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_as_long_as_asked_for() {
        for bytes in [200, 4_000, 400_000] {
            let request = String::from_utf8(prompt(80, bytes, true)).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.len(), bytes);
            assert!(head.contains(&format!("Content-Length: {bytes}")));
            assert!(head.contains("completions?close HTTP/1.1"));
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }

    #[test]
    fn a_stream_is_asked_for_in_the_body_and_paced_in_the_query() {
        let request = String::from_utf8(stream(&Target::plain(80), Pacing::AT_ONCE)).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/chat/completions?stream="));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["stream"], true);
    }

    #[test]
    fn a_gateway_is_asked_in_the_body_and_has_fields_of_its_own() {
        let target = Target::gateway(80, "x-portkey-provider: openai\r\n");
        let text = |request: Vec<u8>| String::from_utf8(request).unwrap();
        let request = text(named(&target, "n", Some(Duration::from_micros(7))));
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
        assert!(
            head.contains("\r\nx-portkey-provider: openai\r\nAccept: "),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["user"], "think=7");
        let request = text(stream(&target, Pacing::AT_ONCE));
        assert!(request.contains(r#""user":"stream=20,0""#), "{request}");
        let request = text(usual(&target));
        assert!(request.contains(USER) && request.contains("x-portkey-provider"));
        assert_eq!(
            text(usual(&Target::plain(80))).into_bytes(),
            chat_completion(80, "keep-alive")
        );
    }

    #[test]
    fn a_named_request_says_for_how_long_to_think() {
        let time = Duration::from_micros(6_450);
        let request =
            String::from_utf8(named(&Target::plain(80), "bench-1-2", Some(time))).unwrap();
        assert!(request.starts_with("POST /v1/chat/completions?think=6450 HTTP/1.1\r\n"));
        assert!(request.contains("\r\nConnection: keep-alive\r\nx-request-id: bench-1-2\r\n"));
        let other = String::from_utf8(named(&Target::plain(80), "settle", None)).unwrap();
        assert!(other.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    }

    #[test]
    fn body_is_about_a_kilobyte_of_json() {
        assert!((900..1200).contains(&BODY.len()), "{}", BODY.len());
        serde_json::from_str::<serde_json::Value>(BODY).unwrap();
    }
}
