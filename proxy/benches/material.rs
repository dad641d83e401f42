//! What is read in the benches: a request as OpenAI's client for Python sends it, and what upstream answers, both of about one
//! kilobyte.

/// The request's body.
pub(crate) const QUESTION: &str = concat!(
    r#"{"messages":[{"role":"system","content":"You are a helpful assistant for platform engineers. "#,
    "Answer briefly, name the trade-offs, and say so when a question cannot be answered from what you were given. Prefer ",
    "measured figures over opinions, and give their units. When a configuration file is asked for, give the whole file, with ",
    "a comment for every line that a colleague would ask about, and nothing that is not needed.",
    r#""},{"role":"user","content":""#,
    "We run a reverse proxy between our services and an inference API, on three nodes with two cores each. Every request ",
    "opens a new TLS connection to the API at present. Explain in a few sentences what a pool of kept-alive connections would ",
    "change for the latency of a request, for the CPU time on our side, and for the number of sockets in TIME_WAIT; and what ",
    "we would have to watch out for when the API closes idle connections after a minute.",
    r#""}],"model":"gpt-4.1","max_tokens":512,"temperature":0.2,"top_p":1,"user":"bench"}"#,
);

/// The answer's body.
pub(crate) const ANSWER: &str = concat!(
    r#"{"id":"chatcmpl-CfKzq3pVnT8Yd1mRxW6aLbE2sHu0J","object":"chat.completion","created":1764000000,"#,
    r#""model":"gpt-4.1-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    "A reverse proxy keeps a small set of connections to the upstream open and hands them from one request to the next. ",
    "Opening a connection costs one round trip for TCP and one or two more for TLS, and the handshake costs both sides CPU ",
    "time as well; a reused connection costs neither. What remains per request is reading it, deciding where it goes, writing ",
    "it, and the same again for the answer.",
    r#"","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":187,"completion_tokens":86,"total_tokens":273,"#,
    r#""prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"#,
    r#""completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"#,
    r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"#,
    r#""service_tier":"default","system_fingerprint":"fp_51e1070cf2"}"#,
);

/// The request's head.
pub(crate) fn request_head() -> Vec<u8> {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\n\
         Host: localhost:8080\r\n\
         Accept-Encoding: gzip, deflate\r\n\
         Connection: keep-alive\r\n\
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
         Content-Length: {}\r\n\
         \r\n",
        QUESTION.len()
    )
    .into_bytes()
}

/// The answer's head, with the fields that the API sends.
pub(crate) fn answer_head() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n\
         Date: Mon, 24 Nov 2025 16:00:00 GMT\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {}\r\n\
         Connection: keep-alive\r\n\
         access-control-expose-headers: X-Request-ID\r\n\
         openai-organization: org-bench\r\n\
         openai-processing-ms: 812\r\n\
         openai-project: proj_bench\r\n\
         openai-version: 2020-10-01\r\n\
         x-envoy-upstream-service-time: 818\r\n\
         x-ratelimit-limit-requests: 10000\r\n\
         x-ratelimit-limit-tokens: 2000000\r\n\
         x-ratelimit-remaining-requests: 9999\r\n\
         x-ratelimit-remaining-tokens: 1999813\r\n\
         x-ratelimit-reset-requests: 6ms\r\n\
         x-ratelimit-reset-tokens: 5ms\r\n\
         x-request-id: req_51e1070cf2a94f6e8f0f2c1d3b7a9e55\r\n\
         strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n\
         x-content-type-options: nosniff\r\n\
         alt-svc: h3=\":443\"; ma=86400\r\n\
         \r\n",
        ANSWER.len()
    )
    .into_bytes()
}

/// One event of a stream with a token, and the last ones, in OpenAI's dialect.
pub(crate) fn stream(tokens: usize) -> Vec<u8> {
    let head = r#"data: {"id":"chatcmpl-CfKzq3pVnT8Yd1mRxW6aLbE2sHu0J","object":"chat.completion.chunk","created":1764000000,"model":"gpt-4.1-2025-04-14","service_tier":"default","system_fingerprint":"fp_51e1070cf2","#;
    let mut stream = String::new();
    for _ in 0..tokens {
        stream.push_str(head);
        stream.push_str(r#""choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x7Qw"}"#);
        stream.push_str("\n\n");
    }
    stream.push_str(head);
    stream.push_str(
        r#""choices":[],"usage":{"prompt_tokens":187,"completion_tokens":86,"total_tokens":273}}"#,
    );
    stream.push_str("\n\ndata: [DONE]\n\n");
    stream.into_bytes()
}
