//! `/status`: what it tells against what happened and what `/metrics` tells, and that `docs/status.md` has all of it.

mod document;

use serde_json::Value;

use crate::harness::clients::Keyed;
use crate::harness::metrics::sum;
use crate::harness::{CHAT, QUESTION, Rig, eventually};

fn status(rig: &Rig) -> Value {
    rig.admin("/status").json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn requests_are_those_of_the_metrics() {
    let rig = Rig::builder().workers(2).start();
    for _ in 0..3 {
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    }
    rig.get("/nope");
    eventually(|| status(&rig)["requests"]["total"] == 4 && status(&rig)["in_flight"] == 0);
    let metrics = rig.admin("/metrics").text();
    assert_eq!(sum(&metrics, "holysheep_http_requests_total"), 4.0);
    let by_status = &status(&rig)["requests"]["by_status"];
    let expected = serde_json::json!([
        {"status": "200", "count": 3},
        {"status": "404", "count": 1},
    ]);
    assert_eq!(by_status, &expected);
}

#[test]
fn time_is_split_and_adds_up_to_the_metrics() {
    let rig = Rig::start();
    // The minute that is looked at begins before the requests.
    rig.wait_watching();
    for _ in 0..3 {
        let reply = rig.faulty("stall-before-headers;ms=50");
        assert_eq!(reply.status, 200);
    }
    rig.wait_metric("holysheep_proxy_overhead_seconds_count", 3.0);
    let latency = status(&rig)["latency"].take();
    // Connections are looked at when they are made.
    assert_eq!(latency["source"], "tcp_info");
    let metrics = rig.admin("/metrics").text();
    for span in ["last_minute", "since_start"] {
        let span = &latency[span];
        for (part, metric) in [
            ("proxy", "holysheep_proxy_overhead_seconds"),
            ("first_byte", "holysheep_upstream_first_byte_seconds"),
        ] {
            let count = sum(&metrics, &format!("{metric}_count"));
            let mean = sum(&metrics, &format!("{metric}_sum")) * 1e3 / count;
            assert_eq!(number(&span[part]["count"]), count, "{part}: {span:#}");
            let told = number(&span[part]["mean_ms"]);
            assert!((told - mean).abs() < mean / 500.0, "{part}: {told} {mean}");
            assert!(number(&span[part]["p50_ms"]) <= number(&span[part]["p99_ms"]));
        }
        let (network, upstream) = (&span["network_mean_ms"], &span["upstream_mean_ms"]);
        let all = number(&span["first_byte"]["mean_ms"]);
        let both = number(network) + number(upstream);
        assert!((both - all).abs() < all / 100.0, "{both} {all}");
        // Over loopback, all of it is upstream's.
        assert!(number(upstream) > 45.0, "{span:#}");
        assert_eq!(span["wakeup_lag"]["count"], 0, "there are no programs");
    }
}

#[test]
fn before_the_first_request_nothing_is_known() {
    let rig = Rig::start();
    let latency = status(&rig)["latency"].take();
    let span = &latency["since_start"];
    assert!(span["upstream_mean_ms"].is_null() && span["proxy"]["p99_ms"].is_null());
    assert_eq!(span["proxy"]["count"], 0);
    assert_eq!(status(&rig)["requests"]["per_second"], 0.0);
    assert_eq!(status(&rig)["last_errors"], serde_json::json!([]));
}

#[test]
fn the_history_adds_up() {
    let rig = Rig::with("prices: {m: {input: 1, output: 2}}");
    let length = |column: &str| {
        let history = status(&rig)["history"].take();
        history[column].as_array().unwrap().len()
    };
    // Counters are seen to grow from the second look on.
    eventually(|| length("time_unix_ms") > 0);
    for _ in 0..5 {
        assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    }
    rig.get("/nope");
    let total = |column: &str| {
        let history = status(&rig)["history"].take();
        let list = |name: &str| {
            let list = history[name].as_array().unwrap().iter();
            list.map(|one| one.as_f64().unwrap_or(0.0))
                .collect::<Vec<_>>()
        };
        let times = list("time_unix_ms");
        // A busy machine is late for some looks. Before the first there was nothing.
        let seconds = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1e3);
        let rates = list(column).into_iter().skip(1);
        rates
            .zip(seconds)
            .map(|(rate, long)| rate * long)
            .sum::<f64>()
    };
    let around = |column: &str, expected: f64| (total(column) / expected - 1.0).abs() < 0.02;
    eventually(|| around("requests_per_second", 6.0) && around("client_errors_per_second", 1.0));
    eventually(|| around("output_tokens_per_second", 80.0));
    let usd = number(&status(&rig)["cost"]["usd"]);
    assert!(usd > 0.0);
    assert!(around("usd_per_hour", usd * 3600.0));
    let history = status(&rig)["history"].take();
    let columns = history.as_object().unwrap().values();
    let lengths: Vec<_> = columns.filter_map(Value::as_array).map(Vec::len).collect();
    assert_eq!(lengths, vec![lengths[0]; 13]);
    let means = history["upstream_mean_ms"].as_array().unwrap();
    assert!(means.iter().any(Value::is_number) && means.iter().any(Value::is_null));
}

#[test]
fn the_last_errors_say_who_where_and_what_to_do() {
    let team = Keyed::new("team-a", r#""models": ["m"]"#);
    let rig = Rig::builder().clients(&[&team]).start();
    let bearer = team.bearer();
    let ask = |fields: &[(&str, &str)], body: &str| {
        let json = ("content-type", "application/json");
        let mut all = vec![("authorization", bearer.as_str()), json];
        all.extend(fields);
        rig.client().request("POST", CHAT, &all, body.as_bytes())
    };
    let id = ("x-request-id", "first");
    let broken = ("x-emulator-fault", "malformed;kind=status-line");
    assert_eq!(ask(&[id, broken], QUESTION).status, 502);
    let other = QUESTION.replace("\"m\"", "\"<b>other</b>\"");
    for id in ["second", "third"] {
        assert_eq!(ask(&[("x-request-id", id)], &other).status, 403);
    }
    eventually(|| status(&rig)["last_errors"].as_array().map(Vec::len) == Some(2));
    eventually(|| status(&rig)["last_errors"][0]["count"] == 2);
    let errors = status(&rig)["last_errors"].take();
    let (last, first) = (&errors[0], &errors[1]);
    assert_eq!(last["code"], "model_not_allowed");
    assert_eq!(last["request_id"], "third");
    assert_eq!(
        (&last["status"], &last["upstream"]),
        (&403.into(), &Value::Null)
    );
    assert_eq!(
        last["remedy"],
        "name it once, in plain JSON; or have it added"
    );
    assert!(last["message"].as_str().unwrap().contains("<b>other</b>"));
    assert_eq!(first["code"], "upstream_invalid_response");
    for (field, expected) in [
        ("request_id", "first"),
        ("route", CHAT),
        ("client", "team-a"),
        ("model", "m"),
        ("upstream", "holysheep"),
    ] {
        assert_eq!(first[field], expected, "{first:#}");
    }
    assert!(first["time"].as_str().unwrap() <= last["time"].as_str().unwrap());
    let shown = rig.admin("/").text();
    assert!(shown.contains("&lt;b&gt;other&lt;/b&gt;") && !shown.contains("<b>other"));
    assert!(!rig.admin("/status").text().contains(&team.key));
}

#[test]
fn clients_that_leave_are_no_errors_of_the_proxy() {
    let rig = Rig::start();
    let fields = [("x-emulator-fault", "stall-before-headers;ms=5000")];
    let ask = crate::harness::client::request("POST", CHAT, &fields, QUESTION.as_bytes());
    let mut client = rig.client();
    client.send(ask);
    rig.wait_stats(|stats| stats.in_flight == 1);
    drop(client);
    rig.wait_rejected("client_closed", 1);
    assert_eq!(status(&rig)["last_errors"], serde_json::json!([]));
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_a_browser_is_told_so() {
    let rig = Rig::start();
    let reply = rig.admin("/");
    let policy = reply.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "style-src 'sha256-",
        "script-src 'sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"));
    let page = reply.text();
    for place in ["src=\"", "href=\"", "url("] {
        let targets = page.split(place).skip(1);
        let elsewhere = |target: &&str| target.starts_with("http") || target.starts_with('/');
        assert_eq!(targets.clone().find(elsewhere), None);
    }
    for path in ["/", "/status", "/metrics"] {
        let reply = rig.admin(path);
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}
