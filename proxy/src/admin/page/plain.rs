//! What the page shows where no scripts run: the same state in tables, as it was when the page was asked for.

use std::fmt::Write;

use crate::admin::clients::ClientsStatus;
use crate::admin::status::{
    FileStatus, LimitsStatus, Status, TakeOverStatus, TracesStatus, UpstreamStatus, WebhookStatus,
};
use crate::admin::upstream::{EndpointStatus, KeyStatus};
use crate::config::Auth;

/// Renders it.
pub(super) fn render(status: &Status) -> String {
    let mut page = format!("<h1>holysheep-proxy {}</h1>", status.version);
    if status.ready {
        page.push_str("<p>Ready for traffic.</p>");
    } else {
        page.push_str("<p>Not ready:</p><ul>");
        for reason in &status.not_ready {
            item(&mut page, reason);
        }
        page.push_str("</ul>");
    }
    proxy(&mut page, status);
    upstream(&mut page, &status.upstream, status.auth);
    for other in &status.upstreams {
        upstream(&mut page, other, status.auth);
    }
    if let Some(clients) = &status.clients {
        table(&mut page, clients);
    }
    let errors: Vec<_> = status
        .errors
        .iter()
        .map(|error| (error.code, error.count.to_string()))
        .collect();
    if !errors.is_empty() {
        rows(&mut page, "Errors since the start", &errors);
    }
    let last = status.last_errors.iter();
    let last: Vec<_> = last.map(|error| (error.code, error.in_words())).collect();
    if !last.is_empty() {
        rows(&mut page, "Last errors", &last);
    }
    page
}

fn proxy(page: &mut String, status: &Status) {
    rows(
        page,
        "Proxy",
        &[
            ("Up for", format!("{} s", status.uptime_seconds)),
            ("Listens on", status.listen.clone()),
            (
                "Listens on, TLS",
                status.tls_listen.clone().unwrap_or_else(|| "–".to_owned()),
            ),
            (
                "Listens for probes",
                status
                    .probes
                    .listen
                    .clone()
                    .unwrap_or_else(|| "–".to_owned()),
            ),
            ("Probes", status.probes.in_words()),
            ("Usage", status.usage.in_words()),
            ("Limits", limits(&status.limits)),
            ("Budgets are kept", status.budgets.in_words()),
            ("Cost", status.cost.in_words()),
            (
                "Payment webhook",
                status
                    .webhook
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), WebhookStatus::in_words),
            ),
            (
                "Traces",
                status
                    .traces
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), TracesStatus::in_words),
            ),
            ("Who may use it", status.auth.as_str().to_owned()),
            ("Workers", status.workers.to_string()),
            ("Requests", status.requests.in_words()),
            ("Requests in flight", status.in_flight.to_string()),
            ("Latency", status.latency.in_words()),
            ("Client connections", status.connections.to_string()),
            (
                "Configuration file",
                status
                    .config
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), FileStatus::in_words),
            ),
            ("Access log", status.log.in_words()),
            (
                "Take-over",
                status
                    .take_over
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), TakeOverStatus::in_words),
            ),
            ("Kernel programs", status.kernel.in_words()),
        ],
    );
}

/// The clients, a line each.
fn table(page: &mut String, clients: &ClientsStatus) {
    let mut lines = vec![("File", clients.file_in_words())];
    let each = clients.clients.iter();
    lines.extend(each.map(|client| (client.name.as_str(), client.in_words())));
    rows(page, "Clients", &lines);
}

fn upstream(page: &mut String, upstream: &UpstreamStatus, auth: Auth) {
    let endpoints = match &upstream.resolution_error {
        Some(reason) => reason.clone(),
        None => lines(&upstream.endpoints, EndpointStatus::in_words),
    };
    let keys = match (upstream.keys.is_empty(), auth.injects_key()) {
        (false, _) => lines(&upstream.keys, KeyStatus::in_words),
        (true, false) => "the clients' own".to_owned(),
        (true, true) => "none".to_owned(),
    };
    let retries = match upstream.retries.is_empty() {
        true => "none".to_owned(),
        false => lines(&upstream.retries, |retries| {
            format!("{}: {}", retries.reason.replace('_', " "), retries.count)
        }),
    };
    let mut table = vec![
        ("Base URL", upstream.base_url.clone()),
        (
            "Can be used",
            match &upstream.unusable {
                Some(reason) => format!("no: {reason}"),
                None => "yes".to_owned(),
            },
        ),
        ("Breaker", upstream.breaker_in_words()),
        ("Endpoints", endpoints),
        ("Keys", keys),
        ("Requests sent again", retries),
        (
            "Connections idle / in use",
            format!("{} / {}", upstream.idle, upstream.active),
        ),
        ("Connections made", upstream.connects.to_string()),
        (
            "… while a request waited",
            upstream.cold_connects.to_string(),
        ),
        ("… failed", upstream.connect_failures.to_string()),
    ];
    if let Some(windows) = &upstream.windows {
        table.push(("… begin with", windows.start_in_words()));
        table.push(("Windows after idling", windows.after_idle.in_words()));
    }
    rows(page, &format!("Upstream {}", upstream.name), &table);
}

/// Each on a line of its own.
fn limits(all: &[LimitsStatus]) -> String {
    match all {
        [] => "–".to_owned(),
        all => lines(all, LimitsStatus::in_words),
    }
}

fn lines<T>(all: &[T], in_words: impl Fn(&T) -> String) -> String {
    all.iter().map(in_words).collect::<Vec<_>>().join("\n")
}

fn rows(page: &mut String, title: &str, rows: &[(&str, String)]) {
    // Writing into a string cannot fail.
    let _ = write!(page, "<h2>{}</h2><table>", escaped(title));
    for (name, value) in rows {
        let value = escaped(value).replace('\n', "<br>");
        let _ = write!(page, "<tr><th scope=row>{name}<td>{value}");
    }
    page.push_str("</table>");
}

fn item(page: &mut String, text: &str) {
    let _ = write!(page, "<li>{}", escaped(text));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
