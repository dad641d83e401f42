//! The file of clients is read again when it changes: at once, without a connection less, and not at all if it is wrong.

use std::path::Path;
use std::process::Stdio;

use holysheep_emulator::Emulator;
use rustix::process::Signal;

use crate::harness::client::request;
use crate::harness::clients::{Keyed, text, write};
use crate::harness::program::{Served, command};
use crate::harness::{CHAT, Client, Directory, QUESTION, Rig, eventually, metrics};

const OK: &str = "holysheep_clients_reloads_total{result=\"ok\"}";
const FAILED: &str = "holysheep_clients_reloads_total{result=\"failed\"}";
const BROKEN: &str = "holysheep_clients_reload_failed";

fn ask(client: &mut Client, key: &str) -> u16 {
    let fields = [("x-api-key", key)];
    let reply = client.request("POST", CHAT, &fields, QUESTION.as_bytes());
    reply.status
}

#[test]
fn clients_come_and_go_while_connections_stay() {
    let (a, b) = (Keyed::new("a", ""), Keyed::new("b", ""));
    let rig = Rig::builder().workers(2).clients(&[&a]).start();
    rig.wait_watching();
    let mut clients: Vec<_> = (0..6).map(|_| rig.client()).collect();
    for client in &mut clients {
        assert_eq!(ask(client, &a.key), 200);
        assert_eq!(ask(client, &b.key), 401);
    }
    // One that is under way is not touched.
    let stalled = [
        ("x-api-key", &*a.key),
        ("x-emulator-fault", "stall-before-headers;ms=1500"),
    ];
    let mut waiting = rig.client();
    waiting.send(request("POST", CHAT, &stalled, QUESTION.as_bytes()));
    rig.wait_stats(|stats| stats.in_flight == 1);
    write(&rig.directory, &[&b]);
    rig.wait_metric(OK, 1.0);
    for client in &mut clients {
        eventually(|| ask(client, &b.key) == 200);
        assert_eq!(ask(client, &a.key), 401);
    }
    assert_eq!(waiting.reply().status, 200);
    assert_eq!(ask(&mut waiting, &a.key), 401);
    // What the client that is gone has asked is not forgotten, and what asks now is counted under its own name.
    let of = |name| format!("holysheep_client_requests_total{{client=\"{name}\",outcome=\"2xx\"}}");
    rig.wait_metric(&of("a"), 7.0);
    rig.wait_metric(&of("b"), 6.0);
    rig.wait_metric(BROKEN, 0.0);
}

#[test]
fn a_list_that_changes_holds_for_the_next_request() {
    let all = Keyed::new("a", "");
    let rig = Rig::builder().clients(&[&all]).start();
    rig.wait_watching();
    let mut client = rig.client();
    assert_eq!(ask(&mut client, &all.key), 200);
    let shut = text(&[&all]).replace("}]}", "}], \"disabled\": true}");
    rig.directory.write("clients.yaml", &shut);
    eventually(|| ask(&mut client, &all.key) == 401);
    let routes = text(&[&all]).replace("}]}", "}], \"routes\": []}");
    rig.directory.write("clients.yaml", &routes);
    eventually(|| ask(&mut client, &all.key) == 403);
}

#[test]
fn a_second_key_takes_over_without_a_gap() {
    let (old, new) = (Keyed::new("a", ""), Keyed::new("a", ""));
    let rig = Rig::builder().clients(&[&old]).start();
    rig.wait_watching();
    let mut client = rig.client();
    let second = text(&[&new]);
    let second = &second[second.find("{\"id\"").unwrap()..=second.find('}').unwrap()];
    let both = text(&[&old]).replacen("}]", &format!("}}, {second}]"), 1);
    rig.directory.write("clients.yaml", &both);
    eventually(|| ask(&mut client, &new.key) == 200);
    assert_eq!(ask(&mut client, &old.key), 200);
    write(&rig.directory, &[&new]);
    eventually(|| ask(&mut client, &old.key) == 401);
    assert_eq!(ask(&mut client, &new.key), 200);
    let lines = rig.log_lines();
    let let_in = lines.iter().filter(|line| line["status"] == 200);
    assert!(let_in.clone().count() >= 2);
    assert!(let_in.into_iter().all(|line| line["client"] == "a"));
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_is_told() {
    let a = Keyed::new("a", "");
    let rig = Rig::builder().clients(&[&a]).start();
    rig.wait_watching();
    let good = text(&[&a]);
    for (count, (bad, why)) in (1_u32..).zip([
        (String::new(), "empty"),
        (good.replace("\"a\"", "\"a b\""), "clients[0].name"),
        (
            good.replace("\"hash\": \"", "\"hash\": \"0"),
            "clients[0].keys[0].hash",
        ),
        (good.replace("}]}", "}], \"limit\": 1}"), "clients[0].limit"),
        ("clients: [".to_owned(), ""),
    ]) {
        rig.directory.write("clients.yaml", &bad);
        rig.wait_metric(FAILED, f64::from(count));
        rig.wait_metric(BROKEN, 1.0);
        let error = rig.admin("/status").json()["clients"]["error"].take();
        let error = error.as_str().unwrap();
        assert!(
            error.contains("clients.yaml") && error.contains(why),
            "{error}"
        );
        assert!(
            !error.contains(&a.hash) && !error.contains(&a.salt),
            "{error}"
        );
        assert_eq!(ask(&mut rig.client(), &a.key), 200);
    }
    std::fs::remove_file(rig.directory.path("clients.yaml")).unwrap();
    rig.wait_metric(FAILED, 6.0);
    assert_eq!(ask(&mut rig.client(), &a.key), 200);
    rig.directory.write("clients.yaml", &good);
    rig.wait_metric(BROKEN, 0.0);
    assert!(rig.admin("/status").json()["clients"]["error"].is_null());
}

/// As the kubelet does it.
fn mount(directory: &Path, version: &str, text: &str) {
    let data = directory.join(version);
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("clients.yaml"), text).unwrap();
    let temporary = directory.join("..data_tmp");
    std::os::unix::fs::symlink(version, &temporary).unwrap();
    std::fs::rename(temporary, directory.join("..data")).unwrap();
}

/// The program with the file of clients in a volume, and an emulator behind it.
fn serve(directory: &Directory, emulator: &Emulator) -> Served {
    let ca = directory.write("ca.pem", emulator.authority().unwrap().ca_pem());
    let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
    command
        .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--upstream", emulator.base_url(), "--auth", "clients"])
        .arg("--upstream-ca")
        .arg(ca)
        .env("HOLYSHEEP_API_KEY", emulator.api_key())
        .env(
            "HOLYSHEEP_CLIENTS_FILE",
            directory.path("volume/clients.yaml"),
        )
        .stdout(Stdio::null());
    Served::start(&mut command)
}

#[test]
fn a_mounted_secret_that_is_swapped_is_read_again_and_so_is_one_at_a_hangup() {
    let directory = Directory::new();
    let volume = directory.path("volume");
    std::fs::create_dir(&volume).unwrap();
    let (a, b) = (Keyed::new("a", ""), Keyed::new("b", ""));
    mount(&volume, "..1", &text(&[&a]));
    std::os::unix::fs::symlink("..data/clients.yaml", volume.join("clients.yaml")).unwrap();
    let emulator = Emulator::builder().start_blocking().unwrap();
    let served = serve(&directory, &emulator);
    let admin = |path| Client::connect(served.admin_addr()).request("GET", path, &[], b"");
    let metric = |name| metrics::sample(&admin("/metrics").text(), name).unwrap_or_default();
    assert_eq!(admin("/livez").status, 200);
    let mut client = Client::connect(served.data_addr());
    assert_eq!(ask(&mut client, &a.key), 200);
    mount(&volume, "..2", &text(&[&b]));
    eventually(|| ask(&mut client, &b.key) == 200);
    assert_eq!(ask(&mut client, &a.key), 401);
    std::fs::remove_dir_all(volume.join("..1")).unwrap();
    eventually(|| metric(OK) >= 1.0);
    let before = metric(OK);
    served.signal(Signal::HUP);
    eventually(|| metric(OK) > before);
    assert_eq!(ask(&mut client, &b.key), 200);
    mount(&volume, "..3", "clients: [{name: x}]");
    eventually(|| metric(BROKEN) > 0.0);
    let message = "the clients stay as they were";
    // The line comes through a pipe of its own, after the metric.
    eventually(|| served.logged(message).is_some());
    let logged = served.logged(message).unwrap();
    let error = logged["error"].as_str().unwrap();
    assert!(
        error.contains("clients[0]") && error.contains("keys"),
        "{error}"
    );
}
