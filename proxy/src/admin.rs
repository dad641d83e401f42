//! The admin port: metrics, health, status, configuration. Never the data port.

mod accept;
pub mod clients;
pub mod cost;
pub mod failures;
pub mod file;
pub mod history;
pub mod latency;
mod limits;
pub mod page;
pub mod process;
pub mod requests;
pub mod status;
mod totals;
pub mod traces;
mod upstream;
pub mod usage;
pub mod webhook;
pub mod windows;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use ipnet::IpNet;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::Addresses;
use crate::clients::follow::Book;
use crate::health;
use crate::kernel::Kernel;
use crate::metrics::{Condition, Format};
use crate::readiness::Readiness;
use crate::reload::Reloads;
use crate::tls::Acceptor;
use crate::webhook::Webhook;
use history::History;
use totals::Totals;

/// How long a scraper may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the admin port can tell.
#[derive(Debug)]
pub struct Admin {
    /// Configuration, upstream, metrics and health, and what follows for traffic.
    pub readiness: Arc<Readiness>,
    /// Kernel programs.
    pub kernel: Arc<Kernel>,
    /// Where the proxy listens.
    pub addresses: Addresses,
    /// The TLS listener's certificate.
    pub acceptor: Option<Acceptor>,
    /// Where steered probes come from.
    pub sources: Vec<IpNet>,
    /// The configuration file.
    pub reloads: Arc<Reloads>,
    /// Notices of payments, if they are taken.
    pub webhook: Option<Arc<Webhook>>,
    /// The clients, where they have keys of their own.
    pub clients: Option<Arc<Book>>,
    /// When the proxy started.
    pub started: Instant,
    /// The last five minutes.
    pub history: RefCell<History>,
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
    let mut looks = interval(history::INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = looks.tick() => {
                admin.history.borrow_mut().add(Totals::of(&admin));
                continue;
            }
        };
        let stream = match accepted {
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
            "/livez" => verdict(&self.readiness.health.not_alive()),
            "/readyz" => verdict(&self.readiness.not_ready()),
            "/status" => json(serde_json::to_string_pretty(&self.status())),
            "/config" => json(serde_json::to_string_pretty(
                &**self.readiness.config.load(),
            )),
            "/" => self.page(),
            _ => text(
                StatusCode::NOT_FOUND,
                "here are / /metrics /livez /readyz /status /config\n".to_owned(),
            ),
        }
    }

    fn metrics(&self, format: Format) -> Answer {
        match self.readiness.metrics.encode(format, self.condition()) {
            Ok(text) => {
                let mut answer = answer(StatusCode::OK, format.content_type(), text);
                let accept = http::HeaderValue::from_static("accept");
                answer.headers_mut().insert(http::header::VARY, accept);
                answer
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn page(&self) -> Answer {
        let text = page::render(&self.status());
        let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", text);
        if let Some(policy) = page::policy() {
            let fields = answer.headers_mut();
            fields.insert(http::header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    fn condition(&self) -> Condition {
        let links = self.readiness.links.load_full();
        Condition {
            ready: self.readiness.not_ready().is_empty(),
            usable: (links.iter())
                .map(|link| self.readiness.unusable_link(link).is_none())
                .collect(),
            links,
            listener_certificate: self.acceptor.as_ref().and_then(Acceptor::expiry),
            reloads: self.reloads.ok.load(Relaxed),
            failed_reloads: self.reloads.failed.load(Relaxed),
            reload_failed: self.reloads.state.load().error.is_some(),
            clients: self.clients.clone(),
        }
    }

    fn status(&self) -> status::Status {
        status::Status::of(self, self.readiness.not_ready())
    }
}

fn verdict(reasons: &[String]) -> Answer {
    if reasons.is_empty() {
        text(StatusCode::OK, "ok\n".to_owned())
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, health::lines(reasons))
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
    for (name, value) in [
        (http::header::CACHE_CONTROL, "no-store"),
        // Nothing here is anything else than it says, or anybody else's business.
        (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (http::header::REFERRER_POLICY, "no-referrer"),
    ] {
        fields.insert(name, http::HeaderValue::from_static(value));
    }
    answer
}
