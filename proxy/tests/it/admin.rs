//! The admin port.

use holysheep_proxy::config::KeySource;

use crate::harness::{CHAT, Client, EMULATOR_KEY, QUESTION, Rig, eventually};

#[test]
fn a_healthy_proxy_is_live_and_ready() {
    let rig = Rig::start();
    for path in ["/livez", "/readyz"] {
        eventually(|| rig.admin(path).status == 200);
        assert_eq!(rig.admin(path).text(), "ok\n");
    }
    let health = rig.get("/health");
    assert_eq!((health.status, health.text().as_str()), (200, "healthy\n"));
    assert_eq!(health.header("content-type"), Some("text/plain"));
}

#[test]
fn without_a_key_it_is_not_ready_and_says_why() {
    let rig = Rig::builder().without_key().start();
    eventually(|| rig.admin("/readyz").text() == "there is no upstream API key\n");
    let reply = rig.admin("/readyz");
    assert_eq!(reply.status, 503);
    assert_eq!(rig.admin("/livez").status, 200);
    assert_eq!(rig.admin("/status").json()["upstream"]["has_key"], false);
}

#[test]
fn in_passthrough_no_key_is_needed() {
    let rig = Rig::builder()
        .config("auth: passthrough")
        .without_key()
        .start();
    eventually(|| rig.admin("/readyz").status == 200);
}

#[test]
fn several_upstreams_and_keys_are_told_apart_by_name() {
    let rig = Rig::builder()
        .config("upstreams: [{name: far, base_url: 'https://127.0.0.1:9/v1', dialect: anthropic}]")
        .edit(|file, directory, _| {
            let upstream = &mut file.upstream;
            let key = |name: &str, key| KeySource {
                name: name.to_owned(),
                file: directory.write(name, key),
            };
            upstream.api_keys = vec![key("team-a", "cr_revoked"), key("team-b", EMULATOR_KEY)];
            file.upstreams[0].api_key_file = upstream.api_key_file.take();
        })
        .start();
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    eventually(|| rig.admin("/status").json()["upstreams"][0]["unusable"].is_string());
    let reply = rig.admin("/status");
    let status = reply.json();
    let key = |index: usize| &status["upstream"]["keys"][index];
    assert_eq!(
        (&key(0)["name"], &key(0)["usable"], &key(0)["refusals"]),
        (&"team-a".into(), &false.into(), &1.into())
    );
    assert_eq!(
        (&key(1)["name"], &key(1)["usable"], &key(1)["current"]),
        (&"team-b".into(), &true.into(), &true.into())
    );
    let retries = &status["upstream"]["retries"][0];
    assert_eq!(
        (&retries["reason"], &retries["count"]),
        (&"key_refused".into(), &1.into())
    );
    assert_eq!(status["upstreams"][0]["keys"][0]["name"], "default");
    assert!(status["upstream"]["unusable"].is_null());
    let page = rig.admin("/").text();
    for words in [
        "Upstream holysheep",
        "Upstream far",
        "team-a: refused, left alone for",
        "team-b: in use",
        "key refused: 1",
        "no: upstream far cannot be reached",
        "<th scope=row>Keys<td>default: in use",
    ] {
        assert!(page.contains(words), "no {words:?} in {page}");
    }
    assert_eq!(
        page.matches("<th scope=row>Windows after idling").count(),
        1
    );
    let config = rig.admin("/config").text();
    for shown in [reply.text(), page, config, rig.admin("/metrics").text()] {
        assert!(!shown.contains("cr_revoked") && !shown.contains(EMULATOR_KEY));
    }
}

#[test]
fn where_clients_bring_their_own_no_key_is_missing() {
    let rig = Rig::builder()
        .config("auth: passthrough")
        .without_key()
        .start();
    let keys = &rig.admin("/status").json()["upstream"]["keys"];
    assert_eq!(keys.as_array().map(Vec::len), Some(0));
    assert!(rig.admin("/").text().contains("the clients' own"));
    let metrics = rig.admin("/metrics").text();
    assert!(!metrics.contains("holysheep_upstream_key_usable{"));
}

#[test]
fn without_an_address_of_upstream_it_is_not_ready_and_says_why() {
    let rig = Rig::with("upstream: {base_url: 'https://does-not-exist.invalid/v1'}");
    eventually(|| rig.admin("/readyz").text().contains("cannot be resolved"));
    assert_eq!(rig.admin("/readyz").status, 503);
    let status = rig.admin("/status").json();
    assert_eq!(status["ready"], false);
    assert!(status["upstream"]["resolution_error"].is_string());
    assert!(
        status["not_ready"][0]
            .as_str()
            .unwrap()
            .contains("cannot be resolved")
    );
}

#[test]
fn the_status_tells_the_state() {
    let rig = Rig::builder().workers(2).start();
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    rig.get("/nope");
    rig.wait_rejected("unknown_route", 1);
    // An error counts before its request has ended.
    eventually(|| {
        let status = rig.admin("/status").json();
        status["upstream"]["idle"].as_i64() >= Some(4) && status["in_flight"] == 0
    });
    // Perhaps some: the name has an address of the other family, too, where nobody listens.
    eventually(|| {
        let status = rig.admin("/status").json();
        let labels = "upstream=\"holysheep\",result=\"failed\"";
        let failed = rig.metric(&format!("holysheep_upstream_connects_total{{{labels}}}"));
        status["upstream"]["connect_failures"].as_f64() == Some(failed)
    });
    let reply = rig.admin("/status");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let status = reply.json();
    assert_eq!(status["ready"], true);
    assert_eq!(status["workers"], 2);
    assert_eq!(status["auth"], "open");
    assert_eq!(status["listen"], rig.data_addr().to_string());
    assert_eq!(status["in_flight"], 0);
    let upstream = &status["upstream"];
    assert_eq!(upstream["base_url"], rig.emulator.base_url());
    assert_eq!(upstream["has_key"], true);
    let reported = &status["usage"]["by_source"][0];
    assert_eq!(reported["source"], "reported");
    assert_eq!(
        (&reported["requests"], &reported["output_tokens"]),
        (&1.into(), &16.into())
    );
    assert_eq!(status["usage"]["clients_left"][0]["upstream"], "cancelled");
    let error = &status["errors"][0];
    assert_eq!(
        (&error["code"], &error["count"]),
        (&"unknown_route".into(), &1.into())
    );
}

#[test]
fn the_page_is_html_for_a_browser() {
    let rig = Rig::builder()
        .config("upstream: {name: '<script>alert(1)</script>'}")
        .start();
    let reply = rig.admin("/");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let page = reply.text();
    assert!(page.starts_with("<!doctype html>") && page.contains("holysheep-proxy"));
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"));
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let rig = Rig::with("timeouts: {idle: 90s}\nlimits: {in_flight: 7}");
    let reply = rig.admin("/config");
    let config = reply.json();
    assert_eq!(config["timeouts"]["idle"], "1m 30s");
    assert_eq!(config["limits"]["in_flight"], 7);
    assert_eq!(config["auth"], "open");
    assert_eq!(config["upstream"]["base_url"], rig.emulator.base_url());
    assert!(!reply.text().contains(EMULATOR_KEY));
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let rig = Rig::start();
    for path in ["/nope", CHAT, "/health", "/metrics/", "/config/../metrics"] {
        assert_eq!(rig.admin(path).status, 404, "{path}");
    }
    let reply = Client::connect(rig.admin_addr()).request("POST", "/metrics", &[], b"");
    assert_eq!(reply.status, 405);
    let reply = rig.admin("/metrics");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[test]
fn the_data_port_knows_none_of_its_paths() {
    let rig = Rig::start();
    for path in ["/metrics", "/livez", "/readyz", "/status", "/config", "/"] {
        let reply = rig.get(path);
        assert_eq!(
            (reply.status, reply.error()),
            (404, Some("unknown_route")),
            "{path}"
        );
    }
}

#[test]
fn a_draining_proxy_is_not_ready() {
    let rig = Rig::with("timeouts: {drain: 10s}");
    let mut client = rig.client();
    let fields = [("x-emulator-fault", "stall-before-headers;ms=1000")];
    let ask = crate::harness::client::request("POST", CHAT, &fields, QUESTION.as_bytes());
    client.send(ask);
    rig.wait_stats(|stats| stats.in_flight == 1);
    rig.app().stop();
    eventually(|| rig.admin("/readyz").text() == "the proxy is stopping\n");
    assert_eq!(rig.admin("/livez").status, 200);
    assert_eq!(client.reply().status, 200);
}
