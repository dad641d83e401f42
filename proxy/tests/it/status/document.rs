//! Every field of `/status` is in `docs/status.md`, with its type, and every field there is one of `/status`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Stdio;

use holysheep_emulator::Emulator;
use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::clients::{Keyed, text};
use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Directory, EMULATOR_KEY, QUESTION, soon};

const DOCUMENT: &str = include_str!("../../../../docs/status.md");

/// What only kernel programs fill, which are not loaded here; `cargo xtask test --only page` does.
const KERNEL: [&str; 2] = [".endpoints[].kernel.", ".windows.paths[]."];

/// The documented fields with their types.
fn documented() -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for row in DOCUMENT.lines() {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, field, kind, _, _] = cells[..] else {
            continue;
        };
        if let Some(field) = field.strip_prefix('`') {
            for path in expanded(field.trim_end_matches('`')) {
                assert_eq!(fields.insert(path, kind.to_owned()), None, "{field} twice");
            }
        }
    }
    fields
}

/// `a.{b,c}` is `a.b` and `a.c`.
fn expanded(field: &str) -> Vec<String> {
    let Some((before, rest)) = field.split_once('{') else {
        return vec![field.to_owned()];
    };
    let (parts, after) = rest.split_once('}').unwrap();
    let all = parts
        .split(',')
        .map(|part| format!("{before}{part}{after}"));
    all.flat_map(|field| expanded(&field)).collect()
}

/// Looks at all fields: the documented type of each, and which there were.
fn look(value: &Value, path: &str, fields: &BTreeMap<String, String>, seen: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                look(value, &path, fields, seen);
            }
        }
        Value::Array(items) => {
            for item in items {
                look(item, &format!("{path}[]"), fields, seen);
            }
        }
        _ => {}
    }
    let kind = fields.get(path);
    if kind.is_some() {
        seen.insert(path.to_owned());
    }
    let is_inside = |prefix: String| fields.keys().any(|field| field.starts_with(&prefix));
    // An object, or a list of objects, may stand there by its members alone.
    let is_parent = is_inside(format!("{path}.")) || is_inside(format!("{path}[]"));
    let is_known = match (value, kind.map(String::as_str)) {
        (Value::Null, Some(kind)) => kind.ends_with("or null"),
        (Value::Bool(_), Some(kind)) => kind.starts_with("boolean"),
        (Value::String(_), Some(kind)) => kind.starts_with("string"),
        (Value::Number(number), Some(kind)) => {
            kind.starts_with("number") || (kind.starts_with("integer") && !number.is_f64())
        }
        (Value::Array(_), Some(kind)) => kind.starts_with("list"),
        (Value::Object(_), Some(kind)) => kind.starts_with("object"),
        (Value::Array(_) | Value::Object(_), None) => is_parent || path.is_empty(),
        (_, None) => is_element(path, fields),
    };
    assert!(is_known, "{path} is {value}, and documented as {kind:?}");
}

/// Whether it is an element of a list that is documented as one.
fn is_element(path: &str, fields: &BTreeMap<String, String>) -> bool {
    let list = path.strip_suffix("[]").and_then(|list| fields.get(list));
    list.is_some_and(|kind| kind.starts_with("list"))
}

/// A proxy that has something to say of everything.
fn proxy(emulator: &Emulator, directory: &Directory, team: &Keyed) -> Served {
    let authority = emulator.authority().unwrap();
    let file = |name: &str, text: &str| directory.write(name, text).display().to_string();
    let ca = file("ca.pem", authority.ca_pem());
    let key = file("key", EMULATOR_KEY);
    let clients = file("clients.yaml", &text(&[team]));
    let secret = file("secret", "a-secret-of-more-than-24-bytes");
    let socket = directory.path("take-over.sock").display().to_string();
    let base_url = emulator.base_url();
    let yaml = format!(
        "auth: clients
clients: {{file: '{clients}'}}
upstream: {{base_url: '{base_url}', ca_file: '{ca}', api_key_file: '{key}'}}
upstreams: [{{name: far, base_url: 'https://127.0.0.1:9/v1', api_key_file: '{key}'}}]
models: {{m: [far, holysheep]}}
probes: {{listen: '127.0.0.1:0'}}
limits: {{per_client: {{requests_per_minute: 600, tokens_per_minute: 100000, concurrent: 9, usd_per_day: 1, usd_per_month: 2}}}}
prices: {{priced: {{input: 1, output: 2}}}}
webhook: {{secret_file: '{secret}', forward_to: 'http://127.0.0.1:9/'}}
traces: {{endpoint: 'http://127.0.0.1:9'}}
take_over: '{socket}'
"
    );
    let yaml = file("proxy.yaml", &yaml);
    let mut command = command(["serve", "--ebpf", "off", "--log-format", "json", "--config"]);
    let free = SocketAddr::from(([127, 0, 0, 1], 0)).to_string();
    let ports = ["--listen", &free, "--admin-listen", &free];
    command.arg(yaml).args(ports).stdout(Stdio::null());
    Served::start(&mut command)
}

#[test]
fn every_field_is_documented_with_its_type_and_nothing_else_is() {
    let fields = documented();
    let emulator = Emulator::builder().api_key(EMULATOR_KEY);
    let emulator = emulator.start_blocking().unwrap();
    let directory = Directory::new();
    let team = Keyed::new("team", "");
    let served = proxy(&emulator, &directory, &team);
    let mut seen = BTreeSet::new();
    let status = |seen: &mut BTreeSet<String>| {
        let reply = Client::connect(served.admin_addr()).request("GET", "/status", &[], b"");
        look(&reply.json(), "", &fields, seen);
    };
    status(&mut seen);
    let bearer = team.bearer();
    let fields_sent = [("authorization", bearer.as_str())];
    for body in [QUESTION, &QUESTION.replace("\"m\"", "\"priced\"")] {
        let mut client = Client::connect(served.data_addr());
        let reply = client.request("POST", CHAT, &fields_sent, body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let failing = [fields_sent[0], ("x-emulator-fault", "503")];
    let mut client = Client::connect(served.data_addr());
    client.request("POST", CHAT, &failing, QUESTION.as_bytes());
    Client::connect(served.data_addr()).request("GET", "/nope", &[], b"");
    let probe = served.logged("serving").unwrap()["probes"].clone();
    let probe: SocketAddr = probe.as_str().unwrap().parse().unwrap();
    Client::connect(probe).request("GET", "/livez", &[], b"");
    let is_kernel = |field: &&String| KERNEL.iter().any(|part| field.contains(part));
    let missing = |seen: &BTreeSet<String>| -> Vec<String> {
        let all = fields.keys().filter(|field| !seen.contains(*field));
        all.filter(|field| !is_kernel(field)).cloned().collect()
    };
    let complete = soon(|| {
        status(&mut seen);
        missing(&seen).is_empty()
    });
    assert!(complete, "never seen: {:#?}", missing(&seen));
    assert!(seen.len() > 150, "{} fields", seen.len());
}
