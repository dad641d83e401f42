//! h2 clients that send what costs them little and the proxy much.

use std::io;

use crate::harness::frames::{CANCEL, DATA, ENHANCE_YOUR_CALM, Frame, Frames, GOAWAY, SETTINGS};
use crate::harness::{CHAT, QUESTION, Rig};

fn connect(rig: &Rig) -> Frames {
    Frames::connect(rig.connect()).unwrap()
}

/// Reads until the connection ends; why the proxy says it does.
fn go_away(frames: &mut Frames) -> Option<u32> {
    let mut code = None;
    while let Ok(Frame { kind, payload, .. }) = frames.any() {
        if kind == GOAWAY {
            code = payload[4..8].try_into().ok().map(u32::from_be_bytes);
        }
    }
    code
}

#[track_caller]
fn assert_serves_others(rig: &Rig) {
    assert_eq!(rig.post(CHAT, QUESTION).status, 200);
    rig.wait_metric("holysheep_http_requests_in_flight", 0.0);
}

#[test]
fn streams_have_a_limit() {
    let rig = Rig::start();
    let settings = connect(&rig).any().unwrap();
    assert_eq!(settings.kind, SETTINGS);
    let pairs = settings.payload.chunks(6);
    let limit = pairs
        .filter(|pair| pair[..2] == [0, 3])
        .map(|pair| &pair[2..]);
    assert_eq!(limit.collect::<Vec<_>>(), [256_u32.to_be_bytes()]);
    let mut frames = connect(&rig);
    let stall = [("x-emulator-fault", "stall-before-headers")];
    for number in 0..300 {
        frames.ask(2 * number + 1, CHAT, &stall, true).unwrap();
    }
    rig.wait_stats(|stats| stats.in_flight == 256);
    drop(frames);
    rig.wait_stats(|stats| stats.in_flight == 0);
    assert_eq!(rig.emulator.stats().requests, 256);
    assert_serves_others(&rig);
}

#[test]
fn streams_that_are_reset_at_once_end_the_connection() {
    let rig = Rig::start();
    let mut frames = connect(&rig);
    let flood = |frames: &mut Frames| -> io::Result<()> {
        for number in 0..100_000 {
            frames.ask(2 * number + 1, CHAT, &[], true)?;
            frames.reset(2 * number + 1, CANCEL)?;
        }
        Ok(())
    };
    let flooded = flood(&mut frames);
    let code = go_away(&mut frames);
    // Either its GOAWAY came, or a reset that overtook it.
    assert!(
        code == Some(ENHANCE_YOUR_CALM) || flooded.is_err(),
        "{code:?}"
    );
    rig.wait_metric("holysheep_http_connections", 0.0);
    assert!(rig.emulator.stats().requests < 1_000);
    rig.wait_stats(|stats| stats.in_flight == 0);
    assert_serves_others(&rig);
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let rig = Rig::start();
    let mut frames = connect(&rig);
    frames.ask(1, CHAT, &[], false).unwrap();
    // One long field, in frames of the largest size; far more than the socket's buffers hold.
    let mut field = b"\x00\x01x\x7f\xff\xff\xff\x7f".to_vec();
    field.resize(16_384, b'v');
    let mut sent = 0;
    while sent < 256 << 20 && frames.go_on(1, &field).is_ok() {
        sent += field.len();
        field.fill(b'v');
    }
    assert!(sent < 256 << 20, "it is never stopped");
    rig.wait_metric("holysheep_http_connections", 0.0);
    assert_eq!(rig.emulator.stats().requests, 0);
    assert_serves_others(&rig);
}

#[test]
fn a_client_that_grants_no_window_stops_upstream() {
    const WINDOW: usize = 65_535;
    let rig = Rig::start();
    let mut frames = connect(&rig);
    let large = [("x-emulator-fault", "oversized-body;bytes=419430400")];
    frames.ask(1, CHAT, &large, true).unwrap();
    let read = |frames: &mut Frames, bytes: usize| {
        let mut count = 0;
        while count < bytes {
            let frame = frames.any().unwrap();
            count += usize::from(frame.kind == DATA) * frame.payload.len();
        }
        assert_eq!(count, bytes, "more than the window");
    };
    read(&mut frames, WINDOW);
    frames.allow(0, 100_000).unwrap();
    frames.allow(1, 100_000).unwrap();
    read(&mut frames, 100_000);
    // What is on its way fills the sockets of both sides, and no more.
    assert!(rig.emulator.stats().bytes_sent < 64 << 20);
    drop(frames);
    rig.wait_stats(|stats| stats.in_flight == 0);
    assert_serves_others(&rig);
}
