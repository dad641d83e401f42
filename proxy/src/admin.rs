//! The admin port: metrics, health, status, configuration. Never the data port.

mod accept;
pub mod page;
pub mod status;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::config::{Auth, Config};
use crate::drain::Drain;
use crate::health::Health;
use crate::kernel::Kernel;
use crate::metrics::{Format, Metrics};
use crate::upstream::Link;
use crate::upstream::dns::Resolution;

/// How long a scraper may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the admin port can tell.
#[derive(Debug)]
pub struct Admin {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// Upstream's addresses and key.
    pub link: Arc<Link>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Kernel programs.
    pub kernel: Arc<Kernel>,
    /// The workers' heartbeats.
    pub health: Arc<Health>,
    /// Whether the proxy is stopping.
    pub drain: Drain,
    /// The data port's address.
    pub data: SocketAddr,
    /// The TLS data port's address.
    pub tls: Option<SocketAddr>,
    /// When the proxy started.
    pub started: Instant,
}

type Answer = Response<Full<Bytes>>;

/// Serves until the task is dropped.
pub async fn serve(admin: Admin, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin port cannot be served");
            return;
        }
    };
    let admin = Rc::new(admin);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed on the admin port");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let admin = Rc::clone(&admin);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let answer = admin.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection ended");
            }
        });
    }
}

impl Admin {
    fn answer<B>(&self, request: &Request<B>) -> Answer {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
            let allow = http::HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(http::header::ALLOW, allow);
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(accept::format(request.headers())),
            "/livez" => verdict(&self.not_alive()),
            "/readyz" => verdict(&self.not_ready()),
            "/status" => json(serde_json::to_string_pretty(&self.status())),
            "/config" => json(serde_json::to_string_pretty(&*self.config)),
            "/" => answer(
                StatusCode::OK,
                "text/html; charset=utf-8",
                page::render(&self.status()),
            ),
            _ => text(
                StatusCode::NOT_FOUND,
                "here are / /metrics /livez /readyz /status /config\n".to_owned(),
            ),
        }
    }

    fn metrics(&self, format: Format) -> Answer {
        match self.metrics.encode(format) {
            Ok(text) => {
                let mut answer = answer(StatusCode::OK, format.content_type(), text);
                let accept = http::HeaderValue::from_static("accept");
                answer.headers_mut().insert(http::header::VARY, accept);
                answer
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// Why the process should be restarted.
    fn not_alive(&self) -> Vec<String> {
        let stalled = self.health.stalled();
        stalled
            .map(|worker| format!("{worker} has not run for 5 s"))
            .into_iter()
            .collect()
    }

    /// Why no traffic should come, a reason a line.
    fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.not_alive();
        if self.drain.is_draining() {
            reasons.push("the proxy is stopping".to_owned());
        }
        match &*self.link.addresses.now() {
            Resolution::Known(_) => reasons.extend(self.unreachable()),
            Resolution::Pending => reasons.push("upstream's name is being resolved".to_owned()),
            Resolution::Failed(reason) => {
                reasons.push(format!("upstream's name cannot be resolved: {reason}"));
            }
        }
        if self.config.auth == Auth::Open && self.link.key.with(|key| key.is_none()) {
            reasons.push("there is no upstream API key".to_owned());
        }
        reasons
    }

    /// Why upstream cannot be used, as far as is known: there is no connection,
    /// and the last attempt at one failed.
    fn unreachable(&self) -> Option<String> {
        let upstreams = self.metrics.workers().iter().map(|worker| &worker.upstream);
        let open: i64 = upstreams.map(|u| u.idle.get() + u.active.get()).sum();
        if open > 0 {
            return None;
        }
        let failure = self.link.dials.iter().find_map(|dial| dial.failure())?;
        let name = &self.config.upstream.name;
        Some(format!("upstream {name} cannot be reached: {failure}"))
    }

    fn status(&self) -> status::Status {
        status::Status::of(self, self.not_ready())
    }
}

fn verdict(reasons: &[String]) -> Answer {
    if reasons.is_empty() {
        text(StatusCode::OK, "ok\n".to_owned())
    } else {
        let lines = reasons.join("\n");
        text(StatusCode::SERVICE_UNAVAILABLE, format!("{lines}\n"))
    }
}

fn json(body: serde_json::Result<String>) -> Answer {
    match body {
        Ok(body) => answer(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(content_type),
    );
    fields.insert(
        http::header::CACHE_CONTROL,
        http::HeaderValue::from_static("no-store"),
    );
    answer
}
