//! `POST /webhooks/payment`: what is genuine is handed on once, and nothing else is.

pub(crate) mod receiver;
mod refusals;
mod sender;
mod settings;

use std::io::Write;

use holysheep_emulator::{Authority, CertificateKind};

use crate::errors::assert_error;
use crate::harness::client::chunked;
use crate::harness::h2::{H2, full, pieces, request};
use crate::harness::{Directory, Rig, eventually};
use receiver::Receiver;
use sender::{BODY, Notice, PATH, SECRET, now, post, timestamped};

/// A rig that forwards to the receiver; `more` are further settings of `webhook:`.
fn rig(receiver: &Receiver, more: &str) -> Rig {
    rig_to(&format!("http://{}/pay?shop=1", receiver.address), more, 1)
}

fn rig_to(forward_to: &str, more: &str, workers: usize) -> Rig {
    let yaml = format!("webhook: {{forward_to: '{forward_to}', {more}}}");
    let builder = Rig::builder().config(yaml).workers(workers);
    builder
        .edit(|file, directory, _| {
            let path = directory.write("webhook-secret", SECRET);
            file.webhook.secret_file = Some(path);
        })
        .start()
}

#[track_caller]
fn assert_counted(rig: &Rig, result: &str, count: u32) {
    let sample = format!("holysheep_webhooks_total{{result=\"{result}\"}}");
    rig.wait_metric(&sample, f64::from(count));
}

#[test]
fn a_genuine_delivery_is_handed_on_as_it_came() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "");
    let notice = Notice::new("msg_1");
    let more = [
        ("content-type", "application/json; charset=utf-8"),
        ("user-agent", "HolySheep-Pay/1"),
        ("x-event", "a"),
        ("x-event", "b"),
        ("x-hop", "dropped"),
        ("connection", "x-hop"),
        ("authorization", "Bearer sk-client"),
        ("x-api-key", "sk-client"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "192.0.2.9"),
        ("x-real-ip", "192.0.2.9"),
        ("x-request-id", "req-1"),
        ("x-holysheep-webhook-verified", "spoofed"),
    ];
    let reply = notice.send_with(&rig, &more);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["status"], "delivered");
    assert_eq!(reply.header("x-request-id"), Some("req-1"));
    let [got] = &receiver.received()[..] else {
        panic!("{} came", receiver.received().len());
    };
    assert!(
        got.head.starts_with("POST /pay?shop=1 HTTP/1.1\r\n"),
        "{}",
        got.head
    );
    assert_eq!(got.body, BODY);
    let address = receiver.address.to_string();
    for (name, values) in [
        ("host", &[address.as_str()][..]),
        ("content-type", &["application/json; charset=utf-8"]),
        ("user-agent", &["HolySheep-Pay/1"]),
        ("x-event", &["a", "b"]),
        ("webhook-id", &["msg_1"]),
        ("webhook-signature", &[notice.signature.as_str()]),
        ("x-forwarded-for", &["192.0.2.9, 127.0.0.1"]),
        ("x-request-id", &["req-1"]),
        ("x-holysheep-webhook-verified", &["standard"]),
        ("connection", &["close"]),
        ("x-hop", &[]),
        ("authorization", &[]),
        ("x-api-key", &[]),
        ("cookie", &[]),
        ("x-real-ip", &[]),
    ] {
        assert_eq!(got.values(name), values, "{name} in {}", got.head);
    }
    assert_counted(&rig, "accepted", 1);
    rig.wait_metric(
        "holysheep_http_requests_total{route=\"/webhooks/payment\",status=\"200\"}",
        1.0,
    );
    assert!(
        rig.emulator.requests().is_empty(),
        "none of upstream's business"
    );
}

#[test]
fn it_is_off_by_default() {
    let rig = Rig::start();
    for method in ["POST", "GET"] {
        let reply = rig.client().request(method, PATH, &[], b"");
        assert_error(&reply, PATH, 404, "unknown_route");
    }
    rig.wait_metric(
        "holysheep_http_requests_total{route=\"unknown\",status=\"404\"}",
        2.0,
    );
    assert!(rig.admin("/status").json()["webhook"].is_null());
}

#[test]
fn no_client_key_is_asked_for_and_no_other_method_taken() {
    let receiver = Receiver::start();
    let yaml = format!(
        "auth: passthrough\nwebhook: {{forward_to: 'http://{}'}}",
        receiver.address
    );
    let rig = Rig::builder()
        .config(yaml)
        .edit(|file, directory, _| {
            file.webhook.secret_file = Some(directory.write("webhook-secret", SECRET));
        })
        .start();
    assert_eq!(Notice::new("msg_1").send(&rig).status, 200);
    assert!(
        receiver.received()[0]
            .head
            .starts_with("POST / HTTP/1.1\r\n")
    );
    let reply = rig.get(PATH);
    assert_error(&reply, PATH, 405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("POST"));
}

#[test]
fn a_body_may_come_in_chunks_and_in_h2() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "");
    let notice = Notice::new("msg_chunked");
    let wire = chunked(&[&BODY[..7], &BODY[7..8], &BODY[8..]]);
    let fields = notice.fields();
    let coding = [("transfer-encoding", "chunked"), ("expect", "100-continue")];
    let reply = post(&mut rig.client(), &fields, &coding, &wire);
    assert_eq!(reply.status, 200, "{reply:?}");
    let h2 = H2::connect(rig.data_addr());
    let halves = vec![BODY[..9].to_vec().into(), BODY[9..].to_vec().into()];
    for (id, body) in [("msg_h2", full(BODY)), ("msg_h2_pieces", pieces(halves))] {
        let mut request = request("POST", PATH, body);
        for (name, value) in Notice::new(id).fields() {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        assert_eq!(h2.exchange(request).status(), 200, "{id}");
    }
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    for got in received {
        assert_eq!(got.body, BODY);
        assert_eq!(got.values("content-length"), [BODY.len().to_string()]);
        assert!(got.values("transfer-encoding").is_empty() && got.values("expect").is_empty());
    }
    assert_counted(&rig, "accepted", 3);
}

#[test]
fn stripes_form_is_taken_where_it_is_configured() {
    let receiver = Receiver::start();
    let rig = rig(
        &receiver,
        "scheme: timestamped, signature_header: X-Pay-Signature",
    );
    let value = timestamped(now(), BODY, SECRET);
    let signed = [("x-pay-signature", value)];
    assert_eq!(post(&mut rig.client(), &signed, &[], BODY).status, 200);
    let got = &receiver.received()[0];
    assert_eq!(got.values("x-holysheep-webhook-verified"), ["timestamped"]);
    let again = post(&mut rig.client(), &signed, &[], BODY);
    assert_error(&again, PATH, 409, "webhook_repeated");
    let altered = post(&mut rig.client(), &signed, &[], b"{}");
    assert_error(&altered, PATH, 401, "webhook_bad_signature");
    // The other form is not good here.
    let standard = Notice::new("msg_1").send(&rig);
    assert_error(&standard, PATH, 401, "webhook_bad_signature");
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn a_receiver_that_is_down_is_tried_again_by_the_sender() {
    let receiver = Receiver::start();
    let address = receiver.address;
    let rig = rig(&receiver, "");
    drop(receiver);
    let notice = Notice::new("msg_1");
    for _ in 0..2 {
        let reply = notice.send(&rig);
        assert_error(&reply, PATH, 502, "webhook_forward_failed");
        assert!(!reply.text().contains(&address.to_string()), "{reply:?}");
    }
    let receiver = Receiver::at(address, None);
    for status in [500, 404, 302, 410] {
        receiver.answers(status);
        let reply = notice.send(&rig);
        assert_error(&reply, PATH, 502, "webhook_forward_failed");
    }
    assert_counted(&rig, "forward_failed", 6);
    receiver.answers(204);
    assert_eq!(notice.send(&rig).status, 200);
    assert_error(&notice.send(&rig), PATH, 409, "webhook_repeated");
    assert_eq!(receiver.received().len(), 5);
    assert_counted(&rig, "accepted", 1);
}

#[test]
fn a_delivery_that_was_taken_is_not_handed_on_again() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "");
    let first = Notice::at("msg_1", now() - 5);
    assert_eq!(first.send(&rig).status, 200);
    assert_error(&first.send(&rig), PATH, 409, "webhook_repeated");
    // Its sender has not heard of it, and has signed it once more.
    let signed_again = Notice::at("msg_1", now());
    assert_eq!(signed_again.send(&rig).status, 200);
    assert_eq!(receiver.received().len(), 1);
    assert_counted(&rig, "repeated", 2);
    assert_eq!(Notice::new("msg_2").send(&rig).status, 200);
    assert_eq!(receiver.received().len(), 2);
    assert_counted(&rig, "accepted", 2);
}

#[test]
fn the_same_at_the_same_time_is_handed_on_once() {
    let receiver = Receiver::start();
    let rig = rig_to(&format!("http://{}", receiver.address), "", 2);
    receiver.hold();
    let notice = Notice::new("msg_1");
    let mut first = notice.start(&rig);
    eventually(|| receiver.received().len() == 1);
    for _ in 0..8 {
        assert_error(&notice.send(&rig), PATH, 409, "webhook_repeated");
    }
    receiver.release();
    assert_eq!(first.reply().status, 200);
    assert_eq!(receiver.received().len(), 1);
    assert_counted(&rig, "repeated", 8);
    // Eight begin together; whichever is first goes on.
    let together: Vec<_> = (0..8)
        .map(|_| Notice::at("msg_2", notice.time).start(&rig))
        .collect();
    let statuses = together.into_iter().map(|mut client| client.reply().status);
    let taken = statuses.filter(|status| *status == 200).count();
    assert_eq!(taken, 1);
    assert_eq!(receiver.received().len(), 2);
}

#[test]
fn one_who_leaves_does_not_stop_the_delivery() {
    let receiver = Receiver::start();
    let rig = rig(&receiver, "");
    receiver.hold();
    let notice = Notice::at("msg_1", now() - 5);
    let client = notice.start(&rig);
    eventually(|| receiver.received().len() == 1);
    client.reset();
    receiver.release();
    eventually(|| Notice::new("msg_1").send(&rig).status == 200);
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn the_receivers_certificate_is_verified() {
    let authority = Authority::new().unwrap();
    let valid = authority.server_config(&["127.0.0.1"], CertificateKind::Valid);
    let receiver = Receiver::with_tls(valid.unwrap());
    let forward_to = format!("https://{}/pay", receiver.address);
    let stranger = rig_to(&forward_to, "", 1);
    let reply = Notice::new("msg_1").send(&stranger);
    assert_error(&reply, PATH, 502, "webhook_forward_failed");
    assert!(receiver.received().is_empty());
    let directory = Directory::new();
    let ca = directory.write("receiver-ca.pem", authority.ca_pem());
    let rig = rig_to(&forward_to, &format!("ca_file: '{}'", ca.display()), 1);
    assert_eq!(Notice::new("msg_1").send(&rig).status, 200);
    assert_eq!(receiver.received()[0].body, BODY);
}

#[test]
fn a_secret_is_changed_without_a_restart() {
    const NEXT: &str = "whsec_dGhlLW5leHQtb25lLWlzLW5vdC1zaG93bi1laXRoZXI=";
    let receiver = Receiver::start();
    let rig = rig(&receiver, "");
    rig.wait_watching();
    let mut number = 0;
    let mut status = |secret| {
        number += 1;
        let notice = Notice::signed(&format!("msg_{number}"), now(), BODY, secret);
        notice.send(&rig).status
    };
    assert_eq!((status(SECRET), status(NEXT)), (200, 401));
    rig.directory
        .write("webhook-secret", &format!("{NEXT}\n{SECRET}\n"));
    eventually(|| status(NEXT) == 200);
    assert_eq!(status(SECRET), 200);
    assert_eq!(rig.admin("/status").json()["webhook"]["secrets"], 2);
    rig.directory.write("webhook-secret", NEXT);
    eventually(|| status(SECRET) == 401);
    assert_eq!(status(NEXT), 200);
    // What holds none changes nothing; a good one after it does.
    rig.directory.write("webhook-secret", "whsec_?");
    let mut file = std::fs::File::create(rig.directory.path("other")).unwrap();
    file.write_all(SECRET.as_bytes()).unwrap();
    assert_eq!(status(NEXT), 200);
    std::fs::rename(
        rig.directory.path("other"),
        rig.directory.path("webhook-secret"),
    )
    .unwrap();
    eventually(|| status(SECRET) == 200);
    assert_eq!(status(NEXT), 401);
}
