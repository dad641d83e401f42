//! Tests of `run.rs`.

use super::*;

fn options(listen: &str) -> Options {
    Options {
        listen: listen.parse().unwrap(),
        admin_listen: "127.0.0.1:9090".parse().unwrap(),
        serve_flags: Vec::new(),
    }
}

#[test]
fn the_introduction_says_what_is_upstream() {
    let emulator = Emulator {
        base_url: "https://localhost:1/v1".to_owned(),
        key: "cr_secret".to_owned(),
        ca: "ca.pem".into(),
    };
    let text = introduction(&options("0.0.0.0:8080"), Some(&emulator), None);
    assert!(
        text.contains("export OPENAI_BASE_URL=http://127.0.0.1:8080/v1\n"),
        "{text}"
    );
    assert!(
        text.contains("https://localhost:1/emulator/fault"),
        "{text}"
    );
    assert!(!text.contains("cr_secret"), "{text}");
    let text = introduction(&options("127.0.0.1:8080"), None, None);
    assert!(!text.contains("emulator"), "{text}");
}

#[test]
fn the_introduction_says_what_the_proxy_waits_for() {
    let text = introduction(&options("127.0.0.1:8080"), None, None);
    assert!(text.starts_with("\nThe proxy is ready.\n"), "{text}");
    let text = introduction(&options("127.0.0.1:8080"), None, Some("no address"));
    assert!(text.contains("not ready: no address."), "{text}");
    assert!(text.contains("http://127.0.0.1:9090/readyz"), "{text}");
}

#[test]
fn paths_work_in_another_terminal() {
    let here = env::current_dir().unwrap();
    let shown = shell_path(&here.join("target/ca.pem"));
    assert!(shown.contains(&*here.to_string_lossy()), "{shown}");
    assert_eq!(shell_path(Path::new("/a/b-1.pem")), "/a/b-1.pem");
    assert_eq!(shell_path(Path::new("/it's here")), r"'/it'\''s here'");
}

#[test]
fn a_port_in_use_is_named_with_its_settings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let error = must_be_free(address, "--listen", "HOLYSHEEP_LISTEN").unwrap_err();
    assert!(
        error.to_string().contains("run --listen 127.0.0.1:PORT"),
        "{error}"
    );
}
