//! The end of a drain: what still runs is told why it ends, in the dialect of its path.

use std::io::Write;
use std::time::Duration;

use holysheep_emulator::Emulator;
use http_body_util::BodyExt;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::client::request;
use crate::harness::h2::{self, H2};
use crate::harness::program::{Served, command, with_upstream};
use crate::harness::{
    CHAT, Client, Directory, EMULATOR_KEY, MESSAGES, QUESTION, Rig, RigBuilder, eventually,
};

const LONG: &str = r#"{"model":"m","stream":true,"max_tokens":5000,"messages":[{"role":"user","content":"hello"}]}"#;
const CODE: &str = "proxy_stopping";

fn rig() -> RigBuilder {
    Rig::builder()
        .config("timeouts: {drain: 200ms}")
        .emulator(|emulator| emulator.token_interval(Duration::from_millis(20)))
}

/// Begins a stream and reads the first bytes of it.
fn begin(mut client: Client, path: &str) -> (Client, Vec<u8>) {
    client.send(request("POST", path, &[], LONG.as_bytes()));
    let mut reply = client.head();
    assert_eq!(reply.status, 200);
    client.chunks(&mut reply.raw, 10);
    (client, reply.raw)
}

#[test]
fn streams_end_with_the_error_of_their_dialect() {
    let mut rig = rig().start();
    let (mut openai, _) = begin(rig.client(), CHAT);
    let (mut anthropic, _) = begin(rig.client(), MESSAGES);
    let app_stop = rig.app();
    app_stop.stop();
    let rest = String::from_utf8(openai.rest()).unwrap();
    assert!(
        rest.contains(r#"data: {"error":{"message":"the proxy is stopping"#),
        "{rest}"
    );
    assert!(rest.contains(CODE) && !rest.contains("[DONE]"), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "the body is complete: {rest}");
    let rest = String::from_utf8(anthropic.rest()).unwrap();
    assert!(
        rest.contains("event: error\ndata: {\"type\":\"error\""),
        "{rest}"
    );
    rig.stop();
    let lines = rig.wait_log(2);
    assert!(lines.iter().all(|line| line["error"] == CODE), "{lines:?}");
    assert_eq!(rig.emulator.stats().cancelled, 2, "upstream does not go on");
}

#[test]
fn a_stream_over_h2_ends_with_it_too() {
    let mut rig = rig().start();
    let h2 = H2::connect(rig.data_addr());
    let response = h2.send(h2::request("POST", CHAT, h2::full(LONG))).unwrap();
    assert_eq!(response.status(), 200);
    rig.app().stop();
    let body = h2.run(response.into_body().collect()).unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains(CODE) && !body.contains("[DONE]"), "{body}");
    rig.stop();
}

#[test]
fn who_waits_for_an_answer_gets_one() {
    let mut rig = rig().start();
    let mut client = rig.client();
    let fields = [("x-emulator-fault", "stall-before-headers;ms=60000")];
    client.send(request("POST", CHAT, &fields, QUESTION.as_bytes()));
    rig.wait_stats(|stats| stats.in_flight == 1);
    rig.app().stop();
    let reply = client.reply();
    assert_eq!((reply.status, reply.error()), (503, Some(CODE)));
    assert_eq!(reply.header("retry-after"), Some("1"));
    rig.stop();
}

#[test]
fn a_session_is_told_that_the_service_restarts() {
    let mut rig = rig().start();
    let url = format!("ws://{}/v1/realtime?model=gpt-realtime", rig.data_addr());
    let (mut session, _) = client(url.into_client_request().unwrap(), rig.connect()).unwrap();
    assert!(matches!(session.read().unwrap(), Message::Text(_)));
    rig.app().stop();
    match session.read().unwrap() {
        Message::Close(Some(frame)) => {
            assert_eq!(frame.code, CloseCode::Restart);
            assert_eq!(frame.reason, CODE);
        }
        other => panic!("{other:?}"),
    }
    rig.stop();
}

#[test]
fn a_second_signal_ends_streams_with_the_error_at_once() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .token_interval(Duration::from_millis(20))
        .start_blocking()
        .unwrap();
    let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
    let command = command
        .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .stdout(std::process::Stdio::null());
    let directory = Directory::new();
    let mut served = Served::start(with_upstream(command, &emulator, &directory));
    let (mut stream, _) = begin(Client::connect(served.data_addr()), CHAT);
    served.terminate();
    eventually(|| {
        served
            .logged("stopping: running requests may finish")
            .is_some()
    });
    let mut more = Vec::new();
    stream.chunks(&mut more, 10);
    served.terminate();
    let rest = String::from_utf8(stream.rest()).unwrap();
    assert!(rest.contains(CODE) && !rest.contains("[DONE]"), "{rest}");
    assert_eq!(served.wait().code(), Some(0));
    assert!(served.logged("stopped").is_some());
}

#[test]
fn a_third_signal_ends_a_process_that_cannot_end_by_itself() {
    let emulator = Emulator::builder()
        .api_key(EMULATOR_KEY)
        .start_blocking()
        .unwrap();
    // Whoever reads the access log has hung up on it without closing it, so its last line is never written.
    let (log, stdout) = std::io::pipe().unwrap();
    fill(&stdout);
    let directory = Directory::new();
    let mut command = command(["serve", "--listen", "127.0.0.1:0", "--ebpf", "off"]);
    let command = command
        .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .stdout(stdout);
    let mut served = Served::start(with_upstream(command, &emulator, &directory));
    let reply = Client::connect(served.data_addr()).request("POST", CHAT, &[], QUESTION.as_bytes());
    assert_eq!(reply.status, 200);
    for says in [
        "stopping: running requests may finish",
        "told again to stop: running requests are ended",
    ] {
        served.terminate();
        eventually(|| served.logged(says).is_some());
    }
    // The data port is closed, and the process is still there.
    eventually(|| std::net::TcpStream::connect(served.data_addr()).is_err());
    assert!(served.is_running(), "{:?}", served.log());
    served.terminate();
    assert_eq!(served.wait().code(), Some(1), "{:?}", served.log());
    assert!(served.logged("stopped").is_none());
    drop(log);
}

/// Writes until nothing more fits.
fn fill(mut pipe: &std::io::PipeWriter) {
    let flags = fcntl_getfl(pipe).unwrap();
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).unwrap();
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    while pipe.write(b"\n").is_ok() {}
    fcntl_setfl(pipe, flags).unwrap();
}
