//! An upstream that fails again and again is left alone: at once an answer, a trial now and then, and another upstream
//! meanwhile.

use holysheep_emulator::FaultScope;

use crate::errors::assert_error;
use crate::harness::{CHAT, MESSAGES, QUESTION, Reply, Rig, eventually};

/// Three failures open it for so long. No request is sent twice, so that what upstream counts are the clients' requests.
fn config(pause: &str) -> String {
    format!("breaker: {{failures: 3, pause: {pause}, max_pause: 60s}}\nretries: {{attempts: 1}}")
}

fn state(rig: &Rig, upstream: &str) -> String {
    let states = ["closed", "open", "half_open"];
    let holds = |state: &&str| {
        let labels = format!("upstream=\"{upstream}\",state=\"{state}\"");
        rig.metric(&format!("holysheep_upstream_breaker_state{{{labels}}}")) > 0.5
    };
    let mut found = states.iter().filter(|state| holds(state));
    let state = found.next().unwrap();
    assert!(found.next().is_none(), "it is in one state");
    (*state).to_owned()
}

fn opened(rig: &Rig) -> f64 {
    rig.metric("holysheep_upstream_breaker_opened_total{upstream=\"holysheep\"}")
}

/// Fails often enough.
fn open(rig: &Rig) {
    rig.fault("503", FaultScope::Always);
    for _ in 0..3 {
        let reply = rig.post(CHAT, QUESTION);
        assert_eq!((reply.status, reply.error()), (503, None), "{reply:?}");
    }
    assert_eq!(state(rig, "holysheep"), "open");
    assert_eq!(rig.requests()[0], 3);
}

/// Asserts the answer for requests to upstreams that are left alone; the seconds it names.
#[track_caller]
fn assert_unavailable(reply: &Reply, path: &str) -> u32 {
    assert_error(reply, path, 503, "upstream_unavailable");
    reply.header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn after_failures_in_a_row_clients_are_answered_at_once() {
    let rig = Rig::with(&config("30s"));
    open(&rig);
    for path in [CHAT, MESSAGES] {
        let after = assert_unavailable(&rig.post(path, QUESTION), path);
        assert!((1..=30).contains(&after), "{after}");
    }
    assert_eq!(rig.requests(), [3], "nothing is sent");
    rig.wait_rejected("upstream_unavailable", 2);
    assert!((opened(&rig) - 1.0).abs() < 0.1);
    let status = rig.admin("/status").json();
    assert_eq!(status["upstream"]["breaker"], "open", "{status}");
    let pause = status["upstream"]["breaker_pause_seconds"]
        .as_f64()
        .unwrap();
    assert!(pause > 1.0 && pause <= 30.0, "{pause}");
    let line = rig.wait_log(5).pop().unwrap();
    assert_eq!(
        (&line["attempts"], &line["error"]),
        (&0.into(), &"upstream_unavailable".into())
    );
}

#[test]
fn connections_that_cannot_be_made_open_it_too() {
    let rig = Rig::with(&format!("upstream: {{min_idle: 0}}\n{}", config("30s")));
    rig.emulator.stop_accepting();
    for _ in 0..3 {
        assert_error(
            &rig.post(CHAT, QUESTION),
            CHAT,
            502,
            "upstream_connect_failed",
        );
    }
    assert_unavailable(&rig.post(CHAT, QUESTION), CHAT);
    rig.emulator.resume_accepting().unwrap();
    assert_unavailable(&rig.post(CHAT, QUESTION), CHAT);
    assert_eq!(rig.requests(), [0]);
}

#[test]
fn what_is_no_failure_of_upstream_does_not_open_it() {
    let rig = Rig::with(&config("30s"));
    for fault in ["400", "404", "429", "500", "529", "cut;after=10"] {
        for _ in 0..4 {
            rig.faulty(fault);
        }
    }
    // Nor do failures with something good between them.
    for fault in ["503", "503", "400", "502", "504"] {
        rig.faulty(fault);
    }
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    assert_eq!(state(&rig, "holysheep"), "closed");
    assert!(opened(&rig) < 0.5);
}

#[test]
fn a_trial_that_goes_well_closes_it() {
    let rig = Rig::with(&config("300ms"));
    open(&rig);
    rig.emulator.clear_faults().unwrap();
    eventually(|| {
        let reply = rig.post(CHAT, QUESTION);
        if reply.status != 200 {
            assert_eq!(assert_unavailable(&reply, CHAT), 1);
        }
        reply.status == 200
    });
    assert_eq!(rig.requests(), [4], "the first that was sent went well");
    assert_eq!(state(&rig, "holysheep"), "closed");
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
}

#[test]
fn a_trial_that_fails_opens_it_again_for_longer() {
    let rig = Rig::with(&config("300ms"));
    open(&rig);
    eventually(|| {
        let reply = rig.post(CHAT, QUESTION);
        assert_eq!(reply.status, 503);
        reply.error().is_none()
    });
    assert_eq!(rig.requests(), [4]);
    assert_eq!(state(&rig, "holysheep"), "open");
    assert!((opened(&rig) - 2.0).abs() < 0.1);
    let status = rig.admin("/status").json();
    let pause = status["upstream"]["breaker_pause_seconds"]
        .as_f64()
        .unwrap();
    assert!(pause <= 0.6, "{pause}");
    assert_unavailable(&rig.post(CHAT, QUESTION), CHAT);
}

#[test]
fn one_request_at_a_time_tries() {
    let rig = Rig::with(&config("300ms"));
    open(&rig);
    rig.emulator.clear_faults().unwrap();
    rig.fault("stall-before-headers", FaultScope::Always);
    let ask = crate::harness::client::request("POST", CHAT, &[], QUESTION.as_bytes());
    let mut trial = None;
    eventually(|| {
        let mut client = rig.client();
        client.send(&ask);
        // Either the request gets through, or there is an answer.
        let (mut sent, mut answered) = (false, false);
        eventually(|| {
            client.tcp().set_nonblocking(true).unwrap();
            answered = client.tcp().peek(&mut [0]).is_ok();
            client.tcp().set_nonblocking(false).unwrap();
            sent = rig.requests() == [4];
            sent || answered
        });
        if sent {
            trial = Some(client);
        }
        sent
    });
    assert_eq!(state(&rig, "holysheep"), "half_open");
    for _ in 0..5 {
        assert_unavailable(&rig.post(CHAT, QUESTION), CHAT);
    }
    assert_eq!(rig.requests(), [4]);
    let status = rig.admin("/status").json();
    assert_eq!(status["upstream"]["breaker"], "half_open");
    drop(trial);
}

#[test]
fn another_upstream_serves_meanwhile() {
    let rig = Rig::builder().config("breaker: {failures: 3, pause: 300ms, max_pause: 1s}");
    let rig = rig.another(|builder| builder.record(100_000)).start();
    rig.fault("503", FaultScope::Always);
    let ask = || {
        let reply = rig.post(CHAT, QUESTION);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("x-holysheep-attempts").map(str::to_owned)
    };
    for _ in 0..3 {
        assert_eq!(ask().as_deref(), Some("2"));
    }
    assert_eq!(state(&rig, "holysheep"), "open");
    assert_eq!(state(&rig, "second"), "closed");
    let status = rig.admin("/status").json();
    assert_eq!(status["upstreams"][0]["breaker"], "closed", "{status}");
    assert_eq!(ask(), None, "the first is not even asked");
    assert_eq!(rig.requests(), [3, 4]);
    // A trial that fails costs no client its answer, and one that goes well brings the first back.
    eventually(|| ask().is_some());
    assert_eq!(rig.requests()[0], 4);
    rig.emulator.clear_faults().unwrap();
    eventually(|| {
        ask();
        rig.billed()[0] == 1
    });
    assert_eq!(state(&rig, "holysheep"), "closed");
    rig.assert_billed_once();
}

#[test]
fn when_all_are_left_alone_clients_are_answered_at_once() {
    let config = "breaker: {failures: 2, pause: 20s, max_pause: 60s}\nretries: {attempts: 2}";
    let rig = Rig::builder()
        .config(config)
        .another(|builder| builder)
        .start();
    for emulator in rig.emulators() {
        let fault = "502".parse().unwrap();
        emulator.set_fault(fault, FaultScope::Always).unwrap();
    }
    for _ in 0..2 {
        let reply = rig.post(CHAT, QUESTION);
        assert_eq!((reply.status, reply.error()), (502, None), "{reply:?}");
    }
    assert_eq!(
        ["holysheep", "second"].map(|name| state(&rig, name)),
        ["open", "open"]
    );
    let after = assert_unavailable(&rig.post(CHAT, QUESTION), CHAT);
    assert!((1..=20).contains(&after), "{after}");
    assert_eq!(rig.requests(), [2, 2]);
}

/// The failure that opens it is answered like those before it.
#[test]
fn the_last_failure_is_passed_on() {
    let rig = Rig::with("breaker: {failures: 1, pause: 30s, max_pause: 30s}");
    rig.fault("503", FaultScope::Always);
    let reply = rig.post(CHAT, QUESTION);
    assert_eq!((reply.status, reply.error()), (503, None), "{reply:?}");
    assert_eq!(rig.requests(), [1]);
    assert_eq!(
        rig.metric(
            "holysheep_upstream_retries_total{upstream=\"holysheep\",reason=\"status_503\"}"
        ),
        0.0
    );
}
