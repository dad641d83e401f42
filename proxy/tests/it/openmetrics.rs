//! `/metrics` is valid `OpenMetrics` text, read by a strict parser.

use std::collections::{BTreeMap, HashSet};

use crate::harness::client::Reply;
use crate::harness::{CHAT, Client, MESSAGES, QUESTION, Rig, STREAMED};

/// Scrapes as Prometheus does.
fn scrape(rig: &Rig, accept: &str) -> Reply {
    Client::connect(rig.admin_addr()).request("GET", "/metrics", &[("accept", accept)], b"")
}

fn openmetrics(rig: &Rig) -> Reply {
    scrape(
        rig,
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    )
}

/// One metric family.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: bool,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    suffix: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads a whole exposition; panics at the first thing that is not allowed.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text
        .strip_suffix("# EOF\n")
        .unwrap_or_else(|| panic!("no # EOF at the end"));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut parts = comment.splitn(3, ' ');
            let (keyword, name) = (parts.next().unwrap(), parts.next().unwrap());
            let rest = parts.next().unwrap_or_default();
            if name != current {
                assert!(!families.contains_key(name), "{name} comes twice");
                current = name.to_owned();
            }
            let family = families.entry(current.clone()).or_default();
            assert!(family.samples.is_empty(), "{line} after samples");
            match keyword {
                "HELP" => assert!(!std::mem::replace(&mut family.help, true) && !rest.is_empty()),
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram"].contains(&rest), "{line}");
                    assert!(std::mem::replace(&mut family.kind, rest.to_owned()).is_empty());
                }
                "UNIT" => assert!(current.ends_with(&format!("_{rest}")), "{line}"),
                other => panic!("{other} in {line}"),
            }
            continue;
        }
        let family = families.get_mut(&current).unwrap();
        family.samples.push(sample(line, &current));
    }
    families
}

fn sample(line: &str, family: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.chars().all(is_name), "{name}");
    let suffix = name
        .strip_prefix(family)
        .unwrap_or_else(|| panic!("{name} in {family}"));
    Sample {
        suffix: suffix.to_owned(),
        labels: parse_labels(labels),
        value: value.parse().unwrap_or_else(|_| panic!("{line}")),
    }
}

fn parse_labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    escaped @ ('"' | '\\') => value.push(escaped),
                    other => panic!("\\{other} in {text}"),
                },
                (_, plain) => value.push(plain),
            }
        };
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "{name} twice"
        );
        text = &rest[end + 1..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    labels
}

/// What holds for every family of a kind.
fn check(name: &str, family: &Family) {
    assert!(
        family.help && !family.kind.is_empty(),
        "{name} lacks HELP or TYPE"
    );
    let is_ours = name.starts_with("holysheep_") || name.starts_with("gen_ai_");
    assert!(is_ours, "{name}");
    assert!(!name.ends_with("_total"), "{name}");
    let mut seen = HashSet::new();
    for sample in &family.samples {
        let key = format!("{}{:?}", sample.suffix, sample.labels);
        assert!(seen.insert(key), "{name} {sample:?} twice");
        assert!(!sample.value.is_nan());
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            _ => &["_bucket", "_sum", "_count"],
        };
        assert!(
            suffixes.contains(&sample.suffix.as_str()),
            "{name} {sample:?}"
        );
        assert!(
            family.kind == "gauge" || sample.value >= 0.0,
            "{name} {sample:?}"
        );
    }
    if family.kind == "histogram" {
        check_histogram(name, family);
    }
}

fn check_histogram(name: &str, family: &Family) {
    // OpenTelemetry has no unit in the name of what is counted.
    let has_unit = name.ends_with("_seconds") || name == "gen_ai_client_token_usage";
    assert!(has_unit, "{name} has no unit");
    let mut series: BTreeMap<_, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        series.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in series {
        let of = |suffix: &str| {
            samples
                .iter()
                .filter(|s| s.suffix == suffix)
                .copied()
                .collect::<Vec<_>>()
        };
        let buckets = of("_bucket");
        let bound = |sample: &Sample| match sample.labels["le"].as_str() {
            "+Inf" => f64::INFINITY,
            bound => bound.parse().unwrap(),
        };
        let bounds: Vec<f64> = buckets.iter().map(|bucket| bound(bucket)).collect();
        assert!(
            bounds.windows(2).all(|pair| pair[0] < pair[1]),
            "{name} {labels:?}: {bounds:?}"
        );
        let counts: Vec<f64> = buckets.iter().map(|bucket| bucket.value).collect();
        assert!(
            counts.is_sorted(),
            "{name} {labels:?} is not cumulative: {counts:?}"
        );
        assert_eq!(bounds.last(), Some(&f64::INFINITY), "{name} {labels:?}");
        let (sum, count) = (of("_sum"), of("_count"));
        assert_eq!((sum.len(), count.len()), (1, 1), "{name} {labels:?}");
        assert_eq!(counts.last(), Some(&count[0].value), "{name} {labels:?}");
        assert!(
            count[0].value > 0.0 || sum[0].value == 0.0,
            "{name} {labels:?}"
        );
    }
}

#[test]
fn what_is_scraped_is_valid_before_and_after_requests() {
    let rig = Rig::builder()
        .workers(2)
        .config("timeouts: {first_byte: 200ms}\nupstream: {name: 'a \"b\" \\ c'}")
        .start();
    for _ in 0..2 {
        let reply = openmetrics(&rig);
        let content_type = reply.header("content-type").unwrap();
        assert_eq!(
            content_type,
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        for (name, family) in &parse(&reply.text()) {
            check(name, family);
        }
        for path in [
            CHAT,
            MESSAGES,
            "/v1/models",
            "/v1/models/x",
            "/health",
            "/nope",
        ] {
            rig.post(path, QUESTION);
            rig.post(path, STREAMED);
            rig.get(path);
        }
        for fault in [
            "503",
            "reset",
            "cut;after=4",
            "stall-before-headers",
            "status;code=418",
        ] {
            rig.faulty(fault);
        }
    }
}

#[test]
fn who_does_not_ask_for_openmetrics_gets_the_older_format() {
    let rig = Rig::start();
    rig.post(CHAT, QUESTION);
    rig.wait_log(1);
    for accept in ["text/plain;version=0.0.4", "*/*"] {
        let reply = scrape(&rig, accept);
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        assert_eq!(reply.header("vary"), Some("accept"));
        let text = reply.text();
        assert!(text.contains("\n# TYPE holysheep_http_requests_total counter\n"));
        assert!(text.starts_with("# HELP holysheep_http_requests_total "));
        assert!(
            !text.contains("# EOF") && !text.contains("# TYPE holysheep_http_requests counter")
        );
    }
    // Apart from that, both say the same.
    let samples = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (classic, open) = (scrape(&rig, ""), openmetrics(&rig));
    assert_eq!(samples(&classic.text()), samples(&open.text()));
}

/// A family with exactly these labels.
#[track_caller]
fn assert_is_there(families: &BTreeMap<String, Family>, name: &str, kind: &str, labels: &[&str]) {
    let family = families
        .get(name)
        .unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!(family.kind, kind, "{name}");
    let sample = family
        .samples
        .first()
        .unwrap_or_else(|| panic!("{name} is empty"));
    let mut present: Vec<_> = sample
        .labels
        .keys()
        .filter(|label| *label != "le")
        .collect();
    present.sort();
    let mut expected = labels.to_vec();
    expected.sort_unstable();
    assert_eq!(present, expected, "{name}");
}

#[test]
fn every_metric_of_the_contract_is_there() {
    let rig = Rig::start();
    rig.post(CHAT, QUESTION);
    rig.get("/nope");
    rig.wait_rejected("unknown_route", 1);
    let families = parse(&openmetrics(&rig).text());
    for (name, kind, labels) in [
        (
            "holysheep_http_requests",
            "counter",
            &["route", "status"][..],
        ),
        (
            "holysheep_http_request_duration_seconds",
            "histogram",
            &["route", "status"],
        ),
        ("holysheep_http_requests_in_flight", "gauge", &[]),
        ("holysheep_proxy_overhead_seconds", "histogram", &[]),
        ("holysheep_rejected", "counter", &["reason"]),
        (
            "holysheep_upstream_requests",
            "counter",
            &["upstream", "outcome"],
        ),
        (
            "holysheep_upstream_first_byte_seconds",
            "histogram",
            &["upstream", "outcome"],
        ),
        (
            "holysheep_upstream_retries",
            "counter",
            &["upstream", "reason"],
        ),
        (
            "holysheep_upstream_connections",
            "gauge",
            &["upstream", "state"],
        ),
        ("holysheep_upstream_dns_seconds", "histogram", &["upstream"]),
        ("holysheep_upstream_dns_failures", "counter", &["upstream"]),
        (
            "holysheep_upstream_tls_handshake_seconds",
            "histogram",
            &["upstream"],
        ),
    ] {
        assert_is_there(&families, name, kind, labels);
    }
    let asked = [
        "gen_ai_operation_name",
        "gen_ai_provider_name",
        "gen_ai_request_model",
    ];
    let used = [&asked[..], &["gen_ai_token_type"]].concat();
    assert_is_there(&families, "gen_ai_client_token_usage", "histogram", &used);
    let duration = "gen_ai_client_operation_duration_seconds";
    assert_is_there(&families, duration, "histogram", &asked);
    // From 10 µs, as the contract says.
    let overhead = &families["holysheep_proxy_overhead_seconds"];
    let first = overhead
        .samples
        .iter()
        .find(|sample| sample.suffix == "_bucket")
        .unwrap();
    assert_eq!(first.labels["le"], "0.00001");
}

#[test]
fn labels_never_carry_raw_paths_or_unknown_methods() {
    let rig = Rig::start();
    for number in 0..20 {
        rig.get(&format!("/v1/models/model-{number}"));
        rig.get(&format!("/secret-{number}"));
        rig.get(&format!("/v1/files/file-{number}"));
        rig.client().request(&format!("X{number}"), CHAT, &[], b"");
    }
    rig.wait_log(80);
    let families = parse(&openmetrics(&rig).text());
    let requests = &families["holysheep_http_requests"].samples;
    let routes: HashSet<_> = requests
        .iter()
        .map(|sample| sample.labels["route"].as_str())
        .collect();
    let known = ["/v1/models/{id}", "unknown", "/v1/files/*", CHAT];
    assert_eq!(routes, HashSet::from(known));
}
