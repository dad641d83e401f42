//! The forms of the access log: nginx' time, and the text form.

use std::time::{Duration, SystemTime};

use holysheep_emulator::Profile;

use crate::harness::client::request;
use crate::harness::{CHAT, QUESTION, Rig, eventually};

#[test]
fn time_local_is_when_the_request_ended_as_nginx_writes_it() {
    let second = Duration::from_secs(1);
    let slow = Profile::Fixed(Duration::from_millis(1100));
    let rig = Rig::builder()
        .emulator(move |emulator| emulator.profile(slow))
        .start();
    let begun = SystemTime::now();
    rig.post(CHAT, QUESTION);
    let line = rig.wait_log(1).remove(0);
    let logged = SystemTime::now();
    // The same seconds as another library writes them, in nginx' order.
    let mut possible = Vec::new();
    let mut time = begun + second;
    while time < logged + second {
        let date = httpdate::fmt_http_date(time.min(logged));
        let parts: Vec<_> = date.split(' ').collect();
        let [_, day, month, year, clock, _] = parts[..] else {
            panic!("{date}");
        };
        possible.push(format!("{day}/{month}/{year}:{clock} +0000"));
        time += second;
    }
    let text = line["time_local"].as_str().unwrap();
    assert!(
        possible.iter().any(|time| time == text),
        "{text}: {possible:?}"
    );
}

#[test]
fn an_answer_to_head_counts_no_body() {
    let rig = Rig::start();
    let mut client = rig.client();
    for (path, status) in [("/health", 200), (CHAT, 405)] {
        client.send(request("HEAD", path, &[], b""));
        assert_eq!(client.head().status, status);
    }
    for line in rig.wait_log(2) {
        assert_eq!(line["bytes_out"], 0, "{line}");
        assert_eq!(line["body_bytes_sent"], 0, "{line}");
    }
}

#[test]
fn the_text_form_is_the_articles_line_and_what_is_known_beyond_it() {
    let rig = Rig::with("log: {format: text}");
    let fields = [
        ("x-request-id", "id-1"),
        ("user-agent", "a\tb\""),
        ("referer", "https://example.test/a"),
    ];
    let body = QUESTION.replace("\"m\"", "\"two words\"");
    let reply = rig.client().request("POST", CHAT, &fields, body.as_bytes());
    rig.get("/nope\"?x");
    eventually(|| rig.log_text().lines().count() == 2);
    let text = rig.log_text();
    let used = &reply.json()["usage"];
    let pattern = r#"127.0.0.1 - - [#] "POST /v1/chat/completions HTTP/1.1" 200 OUT "https://example.test/a" "a\u0009b\"" rt=# uct=# uht=# urt=# request_id=id-1 route=/v1/chat/completions client=anonymous model="two words" bytes_in=IN bytes_out=OUT attempts=1 upstream=holysheep end=complete usage=reported usage_model="two words" usage_input=PROMPT usage_output=COMPLETION connect_us=# rtt_us=#"#
        .replace("PROMPT", &used["prompt_tokens"].to_string())
        .replace("COMPLETION", &used["completion_tokens"].to_string())
        .replace("IN", &body.len().to_string())
        .replace("OUT", &reply.body.len().to_string());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(without_times(lines[0]), pattern);
    let second = lines[1].replace(&hexadecimal(lines[1]), "ID");
    assert_eq!(
        without_times(&second),
        r#"127.0.0.1 - - [#] "GET /nope\" HTTP/1.1" 404 OUT "-" "-" rt=# uct=- uht=- urt=- request_id=ID route=unknown client=anonymous bytes_in=0 bytes_out=OUT attempts=0 end=error error=unknown_route"#
            .replace("OUT", &word_after(&second, "bytes_out="))
    );
}

fn word_after(line: &str, key: &str) -> String {
    let (_, rest) = line.split_once(key).unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

/// The id the proxy made.
fn hexadecimal(line: &str) -> String {
    let id = word_after(line, "request_id=");
    assert_eq!(id.len(), 32, "{line}");
    id
}

/// The line with `#` for each time in it.
fn without_times(line: &str) -> String {
    let (start, rest) = line.split_once('[').unwrap();
    let (_, rest) = rest.split_once(']').unwrap();
    let is_time = |key: &str| {
        let keys = ["rt", "uct", "uht", "urt", "connect_us", "rtt_us"];
        keys.contains(&key)
    };
    let words = rest.split(' ').map(|word| match word.split_once('=') {
        Some((key, value)) if is_time(key) && value.parse::<f64>().is_ok() => format!("{key}=#"),
        _ => word.to_owned(),
    });
    format!("{start}[#]{}", words.collect::<Vec<_>>().join(" "))
}
