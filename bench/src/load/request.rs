//! The request that is sent: a chat completion as the official SDK sends it.

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

/// The request's bytes, for a server on loopback port `port`; `connection` is what it says about more requests.
pub(super) fn chat_completion(port: u16, connection: &str) -> Vec<u8> {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\n\
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
         {BODY}",
        length = BODY.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_about_a_kilobyte_of_json() {
        assert!((900..1200).contains(&BODY.len()), "{}", BODY.len());
        serde_json::from_str::<serde_json::Value>(BODY).unwrap();
    }
}
