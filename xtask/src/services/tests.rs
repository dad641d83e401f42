//! Tests of `services.rs`.

use super::*;

#[test]
fn the_announcement_is_understood() {
    let line = "https://localhost:4433/v1  key cr_x  CA target/my dir/ca.pem";
    let emulator = Emulator::parse(line).unwrap();
    assert_eq!(emulator.origin(), "https://localhost:4433");
    assert_eq!(emulator.key, "cr_x");
    assert_eq!(emulator.ca, Path::new("target/my dir/ca.pem"));
    assert_eq!(Emulator::parse("fault: curl …"), None);
}

#[test]
fn answers_are_taken_apart() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nno key\n";
    assert_eq!(parse_answer(answer), Some((503, "no key\n".to_owned())));
    assert_eq!(parse_answer("garbage"), None);
}

/// An admin port whose `/readyz` gives these answers, the last one again and again.
fn admin(answers: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut answers = answers.iter().peekable();
        let mut now = "";
        for client in listener.incoming() {
            now = answers.next().unwrap_or(&now);
            let mut client = client.unwrap();
            let mut request = [0; 1024];
            let _read = client.read(&mut request).unwrap();
            client.write_all(now.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn a_proxy_that_answers_is_up_though_not_ready() {
    let mut group = Group::new().unwrap();
    const WAITING: &str = "HTTP/1.1 503 Service Unavailable\r\n\r\nno address\nno key\n";
    const READY: &str = "HTTP/1.1 200 OK\r\n\r\nready\n";
    let reason = up(&mut group, admin(&[WAITING]), Duration::ZERO).unwrap();
    assert_eq!(reason.as_deref(), Some("no address; no key"));
    let soon = up(&mut group, admin(&[WAITING, READY]), START_LIMIT).unwrap();
    assert_eq!(soon, None);
}

#[test]
fn everywhere_is_reached_on_loopback() {
    let everywhere = "0.0.0.0:80".parse().unwrap();
    assert_eq!(reachable(everywhere).to_string(), "127.0.0.1:80");
}
