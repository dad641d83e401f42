//! Feeds the scanners of bodies and the reader of files with whatever libFuzzer comes up with. `cargo xtask fuzz` builds
//! and runs it.
//!
//! The first bytes of an input say what it is taken for and where it is cut. Whatever it is, a scanner must not panic,
//! must find the same at every cut, and in what is JSON what `serde_json` finds. For files see [`file`].
#![no_main]

mod file;
// Links to the proxy's own.
#[expect(dead_code, reason = "the proxy uses the rest")]
mod stream;
mod tree;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stream::frames::{Frames, Part};
use stream::request::RequestScanner;
use stream::response::ResponseScanner;

fuzz_target!(|input: &[u8]| {
    let [kind, step, data @ ..] = input else {
        return;
    };
    let step = usize::from(*step) + 1;
    match kind % 5 {
        0 => request(data, step),
        1 => response(data, step, || ResponseScanner::new(false)),
        2 => response(data, step, || ResponseScanner::new(true)),
        3 => {
            response(data, step, ResponseScanner::of_session);
            frames(data, step);
        }
        _ => file::read(data),
    }
});

fn request(data: &[u8], step: usize) {
    let scan = |step: usize| {
        let mut scanner = RequestScanner::default();
        let mut end = None;
        for (index, piece) in data.chunks(step).enumerate() {
            if let Some(at) = scanner.feed(piece) {
                assert!(end.is_none(), "it ends once");
                end = Some(index * step + at);
            }
        }
        let asked = scanner.asked();
        (
            asked.model.take(),
            asked.is_stream,
            asked.has_stream_options,
            end,
        )
    };
    let whole = scan(data.len().max(1));
    assert_eq!(scan(step), whole);
    let Some((object, document)) = object(data) else {
        return;
    };
    assert_eq!(whole.3.map(|at| at + 1), Some(document), "where it ends");
    assert_eq!(whole.2, has(&object, "stream_options"));
}

fn response(data: &[u8], step: usize, scanner: impl Fn() -> ResponseScanner) {
    let scan = |step: usize| {
        let mut scanner = scanner();
        data.chunks(step).for_each(|piece| scanner.feed(piece));
        scanner
    };
    let whole = scan(data.len().max(1));
    assert_eq!(scan(step).found(), whole.found());
}

fn frames(data: &[u8], step: usize) {
    let scan = |step: usize| {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for piece in data.chunks(step) {
            frames.feed(piece, |part| match part {
                Part::Text(text) => all.extend_from_slice(text),
                Part::TextEnd => all.extend_from_slice(b"<end>"),
                Part::Close => all.extend_from_slice(b"<close>"),
            });
        }
        all
    };
    assert_eq!(scan(step), scan(data.len().max(1)));
}

/// The members of an object without escapes in its keys and without members of the same name, and where it ends.
fn object(data: &[u8]) -> Option<(serde_json::Map<String, Value>, usize)> {
    let mut documents = serde_json::Deserializer::from_slice(data).into_iter::<Value>();
    let Value::Object(members) = documents.next()?.ok()? else {
        return None;
    };
    let end = documents.byte_offset();
    // An escape may hide a name that serde_json finds.
    (!data.get(..end)?.contains(&b'\\')).then_some((members, end))
}

fn has(members: &serde_json::Map<String, Value>, name: &str) -> bool {
    members.contains_key(name)
}
