//! What passes through the proxy, and what changes on the way.

use std::sync::mpsc;

use crate::harness::client::{Client, Reply};
use crate::harness::h2::H2;
use crate::harness::upstream::{Scripted, read_head};
use crate::harness::{CHAT, EMULATOR_KEY, MESSAGES, QUESTION, Rig, STREAMED};

/// What the emulator says itself to the same request.
fn directly(rig: &Rig, path: &str, body: &str) -> Reply {
    let key = format!("Bearer {EMULATOR_KEY}");
    let fields = [("authorization", key.as_str())];
    rig.direct().request("POST", path, &fields, body.as_bytes())
}

fn post_with(rig: &Rig, fields: &[(&str, &str)]) -> Reply {
    let body = QUESTION.as_bytes();
    let reply = rig.client().request("POST", CHAT, fields, body);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

#[test]
fn answers_are_the_bytes_upstream_sent() {
    let rig = Rig::builder()
        .emulator(|emulator| emulator.timestamps(false))
        .start();
    for path in [CHAT, MESSAGES, "/minimax/v1/messages"] {
        for body in [QUESTION, STREAMED] {
            let through = rig.post(path, body);
            let direct = directly(&rig, path, body);
            assert_eq!((through.status, direct.status), (200, 200), "{path}");
            assert!(through.complete && direct.complete);
            assert_eq!(through.text(), direct.text(), "{path}");
            let content_type = through.header("content-type");
            assert_eq!(content_type, direct.header("content-type"));
        }
    }
    let ok = format!("holysheep_http_requests_total{{route=\"{CHAT}\",status=\"200\"}}");
    rig.wait_metric(&ok, 2.0);
    let upstream = "holysheep_upstream_requests_total{upstream=\"holysheep\",outcome=\"2xx\"}";
    rig.wait_metric(upstream, 6.0);
}

#[test]
fn paths_reach_upstream_as_they_are() {
    let rig = Rig::start();
    for path in [
        CHAT,
        MESSAGES,
        "/minimax/v1/messages",
        "/v1/messages/count_tokens?beta=true",
        "/v1/chat/completions?a=b&c=%20d&&e",
        "/v1/files/file-1%20x?purpose=",
    ] {
        let reply = rig.post(path, QUESTION);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(rig.last_request().path_and_query, path);
    }
    let models = rig.get("/v1/models/deepseek-ai%2Fv3?x=y");
    assert_eq!(models.error(), None);
    let last = rig.last_request();
    assert_eq!(last.path_and_query, "/v1/models/deepseek-ai%2Fv3?x=y");
}

#[test]
fn a_prefix_of_the_base_url_stands_before_the_path() {
    let (heads, seen) = mpsc::channel();
    let upstream =
        Scripted::answering_and_noting(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", heads);
    let config = upstream.config().replace("/v1'", "/relay/v1'");
    let rig = Rig::with(&config);
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    let head = seen.recv().unwrap();
    assert!(
        head.starts_with("POST /relay/v1/chat/completions HTTP/1.1\r\n"),
        "{head}"
    );
}

#[test]
fn an_absolute_target_is_forwarded_in_origin_form() {
    let rig = Rig::start();
    let target = "http://somewhere.else:99/v1/chat/completions?x=1";
    let reply = rig
        .client()
        .request("POST", target, &[], QUESTION.as_bytes());
    assert_eq!(reply.status, 200);
    assert_eq!(
        rig.last_request().path_and_query,
        "/v1/chat/completions?x=1"
    );
}

#[test]
fn unknown_fields_pass_in_both_directions() {
    let rig = Rig::start();
    let reply = post_with(
        &rig,
        &[
            ("X-Stainless-Lang", "python"),
            ("openai-organization", "org; a=\"b\""),
            ("x-twice", "1"),
            ("x-twice", "2"),
            ("content-type", "application/json"),
            ("accept-language", "de"),
        ],
    );
    let request = rig.last_request();
    assert_eq!(request.header("x-stainless-lang"), Some("python"));
    assert_eq!(request.header("openai-organization"), Some("org; a=\"b\""));
    assert_eq!(request.headers.get_all("x-twice").iter().count(), 2);
    assert_eq!(request.header("accept-language"), Some("de"));
    assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("10000"));
    assert!(reply.header("date").is_some());
}

#[test]
fn hop_by_hop_request_fields_end_here() {
    let rig = Rig::start();
    post_with(
        &rig,
        &[
            ("connection", "keep-alive, X-Named"),
            ("connection", "x-also-named"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("trailer", "x-checksum"),
            ("upgrade", "h2c"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("x-named", "1"),
            ("X-Also-Named", "2"),
            ("x-kept", "3"),
        ],
    );
    let request = rig.last_request();
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "proxy-authenticate",
        "proxy-authorization",
        "x-named",
        "x-also-named",
        "expect",
    ] {
        assert!(!request.has_header(name), "{name} in {:?}", request.headers);
    }
    assert_eq!(request.header("x-kept"), Some("3"));
}

#[test]
fn hop_by_hop_response_fields_end_here() {
    let upstream = Scripted::answering(
        "HTTP/1.1 200 OK\r\nConnection: X-Named, keep-alive\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nTrailer: x-checksum\r\nUpgrade: h2c\r\n\
         Proxy-Authenticate: Basic\r\nX-Kept: As It Is\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Checksum: 1\r\n\r\n",
    );
    let rig = Rig::with(&upstream.config());
    let reply = rig.post(CHAT, "");
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    for name in [
        "connection",
        "x-named",
        "keep-alive",
        "proxy-connection",
        "trailer",
        "upgrade",
        "proxy-authenticate",
        "x-checksum",
    ] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    let raw = String::from_utf8_lossy(&reply.raw).into_owned();
    assert!(raw.contains("\r\nX-Kept: As It Is\r\n"), "{raw}");
}

#[test]
fn host_is_upstreams() {
    let rig = Rig::start();
    post_with(&rig, &[]);
    let port = rig.emulator.addr().port();
    let host = format!("localhost:{port}");
    assert_eq!(rig.last_request().header("host"), Some(host.as_str()));
    assert_eq!(rig.last_request().server_name.as_deref(), Some("localhost"));
}

#[test]
fn upstream_learns_who_asked() {
    let rig = Rig::start();
    post_with(&rig, &[]);
    let request = rig.last_request();
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert!(!request.has_header("via"));
    assert!(!request.has_header("forwarded"));
}

#[test]
fn the_peer_is_appended_to_x_forwarded_for() {
    let rig = Rig::start();
    // Naming the field in `Connection` must not make the peer disappear.
    post_with(
        &rig,
        &[
            ("connection", "x-forwarded-for, x-real-ip"),
            ("x-forwarded-for", "203.0.113.7"),
            ("Forwarded", "for=203.0.113.9;proto=https"),
            ("X-Forwarded-For", "198.51.100.1, 192.0.2.2"),
            ("x-real-ip", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
        ],
    );
    let request = rig.last_request();
    let list = "203.0.113.7, 198.51.100.1, 192.0.2.2, 127.0.0.1";
    assert_eq!(request.header("x-forwarded-for"), Some(list));
    assert!(!request.has_header("forwarded"));
    assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
}

#[test]
fn via_is_sent_when_asked_for() {
    let rig = Rig::with("upstream: {via: true}");
    let via = || rig.last_request().header("via").map(str::to_owned);
    post_with(&rig, &[]);
    assert_eq!(via().as_deref(), Some("1.1 holysheep-proxy"));
    let mut old = rig.client();
    let length = QUESTION.len();
    old.send(format!(
        "POST {CHAT} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{QUESTION}"
    ));
    assert_eq!(old.reply().status, 200);
    assert_eq!(via().as_deref(), Some("1.0 holysheep-proxy"));
    let client = H2::connect(rig.data_addr());
    assert_eq!(client.post(CHAT, QUESTION).status(), 200);
    assert_eq!(via().as_deref(), Some("2.0 holysheep-proxy"));
}

#[test]
fn a_request_id_is_echoed_and_sent_upstream() {
    let rig = Rig::start();
    let reply = post_with(&rig, &[("X-Request-Id", "job-17/a:b")]);
    assert_eq!(reply.header("x-request-id"), Some("job-17/a:b"));
    assert_eq!(
        rig.last_request().header("x-request-id"),
        Some("job-17/a:b")
    );
    let upstreams = reply.header("x-upstream-request-id").unwrap();
    assert!(upstreams.starts_with("req_emulator"), "{upstreams}");
    assert_eq!(rig.wait_log(1)[0]["request_id"], "job-17/a:b");
}

#[test]
fn a_request_id_is_made_where_none_or_no_good_one_came() {
    let rig = Rig::start();
    let long = "x".repeat(129);
    let mut made = Vec::new();
    for given in [
        None,
        Some(""),
        Some("two words"),
        Some(long.as_str()),
        Some("tab\there"),
    ] {
        let fields: Vec<_> = given.iter().map(|id| ("x-request-id", *id)).collect();
        let reply = post_with(&rig, &fields);
        let id = reply.header("x-request-id").unwrap().to_owned();
        assert_eq!(id.len(), 32, "{given:?} became {id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(rig.last_request().header("x-request-id"), Some(id.as_str()));
        made.push(id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 5, "ids differ");
}

#[test]
fn a_body_keeps_its_framing_and_its_bytes() {
    let rig = Rig::start();
    let body =
        crate::harness::client::chunked(&[&QUESTION.as_bytes()[..10], &QUESTION.as_bytes()[10..]]);
    let fields = [("transfer-encoding", "chunked")];
    let reply = rig.client().request("POST", CHAT, &fields, &body);
    assert_eq!(reply.status, 200);
    let request = rig.last_request();
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
    assert_eq!(&request.body[..], QUESTION.as_bytes());
    post_with(&rig, &[]);
    let length = QUESTION.len().to_string();
    assert_eq!(
        rig.last_request().header("content-length"),
        Some(length.as_str())
    );
}

#[test]
fn a_body_that_ends_with_the_connection_is_chunked_for_the_client() {
    let upstream = Scripted::start(|mut stream| {
        use std::io::Write;
        if read_head(&mut stream).is_some() {
            stream
                .write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
                .unwrap();
        }
    });
    let rig = Rig::with(&upstream.config());
    let mut client = rig.client();
    for _ in 0..2 {
        let reply = client.request("POST", CHAT, &[], b"");
        assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
        assert!(reply.complete);
        assert_eq!(reply.text(), "until the end");
    }
}

#[test]
fn answers_without_a_body_have_none() {
    for status in ["204 No Content", "304 Not Modified"] {
        let upstream = Scripted::answering(format!("HTTP/1.1 {status}\r\n\r\n"));
        let rig = Rig::with(&upstream.config());
        let mut client = rig.client();
        for _ in 0..2 {
            let reply = client.request("GET", "/v1/files/x", &[], b"");
            assert!(status.starts_with(&reply.status.to_string()), "{reply:?}");
            assert_eq!(reply.header("transfer-encoding"), None);
        }
    }
}

#[test]
fn upstreams_own_errors_pass_untouched() {
    let rig = Rig::start();
    for (fault, status) in [
        ("429;retry-after=7", 429),
        ("500", 500),
        ("502", 502),
        ("503", 503),
    ] {
        let reply = rig.faulty(fault);
        assert_eq!((reply.status, reply.error()), (status, None), "{reply:?}");
        assert!(reply.text().contains("a fault of the emulator"));
        let retry_after = (status == 429).then_some("7");
        assert_eq!(reply.header("retry-after"), retry_after);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::start();
    let mut client = rig.client();
    let one = |id| {
        crate::harness::client::request("POST", CHAT, &[("x-request-id", id)], QUESTION.as_bytes())
    };
    client.send([one("a"), one("b"), one("c")].concat());
    for id in ["a", "b", "c"] {
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.header("x-request-id")),
            (200, Some(id))
        );
    }
}

#[test]
fn http_1_0_clients_are_served() {
    let rig = Rig::start();
    let mut client: Client = rig.client();
    let body = STREAMED;
    client.send(format!(
        "POST {CHAT} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let reply = client.reply();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("transfer-encoding"), None);
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
}
