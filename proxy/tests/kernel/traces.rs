//! Spans with the kernel's timeline as events: that they are there on a live kernel, in their order, within their span, and at
//! the times that the log line tells of.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use holysheep_emulator::{Emulator, Profile};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::Value;

use crate::Outcome;
use crate::app::{ROUTE, thinks};
use crate::lab::{self, Lab};
use crate::proxy::Proxy;

const REQUESTS: usize = 10;
const STREAMED: &[u8] =
    br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
/// Of a client span, in this order.
const EVENTS: [&str; 5] = [
    "request.sent",
    "kernel.request_first_byte_sent",
    "kernel.response_first_byte_received",
    "response.head_read",
    "gen_ai.first_token",
];

/// Takes spans, as OTLP's own types understand them.
struct Receiver {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::<Mutex<Vec<Value>>>::default();
        let all = Arc::clone(&spans);
        // It ends with the process, and its connections with the proxy.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let all = Arc::clone(&all);
                std::thread::spawn(move || receive(BufReader::new(stream), &all));
            }
        });
        Self { address, spans }
    }

    /// The client spans, once there are so many.
    fn wait(&self, count: usize) -> Vec<Value> {
        let read = || {
            let spans = self.spans.lock().unwrap();
            let spans = spans.iter().filter(|span| span["kind"] == 3);
            spans.cloned().collect::<Vec<_>>()
        };
        lab::eventually("all spans come", || read().len() >= count);
        read()
    }
}

/// Each request of a connection.
fn receive(mut stream: BufReader<TcpStream>, spans: &Mutex<Vec<Value>>) {
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let field = line.to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let request: ExportTraceServiceRequest = serde_json::from_slice(&body).unwrap();
        let request = serde_json::to_value(request).unwrap();
        let received = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
        let received = received.as_array().unwrap().iter().cloned();
        spans.lock().unwrap().extend(received);
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.get_mut().write_all(answer).unwrap();
    }
}

pub(crate) fn with_the_kernels_times(_: &Lab) -> Outcome {
    let receiver = Receiver::start();
    let builder = Emulator::builder().profile(Profile::Fixed(thinks()));
    let emulator = builder.start_blocking().unwrap();
    let settings = format!(
        "traces: {{endpoint: 'http://{}'}}\nupstream: {{min_idle: 0}}",
        receiver.address
    );
    let proxy = Proxy::start(&emulator, &settings);
    let mut client = proxy.client();
    for _ in 0..REQUESTS {
        let reply = client.request("POST", ROUTE, "", STREAMED);
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    let lines = proxy.log(REQUESTS);
    let spans = receiver.wait(REQUESTS);
    assert_eq!(spans.len(), REQUESTS, "{spans:#?}");
    let mut told = 0;
    for line in &lines {
        let span = spans
            .iter()
            .find(|span| span["traceId"] == line["trace_id"]);
        told += u32::from(is_told(span.unwrap(), line));
    }
    println!("  {told} of {REQUESTS} requests have all of the kernel's times");
    assert!(told > 0, "{lines:#?}");
    Ok(())
}

/// Whether a span has all events; if it has, they are those of the log line.
fn is_told(span: &Value, line: &Value) -> bool {
    let at = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let events = span["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|event| &event["name"]).collect();
    let mut times = vec![at(&span["startTimeUnixNano"])];
    times.extend(events.iter().map(|event| at(&event["timeUnixNano"])));
    times.push(at(&span["endTimeUnixNano"]));
    assert!(times.is_sorted(), "{span:#}");
    let kernel = &line["kernel"];
    let (Some(first_byte), Some(lag)) = (
        kernel["first_byte_us"].as_u64(),
        kernel["wakeup_lag_us"].as_u64(),
    ) else {
        // What is not known is no event, and not one at some other time.
        assert!(names.len() < EVENTS.len(), "{span:#}, {line}");
        return false;
    };
    assert_eq!(names, EVENTS, "{span:#}");
    let [_, sent, received, read] = [1, 2, 3, 4].map(|index| times[index]);
    // The log has microseconds, cut off.
    assert_eq!((received - sent) / 1000, first_byte, "{span:#}, {line}");
    assert_eq!((read - received) / 1000, lag, "{span:#}, {line}");
    assert!(u128::from(received - sent) >= thinks().as_nanos(), "{line}");
    true
}
