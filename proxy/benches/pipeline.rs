//! The way of a request through the pipeline: its head is read, it is decided about and written for upstream; the answer's
//! head is read and written for the client; the request is accounted for.
//!
//! What lies between these, waiting for sockets, is not here: `cargo xtask bench cpu` has the whole.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};

use criterion::Criterion;
use holysheep_proxy::account::{End, RequestRecord};
use holysheep_proxy::app::detached;
use holysheep_proxy::config::{Config, ConfigFile};
use holysheep_proxy::connection::peer::Peer;
use holysheep_proxy::connection::timer::Timer;
use holysheep_proxy::downstream::Downstream;
use holysheep_proxy::error::ProxyError;
use holysheep_proxy::forward;
use holysheep_proxy::http1::head::Version;
use holysheep_proxy::http1::{FieldName, Framing, Head, HeadView, encode, framing};
use holysheep_proxy::pipeline::{self, Inbound};
use holysheep_proxy::stream::request::RequestScanner;
use holysheep_proxy::upstream::RequestBody;
use holysheep_proxy::worker::Worker;

use crate::material::{QUESTION, answer_head, request_head};

/// A client that takes everything, and is nowhere.
#[derive(Default)]
struct Sink {
    out: Vec<u8>,
    timer: Timer,
}

impl RequestBody for Sink {
    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<&[u8], ProxyError>> {
        Poll::Ready(Ok(&[]))
    }
}

impl Downstream for Sink {
    fn body_read(&self) -> u64 {
        0
    }

    fn start_head(&mut self, status: u16) {
        encode::status_line(&mut self.out, status);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        encode::field(&mut self.out, name, value);
    }

    fn fields<'a>(
        &mut self,
        head: &HeadView<'a>,
        keep: impl FnMut(FieldName, &'a [u8], &'a [u8]) -> bool,
    ) {
        let out = &mut self.out;
        head.copy_fields(keep, |lines| out.extend_from_slice(lines));
    }

    fn end_head(&mut self, framing: Framing) {
        encode::framing(&mut self.out, framing);
        self.out.extend_from_slice(b"\r\n");
    }

    fn switch(&mut self) {}

    fn refuse_body(&mut self) {}

    fn close_after(&mut self) {}

    fn has_room(&self) -> bool {
        true
    }

    fn push(&mut self, data: &[u8]) {
        self.out.extend_from_slice(data);
    }

    fn end(&mut self) {}

    fn truncate(&mut self) {}

    fn progress(&self) -> u64 {
        0
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.out.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

/// A worker with one upstream, a key, limits, and an access log that goes nowhere.
fn worker() -> holysheep_proxy::app::Detached {
    let key = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-upstream-key");
    std::fs::write(&key, "cr_bench").unwrap();
    let text = format!(
        "upstream: {{base_url: 'https://upstream.test/v1', api_key_file: '{}'}}\n\
         limits: {{per_client: {{requests_per_minute: 100000000}}}}\n\
         log: {{format: json, access: /dev/null}}",
        key.display()
    );
    detached(Config::build(ConfigFile::parse(&text).unwrap()).unwrap()).unwrap()
}

#[inline(never)]
fn once_parse_request(head: &mut Head, bytes: &[u8]) -> Option<usize> {
    head.parse_request(bytes, 0).unwrap()
}

#[inline(never)]
fn once_parse_response(head: &mut Head, bytes: &[u8]) -> Option<usize> {
    head.parse_response(bytes, 0).unwrap()
}

/// From the parsed head to the bytes for upstream, and the record's end with its log line.
#[inline(never)]
fn once_request(worker: &Rc<Worker>, head: &Head, bytes: &[u8], peer: Peer) {
    let mut record = RequestRecord::new(worker, peer, Version::Http11);
    let view = head.view(bytes);
    let inbound = Inbound {
        body: framing::of_request(&view).unwrap(),
        head: view,
        peer,
        https: false,
    };
    black_box(pipeline::plan(worker, &inbound, &mut record));
    record.status = 200;
    record.finish(End::Complete);
}

#[inline(never)]
fn once_response(client: &mut Sink, head: &Head, bytes: &[u8]) {
    let view = head.view(bytes);
    client.out.clear();
    client.start_head(view.status());
    forward::response_fields(&view, client, true);
    client.field(b"x-request-id", b"0123456789abcdef0123456789abcdef");
    client.end_head(framing::of_response(&view, false).unwrap());
}

#[inline(never)]
fn once_scan_request(body: &[u8]) -> Option<usize> {
    RequestScanner::default().feed(body)
}

/// All of this file.
pub(crate) fn bench(criterion: &mut Criterion) {
    let detached = worker();
    let worker = &detached.worker;
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (request, answer) = (request_head(), answer_head());
    let (mut parsed, mut answered) = (Head::default(), Head::default());
    assert_eq!(
        once_parse_request(&mut parsed, &request),
        Some(request.len())
    );
    assert_eq!(
        once_parse_response(&mut answered, &answer),
        Some(answer.len())
    );
    let mut group = criterion.benchmark_group("pipeline");
    group.bench_function("request head, parsed", |bench| {
        let mut head = Head::default();
        bench.iter(|| once_parse_request(&mut head, black_box(&request)));
    });
    group.bench_function("request, decided, written and logged", |bench| {
        let mut count = 0_u32;
        bench.iter(|| {
            once_request(worker, &parsed, black_box(&request), peer);
            // As the worker's beat does it.
            count += 1;
            if count.is_multiple_of(64) {
                worker.flush_log();
            }
        });
    });
    group.bench_function("request body, model found", |bench| {
        bench.iter(|| once_scan_request(black_box(QUESTION.as_bytes())));
    });
    group.bench_function("response head, parsed", |bench| {
        let mut head = Head::default();
        bench.iter(|| once_parse_response(&mut head, black_box(&answer)));
    });
    group.bench_function("response head, written", |bench| {
        let mut client = Sink::default();
        bench.iter(|| once_response(&mut client, &answered, black_box(&answer)));
    });
    group.finish();
    let requests = worker.metrics.http.in_flight.get();
    assert_eq!(requests, 0, "every record has ended");
}
