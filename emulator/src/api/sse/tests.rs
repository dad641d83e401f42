//! Tests of `sse.rs`.

use super::*;

fn event(stamped: bool) -> Event {
    Event {
        bytes: Vec::new(),
        stamped,
    }
}

#[test]
fn events_are_framed() {
    let mut plain = event(false);
    plain.named("ping", &serde_json::json!({"type": "ping"}));
    assert_eq!(plain.bytes, b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

#[test]
fn send_time_is_one_more_member() {
    let mut stamped = event(true);
    stamped.data(&serde_json::json!({"id": 1}));
    let text = String::from_utf8(stamped.bytes).unwrap();
    let json = text.strip_prefix("data: ").unwrap().trim_end();
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(value["id"], 1);
    assert!(value[SENT_MEMBER].as_u64().unwrap() > 1_600_000_000_000_000_000);
}
