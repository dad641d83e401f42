//! What clients may cost by day and month: who is refused, and where it is kept what they have cost.

use std::path::Path;
use std::thread;
use std::time::Duration;

use holysheep_emulator::FaultScope;
use holysheep_proxy::app::App;
use holysheep_proxy::config::{Config, ConfigFile};
use serde_json::Value;

use crate::errors::assert_error;
use crate::harness::client::request;
use crate::harness::clients::{Keyed, write};
use crate::harness::program::{Served, command};
use crate::harness::redis::Redis;
use crate::harness::{CHAT, Client, Directory, MESSAGES, Reply, Rig, eventually, soon_within};

const SPENT: &str = "insufficient_quota";
const JSON: (&str, &str) = ("content-type", "application/json");
/// A model with a price.
const BODY: &str =
    r#"{"model":"gpt-4.1","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}"#;

fn spent(rig: &Rig, client: &str, period: &str) -> f64 {
    rig.metric(&format!(
        "holysheep_budget_spent_usd{{client=\"{client}\",period=\"{period}\"}}"
    ))
}

fn store(name: &str) -> String {
    format!("holysheep_budget_store_up{{store=\"{name}\"}}")
}

fn refused(rig: &Rig, limit: &str) -> f64 {
    let labels = format!("client=\"anonymous\",limit=\"{limit}\"");
    rig.metric(&format!("holysheep_rate_limited_total{{{labels}}}"))
}

fn budgets(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200);
    reply.json()["budgets"].clone()
}

/// Asks until the client is refused; what was spent then is known everywhere.
fn spend_all(rig: &Rig) -> Reply {
    let mut last = None;
    eventually(|| {
        let reply = rig.post(CHAT, BODY);
        let is_refused = reply.status == 429;
        assert!(is_refused || reply.status == 200, "{reply:?}");
        last = Some(reply);
        is_refused
    });
    last.unwrap()
}

/// What the emulator billed, in dollars at the price of the model.
fn billed(rig: &Rig) -> f64 {
    let billed = rig.emulator.billed();
    let micros = billed
        .iter()
        .map(|billed| billed.input * 2 + billed.output * 8);
    micros.sum::<u64>() as f64 / 1e6
}

#[test]
fn a_client_that_has_spent_its_budget_is_refused() {
    let rig = Rig::with("limits: {per_client: {usd_per_day: 0.000001, usd_per_month: 10}}");
    let before = budgets(&rig.get("/v1/rate_limit"));
    assert_eq!(before["day"]["limit_usd"], 1e-6);
    assert_eq!(before["day"]["spent_usd"], 0);
    assert_eq!(rig.post(CHAT, BODY).status, 200);
    eventually(|| spent(&rig, "anonymous", "day") > 0.0);
    let reply = rig.post(CHAT, BODY);
    assert_error(&reply, CHAT, 429, SPENT);
    assert_eq!(reply.json()["error"]["type"], SPENT);
    let message = reply.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("US dollars a day is spent"), "{message}");
    // The SDKs of OpenAI and Anthropic would ask again, and again.
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(reply.header("retry-after-ms"), None);
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=24 * 60 * 60).contains(&seconds), "{seconds}");
    let claude = BODY.replace("gpt-4.1", "claude-sonnet-4-5");
    assert_error(&rig.post(MESSAGES, &claude), MESSAGES, 429, SPENT);
    // What costs nothing is answered.
    assert_eq!(rig.get("/v1/models").status, 200);
    let after = budgets(&rig.get("/v1/rate_limit"));
    let cost = billed(&rig);
    assert!((after["day"]["spent_usd"].as_f64().unwrap() - cost).abs() < 1e-12);
    assert_eq!(after["day"]["remaining_usd"], 0);
    assert!((after["month"]["remaining_usd"].as_f64().unwrap() - (10.0 - cost)).abs() < 1e-12);
    let reset = |period: &str| after[period]["reset"].as_u64().unwrap();
    assert_eq!(reset("day") % (24 * 60 * 60), 0);
    assert!(reset("month") >= reset("day"));
    assert!((spent(&rig, "anonymous", "day") - cost).abs() < 1e-12);
    assert!((spent(&rig, "anonymous", "month") - cost).abs() < 1e-12);
    assert!((refused(&rig, "usd_per_day") - 2.0).abs() < 0.5);
    rig.wait_rejected(SPENT, 2);
    let status = rig.admin("/status").json();
    assert_eq!(status["budgets"]["store"], "process");
    assert_eq!(status["limits"][0]["budgets"], after);
    let page = rig.admin("/").text();
    assert!(page.contains("$0.00 of $10.00 a month spent"), "{page}");
    assert_eq!(rig.emulator.stats().billed, 1);
}

#[test]
fn parallel_streams_cannot_slip_past_a_budget() {
    // Each is thought to cost 0.0009 dollars, so three fit into what is left by two.
    let rig = Rig::builder()
        .workers(4)
        .config("limits: {per_client: {usd_per_day: 0.002}}")
        .start();
    let body = r#"{"model":"gpt-4.1","stream":true,"max_tokens":100,
        "messages":[{"role":"user","content":"hello"}]}"#;
    let address = rig.data_addr();
    rig.fault("stall-before-headers", FaultScope::Next(3));
    let clients: Vec<_> = (0..60)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                client.send(request("POST", CHAT, &[JSON], body.as_bytes()));
                client
            })
        })
        .collect();
    let clients: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    rig.wait_rejected(SPENT, 57);
    rig.wait_stats(|stats| stats.in_flight == 3);
    assert!((refused(&rig, "usd_per_day") - 57.0).abs() < 0.5);
    let mut reply = rig.client();
    let reply = reply.request("POST", CHAT, &[JSON], body.as_bytes());
    assert_error(&reply, CHAT, 429, SPENT);
    let message = reply.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("may be spent by its requests under way"),
        "{message}"
    );
    assert_eq!(reply.header("retry-after"), Some("1"));
    // Those that go away without an answer give back what was set aside for them.
    for client in clients {
        client.reset();
    }
    eventually(|| rig.post(CHAT, BODY).status == 200);
}

#[test]
fn a_client_of_its_own_name_has_a_budget_of_its_own() {
    let poor = Keyed::new("poor", r#""limits": {"usd_per_month": 0.000001}"#);
    let rich = Keyed::new("rich", "");
    let rig = Rig::builder().clients(&[&poor, &rich]).start();
    let ask = |client: &Keyed| {
        let bearer = client.bearer();
        let fields = [JSON, ("authorization", bearer.as_str())];
        rig.client().request("POST", CHAT, &fields, BODY.as_bytes())
    };
    assert_eq!(ask(&poor).status, 200);
    eventually(|| spent(&rig, "poor", "month") > 0.0);
    assert_error(&ask(&poor), CHAT, 429, SPENT);
    assert_eq!(ask(&rich).status, 200);
    // A budget that is raised counts what was spent before.
    let paid = poor.with(r#""limits": {"usd_per_month": 100}"#);
    write(&rig.directory, &[&paid, &rich]);
    eventually(|| ask(&poor).status == 200);
    let costs = || {
        let lines = rig.log_lines();
        let poor = lines.iter().filter(|line| line["client"] == "poor");
        poor.filter_map(|line| line["cost_usd"].as_f64())
            .sum::<f64>()
    };
    eventually(|| costs() > 0.0015 && (spent(&rig, "poor", "month") - costs()).abs() < 1e-12);
    assert!(
        rig.admin("/metrics")
            .text()
            .matches("holysheep_budget_usd{")
            .count()
            == 1
    );
}

/// Another proxy with the same file.
fn with_state(directory: &Path) -> Rig {
    let path = directory.to_owned();
    Rig::builder()
        .config("limits: {per_client: {usd_per_month: 0.000001}}")
        .edit(move |file, _, _| file.state_dir = Some(path))
        .start()
}

#[test]
fn what_was_spent_outlives_the_process_in_a_file() {
    let state = Directory::new();
    let path = state.path("made/by/the/proxy");
    let mut rig = with_state(&path);
    assert_eq!(rig.post(CHAT, BODY).status, 200);
    rig.stop();
    let again = with_state(&path);
    // From the first request on.
    assert_error(&again.post(CHAT, BODY), CHAT, 429, SPENT);
    assert_eq!(again.admin("/status").json()["budgets"]["store"], "file");
    assert!((again.metric(&store("file")) - 1.0).abs() < 0.5);
    // Two that run at once know of each other.
    let other = with_state(&path);
    assert!((spent(&other, "anonymous", "month") - billed(&rig)).abs() < 1e-12);
    let text = std::fs::read_to_string(path.join("budgets.json")).unwrap();
    let book: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(book.as_object().unwrap().len(), 2, "{text}");
}

#[test]
fn processes_with_one_file_share_a_budget() {
    let state = Directory::new();
    let rigs = [(); 2].map(|()| with_state(&state.path("")));
    assert_eq!(rigs[0].post(CHAT, BODY).status, 200);
    let cost = billed(&rigs[0]);
    eventually(|| (spent(&rigs[1], "anonymous", "month") - cost).abs() < 1e-12);
    assert_error(&rigs[1].post(CHAT, BODY), CHAT, 429, SPENT);
}

#[test]
fn a_process_that_is_killed_has_kept_what_was_spent() {
    let rig = Rig::start();
    let state = Directory::new();
    let config = state.write(
        "config.yaml",
        &format!(
            "upstream: {{base_url: '{}', ca_file: '{}', api_key_file: '{}'}}\n\
             limits: {{per_client: {{usd_per_day: 0.000001}}}}\n\
             ebpf: off\nlog: {{format: json, access: 'off'}}\n",
            rig.emulator.base_url(),
            rig.directory.path("ca.pem").display(),
            rig.directory.path("key").display(),
        ),
    );
    let serve = || {
        let mut command = command(["serve", "--listen", "127.0.0.1:0"]);
        command
            .args(["--admin-listen", "127.0.0.1:0", "--config"])
            .arg(&config);
        command.arg("--state-dir").arg(state.path("state"));
        Served::start(&mut command)
    };
    let ask = |served: &Served| {
        let mut client = Client::connect(served.data_addr());
        client.request("POST", CHAT, &[JSON], BODY.as_bytes())
    };
    let first = serve();
    let kept = "what clients cost is kept in state_dir; N replicas that do not share it let through N times as much";
    eventually(|| first.logged(kept).is_some());
    assert_eq!(ask(&first).status, 200);
    eventually(|| {
        let text = std::fs::read_to_string(state.path("state/budgets.json"));
        text.is_ok_and(|text| text.contains("anonymous"))
    });
    // Killed, not stopped.
    drop(first);
    assert_error(&ask(&serve()), CHAT, 429, SPENT);
}

#[test]
fn a_state_that_cannot_be_used_stops_the_start() {
    let rig = Rig::start();
    let state = Directory::new();
    let start = |directory: &Path| {
        let yaml = format!(
            "{{listen: '127.0.0.1:0', admin_listen: '127.0.0.1:0', ebpf: 'off', log: {{access: 'off'}}, \
              limits: {{per_client: {{usd_per_day: 1}}}}, state_dir: '{}', upstream: {{base_url: '{}'}}}}",
            directory.display(),
            rig.emulator.base_url()
        );
        let config = Config::build(ConfigFile::parse(&yaml).unwrap()).unwrap();
        App::start(config).unwrap_err().to_string()
    };
    let file = state.write("file", "");
    let error = start(&file);
    assert!(
        error.starts_with("state_dir: ") && error.contains("/file: "),
        "{error}"
    );
    state.write("budgets.json", "{\"2026-11\": 5}");
    let error = start(&state.path(""));
    assert!(
        error.contains("budgets.json: invalid type: integer `5`"),
        "{error}"
    );
    assert!(
        error.ends_with("mend it, or remove it to begin anew"),
        "{error}"
    );
}

fn in_redis(redis: &Redis) -> Rig {
    let url = redis.url();
    Rig::builder()
        .config(format!(
            "limits: {{per_client: {{usd_per_day: 0.002, usd_per_month: 10}}, redis: {{url: '{url}'}}}}"
        ))
        .start()
}

#[test]
fn replicas_share_a_budget_in_redis() {
    let mut redis = Redis::start();
    let rigs = [(); 3].map(|()| in_redis(&redis));
    for rig in &rigs {
        rig.wait_metric(&store("redis"), 1.0);
    }
    let total = || rigs.iter().map(billed).sum::<f64>();
    spend_all(&rigs[0]);
    // Half a second later all know.
    for rig in &rigs {
        eventually(|| (spent(rig, "anonymous", "day") - total()).abs() < 1e-9);
        assert_error(&rig.post(CHAT, BODY), CHAT, 429, SPENT);
    }
    // One that starts does, too, as soon as it has asked.
    let late = in_redis(&redis);
    eventually(|| (spent(&late, "anonymous", "day") - total()).abs() < 1e-9);
    assert_error(&late.post(CHAT, BODY), CHAT, 429, SPENT);
    // Away, and back without any memory: those who have added to it tell it again.
    redis.kill();
    for rig in &rigs {
        rig.wait_metric(&store("redis"), 0.0);
        assert_error(&rig.post(CHAT, BODY), CHAT, 429, SPENT);
    }
    redis.restart();
    for rig in rigs.iter().chain([&late]) {
        rig.wait_metric(&store("redis"), 1.0);
    }
    let knows = |rig: &Rig| (spent(rig, "anonymous", "day") - total()).abs() < 1e-9;
    eventually(|| knows(&late));
    assert_error(&late.post(CHAT, BODY), CHAT, 429, SPENT);
}

#[test]
fn without_redis_a_budget_is_that_of_each_replica() {
    let redis = Redis::start();
    let url = redis.url();
    drop(redis);
    let rig = Rig::with(&format!(
        "limits: {{per_client: {{usd_per_day: 0.000001}}, redis: {{url: '{url}'}}}}"
    ));
    rig.wait_metric(&store("redis"), 0.0);
    assert_eq!(rig.post(CHAT, BODY).status, 200);
    assert!(soon_within(Duration::from_secs(10), || rig
        .post(CHAT, BODY)
        .status
        == 429));
    let status = rig.admin("/status").json();
    assert_eq!(status["budgets"]["works"], false);
}
