//! The scanner that looks for tokens in answers as they pass: a document of 1 KB, streams of both dialects in pieces as they
//! come, and one event of a stream.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use holysheep_proxy::account::End;
use holysheep_proxy::account::usage::{Observation, Source};

use crate::material::{ANSWER, stream};

/// As much as comes at once from upstream at most: what a TLS record holds.
const PIECE: usize = 16 << 10;
/// Tokens of the stream.
const TOKENS: usize = 86;
/// A stream in Anthropic's dialect, of the tests.
const MESSAGES: &[u8] = include_bytes!("../tests/fixtures/streams/messages.sse");

#[inline(never)]
fn once_observe(is_stream: bool, body: &[u8], piece: usize) -> Option<u64> {
    let mut observation = Observation::new(is_stream);
    for piece in body.chunks(piece) {
        observation.feed(piece);
    }
    observation.output(End::Complete)
}

#[inline(never)]
fn once_event(observation: &mut Observation, event: &[u8]) {
    observation.feed(event);
}

/// All of this file.
pub(crate) fn bench(criterion: &mut Criterion) {
    let stream = stream(TOKENS);
    let bodies: [(&str, bool, &[u8]); 3] = [
        ("document of 1 KB", false, ANSWER.as_bytes()),
        ("stream of 86 tokens", true, &stream),
        ("stream of messages", true, MESSAGES),
    ];
    let mut group = criterion.benchmark_group("usage");
    for (name, is_stream, body) in bodies {
        let mut observation = Observation::new(is_stream);
        observation.feed(body);
        assert_eq!(
            observation.source(End::Complete),
            Source::Reported,
            "{name}"
        );
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| once_observe(is_stream, black_box(body), PIECE));
        });
    }
    let end = stream.windows(2).position(|two| two == b"\n\n").unwrap() + 2;
    let event = &stream[..end];
    group.throughput(Throughput::Bytes(event.len() as u64));
    group.bench_function("one event", |bench| {
        let mut observation = Observation::new(true);
        bench.iter(|| once_event(&mut observation, black_box(event)));
    });
    group.finish();
}
