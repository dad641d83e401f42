//! `auth: clients`: who is let in, where their keys go, and that they have names in logs and metrics.

use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client as websocket};

use crate::errors::assert_error;
use crate::harness::clients::{Keyed, stranger};
use crate::harness::h2::{H2, full, request};
use crate::harness::{CHAT, EMULATOR_KEY, MESSAGES, QUESTION, Reply, Rig, eventually};

fn ask(rig: &Rig, path: &str, fields: &[(&str, &str)]) -> Reply {
    rig.client()
        .request("POST", path, fields, QUESTION.as_bytes())
}

fn ask_with(rig: &Rig, key: &str) -> Reply {
    ask(rig, CHAT, &[("authorization", &format!("Bearer {key}"))])
}

#[test]
fn a_key_is_accepted_wherever_sdks_send_it_and_never_passed_on() {
    let client = Keyed::new("team-a", "");
    let rig = Rig::builder().clients(&[&client]).start();
    let (key, bearer) = (client.key.as_str(), client.bearer());
    let lower = format!("bearer  {key}");
    let upstream = format!("Bearer {EMULATOR_KEY}");
    let all: [&[(&str, &str)]; 8] = [
        &[("authorization", &bearer)],
        &[("Authorization", &lower)],
        &[("x-api-key", key)],
        &[("api-key", key)],
        // An SDK sends what it is set up for, and what its environment has besides.
        &[("authorization", "Bearer sk-other"), ("x-api-key", key)],
        &[("authorization", &bearer), ("x-api-key", "sk-other")],
        &[
            ("x-api-key", key),
            ("api-key", key),
            ("authorization", &bearer),
        ],
        &[("connection", "x-api-key"), ("x-api-key", key)],
    ];
    for fields in all {
        for (path, field, value) in [
            (CHAT, "authorization", upstream.as_str()),
            (MESSAGES, "x-api-key", EMULATOR_KEY),
        ] {
            let reply = ask(&rig, path, fields);
            assert_eq!(reply.status, 200, "{path} {fields:?}: {reply:?}");
            let received = rig.last_request();
            let as_bearer = received.header("authorization") == Some(&*upstream);
            assert!(
                as_bearer || received.header(field) == Some(value),
                "{received:?}"
            );
            assert!(!format!("{received:?}").contains(key), "{received:?}");
            assert!(!received.has_header("api-key"));
        }
    }
    rig.wait_metric(
        "holysheep_client_requests_total{client=\"team-a\",outcome=\"2xx\"}",
        16.0,
    );
}

#[test]
fn a_browsers_key_is_accepted_and_taken_out() {
    let client = Keyed::new("browser", "");
    let rig = Rig::builder().clients(&[&client]).start();
    let open = |key: &str| {
        let url = format!("ws://{}/v1/realtime?model=gpt-realtime", rig.data_addr());
        let mut asked = url.into_client_request().unwrap();
        let offered = format!("realtime, openai-insecure-api-key.{key}");
        let fields = asked.headers_mut();
        fields.insert("sec-websocket-protocol", offered.parse().unwrap());
        websocket(asked, rig.connect()).is_ok()
    };
    assert!(!open(&stranger()));
    assert_eq!(rig.emulator.requests().len(), 0);
    assert!(open(&client.key));
    let received = rig.last_request();
    assert_eq!(received.header("sec-websocket-protocol"), Some("realtime"));
    assert!(!format!("{received:?}").contains(&client.key));
    rig.wait_metric(
        "holysheep_client_requests_total{client=\"browser\",outcome=\"1xx\"}",
        1.0,
    );
}

#[test]
fn nobody_else_is_let_in() {
    let client = Keyed::new("team-a", "");
    let rig = Rig::builder().clients(&[&client]).start();
    let bearer = format!("Bearer {}", stranger());
    let wrong = client.with_a_wrong_secret();
    let longer = format!("{}x", client.key);
    let basic = format!("Basic {}", client.key);
    let all: [&[(&str, &str)]; 10] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer ")],
        &[("authorization", &bearer)],
        &[("authorization", &basic)],
        // Without its scheme it is nothing either.
        &[("authorization", &client.key)],
        &[("x-api-key", &wrong)],
        &[("x-api-key", &longer)],
        &[("x-api-key", &client.key[..40])],
        &[("api-key", EMULATOR_KEY)],
    ];
    for fields in all {
        for path in [CHAT, MESSAGES] {
            let reply = ask(&rig, path, fields);
            assert_error(&reply, path, 401, "invalid_api_key");
            let text = reply.text();
            assert!(!text.contains("expired") && !text.contains("disabled"));
        }
    }
    for path in ["/v1/models", "/v1/rate_limit", "/v1/files"] {
        assert_eq!(rig.get(path).status, 401, "{path}");
    }
    assert_eq!(rig.get("/health").status, 200, "a load balancer has no key");
    assert_eq!(rig.get("/nowhere").status, 404);
    assert_eq!(rig.emulator.requests().len(), 0);
    rig.wait_rejected("invalid_api_key", 23);
    let lines = rig.wait_log(25);
    assert!(
        lines.iter().all(|line| line["client"] == "anonymous"),
        "{lines:?}"
    );
    let metrics = rig.admin("/metrics").text();
    assert!(
        !metrics.contains("holysheep_client_requests_total{"),
        "{metrics}"
    );
}

#[test]
fn only_who_has_the_right_key_learns_that_it_is_expired_or_disabled() {
    let old = Keyed::new("old", r#""expires": "2026-01-31""#);
    let off = Keyed::new("off", r#""disabled": true"#);
    let on = Keyed::new(
        "on",
        r#""expires": "2099-01-31T00:00:00Z", "disabled": false"#,
    );
    let rig = Rig::builder().clients(&[&old, &off, &on]).start();
    for (client, why) in [(&old, "expired"), (&off, "disabled")] {
        let reply = ask_with(&rig, &client.key);
        assert_error(&reply, CHAT, 401, "invalid_api_key");
        assert!(reply.text().contains(why), "{reply:?}");
        let reply = ask_with(&rig, &client.with_a_wrong_secret());
        assert_error(&reply, CHAT, 401, "invalid_api_key");
        assert!(!reply.text().contains(why), "{reply:?}");
    }
    assert_eq!(ask_with(&rig, &on.key).status, 200);
    for (state, count) in [("active", 1.0), ("expired", 1.0), ("disabled", 1.0)] {
        let sample = format!("holysheep_clients{{state=\"{state}\"}}");
        rig.wait_metric(&sample, count);
    }
    let expiry = "holysheep_client_expiry_timestamp_seconds{client=\"old\"}";
    // 1 February, when the last day of January is over.
    rig.wait_metric(expiry, 1_769_904_000.0);
}

#[test]
fn a_route_that_is_not_on_the_list_is_refused() {
    let client = Keyed::new(
        "chat",
        r#""routes": ["/v1/chat/completions", "/v1/messages"]"#,
    );
    let rig = Rig::builder().clients(&[&client]).start();
    let bearer = client.bearer();
    let fields = [("authorization", bearer.as_str())];
    for path in [CHAT, MESSAGES] {
        assert_eq!(ask(&rig, path, &fields).status, 200);
    }
    let asked = rig.emulator.requests().len();
    for path in ["/v1/embeddings", "/minimax/v1/messages", "/v1/images/edits"] {
        let reply = ask(&rig, path, &fields);
        assert_error(&reply, path, 403, "route_not_allowed");
    }
    let get = |path: &str| rig.client().request("GET", path, &fields, b"");
    assert_eq!(get("/v1/models").error(), Some("route_not_allowed"));
    assert_eq!(
        get("/v1/rate_limit").status,
        200,
        "their own limits everybody may know"
    );
    assert_eq!(rig.emulator.requests().len(), asked);
    rig.wait_rejected("route_not_allowed", 4);
    let refused = "holysheep_client_requests_total{client=\"chat\",outcome=\"4xx\"}";
    rig.wait_metric(refused, 4.0);
}

#[test]
fn requests_have_their_clients_name_in_the_log() {
    for format in ["json", "text"] {
        let (a, b) = (Keyed::new("team-a", ""), Keyed::new("b@example.org", ""));
        let yaml = format!("log: {{format: {format}}}");
        let rig = Rig::builder().config(yaml).clients(&[&a, &b]).start();
        for client in [&a, &b] {
            assert_eq!(ask_with(&rig, &client.key).status, 200);
        }
        eventually(|| rig.log_text().lines().count() == 2);
        let text = rig.log_text();
        for (line, name) in text.lines().zip(["team-a", "b@example.org"]) {
            let named = match format {
                "json" => format!(r#""client":"{name}","model":"m""#),
                _ => format!(" client={name} model=m "),
            };
            assert!(line.contains(&named), "{line}");
        }
    }
}

#[test]
fn an_h2_client_has_a_key_for_each_request() {
    let (a, b) = (Keyed::new("a", ""), Keyed::new("b", ""));
    let rig = Rig::builder().clients(&[&a, &b]).start();
    let client = H2::connect(rig.data_addr());
    for (key, status) in [
        (&a.key, 200),
        (&b.key, 200),
        (&stranger(), 401),
        (&a.key, 200),
    ] {
        let mut asked = request("POST", CHAT, full(QUESTION));
        asked
            .headers_mut()
            .insert("x-api-key", key.parse().unwrap());
        assert_eq!(client.exchange(asked).status(), status);
    }
    let lines = rig.wait_log(4);
    let clients: Vec<_> = lines.iter().map(|line| line["client"].as_str()).collect();
    assert_eq!(clients, ["a", "b", "anonymous", "a"].map(Some));
    let key = format!("Bearer {EMULATOR_KEY}");
    for received in rig.emulator.requests() {
        assert_eq!(received.header("authorization"), Some(&*key));
        assert!(!received.has_header("x-api-key"));
    }
}

#[test]
fn the_status_says_who_is_known() {
    let a = Keyed::new(
        "team-a",
        r#""models": ["gpt-*"], "routes": ["/v1/models"], "expires": "2027-01-31""#,
    );
    let b = Keyed::new("b", "");
    let rig = Rig::builder().clients(&[&a, &b]).start();
    assert_eq!(ask_with(&rig, &b.key).status, 200);
    rig.wait_metric(
        "holysheep_client_requests_total{client=\"b\",outcome=\"2xx\"}",
        1.0,
    );
    let status = rig.admin("/status").json();
    assert_eq!(status["auth"], "clients");
    let clients = status["clients"]["clients"].as_array().unwrap();
    let first = &clients[0];
    assert_eq!(first["name"], "team-a");
    assert_eq!(first["models"], serde_json::json!(["gpt-*"]));
    assert_eq!(first["routes"], serde_json::json!(["/v1/models"]));
    assert_eq!(first["expires"], "2027-02-01T00:00:00Z");
    assert_eq!(first["keys"][0]["id"], a.key[3..15]);
    assert_eq!(first["keys"][0]["requests"], 0);
    assert_eq!(clients[1]["keys"][0]["requests"], 1);
    assert_eq!(
        (&clients[1]["requests"], &first["requests"]),
        (&1.into(), &0.into())
    );
    assert!(status["clients"]["error"].is_null());
    let page = rig.admin("/").text();
    for text in ["team-a", "gpt-*", &a.key[3..15]] {
        assert!(page.contains(text), "{page}");
    }
    let config = rig.admin("/config").json();
    assert_eq!(config["auth"], "clients");
    assert!(
        config["clients_file"]
            .as_str()
            .unwrap()
            .ends_with("clients.yaml")
    );
    assert!(Rig::start().admin("/status").json()["clients"].is_null());
}
