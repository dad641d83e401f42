//! Fields of upstream's responses that the proxy adds or takes away.

use std::time::{Duration, SystemTime};

use crate::harness::upstream::Scripted;
use crate::harness::{CHAT, Reply, Rig};

/// What a client gets when upstream sends these fields.
fn reply_to(fields: &str) -> Reply {
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok");
    let upstream = Scripted::answering(answer);
    let rig = Rig::with(&upstream.config());
    let reply = rig.post(CHAT, "");
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    reply
}

#[test]
fn a_response_without_a_date_gets_one() {
    // A date has whole seconds.
    let before = SystemTime::now() - Duration::from_secs(1);
    let reply = reply_to("");
    let date = httpdate::parse_http_date(reply.header("date").unwrap()).unwrap();
    assert!(date > before && date <= SystemTime::now(), "{reply:?}");
}

#[test]
fn a_date_that_upstream_sent_stays_as_it_is() {
    let date = "Tue, 15 Nov 1994 08:12:31 GMT";
    let reply = reply_to(&format!("Date: {date}\r\n"));
    assert_eq!(reply.header("date"), Some(date));
}

#[test]
fn only_the_proxy_says_x_holysheep_error() {
    let reply = reply_to("X-HolySheep-Error: overloaded\r\nX-Holysheep-Erro: kept\r\n");
    assert_eq!(reply.error(), None);
    assert_eq!(reply.header("x-holysheep-erro"), Some("kept"));
}
