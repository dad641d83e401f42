//! What is not handed on, and what its sender is told.

use super::receiver::Receiver;
use super::sender::{BODY, Notice, PATH, SECRET, now, post};
use super::{assert_counted, rig};
use crate::errors::assert_error;
use crate::harness::client::chunked;
use crate::harness::eventually;

#[test]
fn what_is_not_signed_goes_nowhere() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "");
    let genuine = Notice::new("msg_1");
    let mut altered = genuine.clone();
    altered.body = BODY.to_ascii_uppercase();
    let mut shortened = genuine.clone();
    shortened.body.pop();
    let mut other_id = genuine.clone();
    other_id.id = "msg_2".to_owned();
    let mut other_time = genuine.clone();
    other_time.time -= 1;
    let mut other_secret = Notice::signed(
        "msg_1",
        now(),
        BODY,
        "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB",
    );
    let mut unsigned = genuine.clone();
    unsigned.signature = String::new();
    for notice in [
        &altered,
        &shortened,
        &other_id,
        &other_time,
        &other_secret,
        &unsigned,
    ] {
        let reply = notice.send(&rig);
        assert_error(&reply, PATH, 401, "webhook_bad_signature");
        assert!(!reply.text().contains(&genuine.signature), "{reply:?}");
    }
    let reply = post(&mut rig.client(), &genuine.fields()[..2], &[], BODY);
    assert_error(&reply, PATH, 401, "webhook_bad_signature");
    assert_error(&rig.post(PATH, "{}"), PATH, 401, "webhook_bad_signature");
    assert_counted(&rig, "bad_signature", 8);
    rig.wait_rejected("webhook_bad_signature", 8);
    assert!(receiver.received().is_empty());
    // One of two is enough, as while a secret is changed.
    other_secret.signature = format!("{} {}", other_secret.signature, genuine.signature);
    other_secret.time = genuine.time;
    assert_eq!(other_secret.send(&rig).status, 200);
    // What was refused was not remembered.
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn another_time_than_ours_is_refused_both_ways() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "tolerance: 1m");
    for time in [0, now() - 75, now() + 75, 253_402_300_800] {
        let reply = Notice::at("msg_1", time).send(&rig);
        assert_error(&reply, PATH, 400, "webhook_stale");
    }
    assert_counted(&rig, "stale", 4);
    assert!(receiver.received().is_empty());
    for (id, time) in [("msg_past", now() - 45), ("msg_future", now() + 45)] {
        assert_eq!(Notice::at(id, time).send(&rig).status, 200, "{id}");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_has_come() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "max_body: 64");
    let fits = Notice::signed("msg_fits", now(), &[b'x'; 64], SECRET);
    assert_eq!(fits.send(&rig).status, 200);
    let body = vec![b'x'; 65];
    let large = Notice::signed("msg_large", now(), &body, SECRET);
    let reply = large.send(&rig);
    assert_error(&reply, PATH, 413, "request_too_large");
    let chunks = [("transfer-encoding", "chunked")];
    let wire = chunked(&[&body[..64], &body[64..]]);
    let reply = post(&mut rig.client(), &large.fields(), &chunks, &wire);
    assert_error(&reply, PATH, 413, "request_too_large");
    // Beyond the limit of all requests, and never sent: it is answered all the same.
    let huge = [("content-length", "99999999999")];
    let reply = post(&mut rig.client(), &large.fields(), &huge, b"");
    assert_error(&reply, PATH, 413, "request_too_large");
    assert_counted(&rig, "too_large", 3);
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn a_slow_sender_and_a_slow_receiver_are_given_up() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "timeout: 300ms");
    let notice = Notice::new("msg_1");
    let mut client = notice.begin(&rig);
    assert_error(&client.reply(), PATH, 408, "request_timeout");
    assert_counted(&rig, "incomplete", 1);
    receiver.hold();
    assert_error(&notice.send(&rig), PATH, 502, "webhook_forward_failed");
    assert_counted(&rig, "forward_failed", 1);
    receiver.release();
    assert_eq!(notice.send(&rig).status, 200);
}

#[test]
fn a_receiver_that_hangs_holds_no_more_than_so_many() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "max_concurrent: 2, timeout: 60s");
    receiver.hold();
    let mut held = [
        Notice::new("msg_1").start(&rig),
        Notice::new("msg_2").start(&rig),
    ];
    eventually(|| receiver.received().len() == 2);
    let third = Notice::new("msg_3");
    let reply = third.send(&rig);
    assert_error(&reply, PATH, 503, "overloaded");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_counted(&rig, "overloaded", 1);
    // Requests to models do not wait for it.
    assert_eq!(rig.get("/v1/models").status, 200);
    receiver.release();
    for client in &mut held {
        assert_eq!(client.reply().status, 200);
    }
    assert_eq!(third.send(&rig).status, 200);
    assert_eq!(receiver.received().len(), 3);
}

#[test]
fn whoever_has_no_secret_takes_up_no_more_than_so_many_places() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "timeout: 60s");
    let forged = Notice::signed(
        "msg_1",
        now(),
        BODY,
        "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB",
    );
    let idle: Vec<_> = (0..256).map(|_| forged.begin(&rig)).collect();
    eventually(|| forged.send(&rig).status == 503);
    assert_error(&Notice::new("msg_2").send(&rig), PATH, 503, "overloaded");
    drop(idle);
    eventually(|| Notice::new("msg_2").send(&rig).status == 200);
    assert_counted(&rig, "incomplete", 256);
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn nothing_secret_shows() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "tolerance: 2m");
    let notice = Notice::new("msg_1");
    assert_eq!(notice.send(&rig).status, 200);
    let mut forged = Notice::new("msg_2");
    forged.body.clear();
    assert_eq!(forged.send(&rig).status, 401);
    rig.wait_log(2);
    let signatures = [&notice, &forged].map(|notice| notice.signature[3..].to_owned());
    let places = ["/metrics", "/status", "/config", "/"].map(|path| rig.admin(path).text());
    for text in places.into_iter().chain([rig.log_text()]) {
        for secret in signatures
            .iter()
            .map(String::as_str)
            .chain([&SECRET[6..], "shop=1"])
        {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let config = rig.admin("/config").json();
    assert_eq!(config["webhook"]["tolerance"], "2m");
    let status = &rig.admin("/status").json()["webhook"];
    assert_eq!(status["scheme"], "standard");
    assert_eq!(status["secrets"], 1);
    let results = status["results"].as_array().unwrap();
    let accepted = results.iter().find(|of| of["result"] == "accepted");
    assert_eq!(accepted.unwrap()["count"], 1);
    let page = rig.admin("/").text();
    assert!(
        page.contains("1 secret); accepted: 1; bad signature: 1"),
        "{page}"
    );
}

#[test]
fn keep_alive_goes_on_after_a_refusal() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "");
    let mut client = rig.client();
    let mut forged = Notice::new("msg_1");
    forged.time += 1;
    let reply = post(&mut client, &forged.fields(), &[], BODY);
    assert_error(&reply, PATH, 401, "webhook_bad_signature");
    let reply = post(&mut client, &Notice::new("msg_1").fields(), &[], BODY);
    assert_eq!(reply.status, 200);
}
