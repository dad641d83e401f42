//! Connections of the load generator that speak h2: several requests in flight on each.

use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderName, HeaderValue, Request, Uri};
use tokio::task::JoinSet;

use super::Shared;
use super::connection::{InFlight, PAUSE};

/// Requests in flight on one connection, unless there are fewer in all.
pub(super) const STREAMS: usize = 16;

/// A request as h2 sends it: without what HTTP/1.1 says of connections and lengths.
#[derive(Debug, Clone)]
pub(super) struct Message {
    head: Request<()>,
    body: Bytes,
}

impl Message {
    /// The same request as these bytes of HTTP/1.1, to a server by this scheme.
    ///
    /// # Errors
    /// When they are none.
    pub(super) fn of(request: &[u8], scheme: &str) -> Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = parsed.parse(request)? else {
            anyhow::bail!("an incomplete request");
        };
        let (method, path) = (parsed.method.context("no method")?, parsed.path);
        let host = parsed.headers.iter().find(|field| is(field, "host"));
        let host = std::str::from_utf8(host.context("no host")?.value)?;
        let uri: Uri = format!("{scheme}://{host}{}", path.context("no path")?).parse()?;
        let mut head = Request::builder().method(method).uri(uri).body(())?;
        for field in parsed.headers.iter() {
            // RFC 9113 sections 8.2.2 and 8.3.1.
            if !is(field, "host") && !is(field, "connection") {
                let name = HeaderName::from_bytes(field.name.as_bytes())?;
                let value = HeaderValue::from_bytes(field.value)?;
                head.headers_mut().append(name, value);
            }
        }
        Ok(Self {
            head,
            body: Bytes::copy_from_slice(request.get(length..).unwrap_or_default()),
        })
    }
}

fn is(field: &httparse::Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

/// Keeps so many requests in flight until the load stops, on one connection after another.
pub(super) async fn drive(shared: Rc<Shared>, message: Rc<Message>, streams: usize) {
    while !shared.stopping.get() && shared.left.get() != Some(0) {
        if let Err(error) = connect_and_send(&shared, &message, streams).await {
            shared.failed(&error);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn connect_and_send(
    shared: &Rc<Shared>,
    message: &Rc<Message>,
    streams: usize,
) -> Result<()> {
    let stream = shared.target.connect(super::socket()?).await?;
    let (client, connection) = h2::client::handshake(stream).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn_local(async move { Ok(connection.await?) });
    for _ in 0..streams {
        let (shared, message) = (Rc::clone(shared), Rc::clone(message));
        let client = client.clone();
        tasks.spawn_local(async move { send(&shared, client, &message).await });
    }
    // The connection ends by itself once no stream needs it any more.
    drop(client);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Sends one request after the other until the load stops.
async fn send(shared: &Shared, mut client: SendRequest<Bytes>, message: &Message) -> Result<()> {
    loop {
        shared.turn().await;
        if !shared.next() {
            return Ok(());
        }
        let in_flight = InFlight::new(shared);
        let begin = Instant::now();
        client = client.ready().await?;
        let (response, mut body) = client.send_request(message.head.clone(), false)?;
        body.send_data(message.body.clone(), true)?;
        let response = response.await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            length += data.len() as u64;
            body.flow_control().release_capacity(data.len())?;
        }
        let latency = begin.elapsed();
        drop(in_flight);
        ensure!(status == 200, "status {}", status.as_u16());
        shared.target.check_length(length)?;
        shared.answered(latency);
    }
}

/// How many requests in flight each connection has, for so many in all.
pub(super) fn split(in_flight: usize) -> Vec<usize> {
    let connections = in_flight.div_ceil(STREAMS).max(1);
    let (each, rest) = (in_flight / connections, in_flight % connections);
    (0..connections)
        .map(|number| each + usize::from(number < rest))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::request::chat_completion;

    #[test]
    fn requests_in_flight_are_spread_over_few_connections() {
        assert_eq!(split(1), [1]);
        assert_eq!(split(4), [4]);
        assert_eq!(split(16), [16]);
        assert_eq!(split(32), [16, 16]);
        assert_eq!(split(33), [11, 11, 11]);
        assert_eq!(split(50), [13, 13, 12, 12]);
    }

    #[test]
    fn a_message_is_the_request_without_its_connection() {
        let request = chat_completion(80, "keep-alive");
        let message = Message::of(&request, "http").unwrap();
        assert_eq!(message.head.method(), "POST");
        let uri = "http://localhost:80/v1/chat/completions";
        assert_eq!(message.head.uri().to_string(), uri);
        let fields = message.head.headers();
        assert_eq!(fields["authorization"], "Bearer client");
        assert_eq!(fields["content-length"], message.body.len().to_string());
        assert!(!fields.contains_key("connection") && !fields.contains_key("host"));
        assert!(request.ends_with(&message.body) && message.body.starts_with(b"{"));
        assert!(Message::of(b"POST / HTTP/1.1\r\n", "http").is_err());
    }
}
