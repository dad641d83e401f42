//! Bills of running proxies, from `/status` of their admin ports.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::CostsError;
use super::bill::{Bill, Charge};
use crate::account::usage::Source;
use crate::admin::cost::CostStatus;
use crate::cost::Tokens;

/// For all of one answer.
const LIMIT: Duration = Duration::from_secs(10);
/// A longer answer is not that of a proxy.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The parts of the status that matter.
#[derive(Deserialize)]
struct Status {
    usage: Usage,
    cost: CostStatus,
}

#[derive(Deserialize)]
struct Usage {
    by_source: Vec<BySource>,
}

#[derive(Deserialize)]
struct BySource {
    source: String,
    requests: u64,
}

/// The bill of all of them together.
pub(super) fn bill(urls: &[String]) -> Result<Bill, CostsError> {
    let mut bill = Bill::default();
    for url in urls {
        let failed = |reason: String| CostsError::Admin {
            url: url.clone(),
            reason,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let text = runtime.block_on(async { timeout(LIMIT, ask(url)).await });
        let text = text.unwrap_or_else(|_| Err("no answer within 10 s".to_owned()));
        let status = serde_json::from_slice(&text.map_err(failed)?);
        let status: Status = status
            .map_err(|error| failed(format!("its answer is not that of a proxy: {error}")))?;
        add(&mut bill, &status);
    }
    Ok(bill)
}

fn add(bill: &mut Bill, status: &Status) {
    for of in &status.cost.by_client {
        let charge = Charge {
            requests: of.requests,
            tokens: Tokens {
                input: of.input_tokens,
                cached: of.cached_tokens,
                cache_written: of.cache_written_tokens,
                cache_written_1h: 0,
                output: of.output_tokens,
            },
            usd: of.usd,
            estimated: of.estimated_usd,
        };
        bill.charge(&of.client, &of.model, &charge);
    }
    for of in &status.cost.unpriced {
        bill.unpriced(&of.client, &of.model, [of.input_tokens, of.output_tokens]);
    }
    let unknown = status.usage.by_source.iter();
    let unknown = unknown.filter(|of| of.source == Source::Unknown.as_str());
    bill.unknown += unknown.map(|of| of.requests).sum::<u64>();
}

async fn ask(url: &str) -> Result<Bytes, String> {
    const EXPECTED: &str = "expected the URL of an admin port, such as http://127.0.0.1:9090";
    let uri: http::Uri = url.parse().map_err(|_| EXPECTED.to_owned())?;
    let is_http = uri
        .scheme()
        .is_none_or(|scheme| *scheme == http::uri::Scheme::HTTP);
    let authority = uri.authority().filter(|_| is_http);
    let authority = authority.ok_or_else(|| EXPECTED.to_owned())?;
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let request = http::Request::get("/status")
        .header(http::header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status() != http::StatusCode::OK {
            return Err(format!("GET /status: {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes())
    };
    tokio::pin!(answer, connection);
    // A connection that ends may have brought the whole answer before.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
