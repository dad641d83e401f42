//! The status page for a browser: one self-contained document.

use std::fmt::Write;

use super::clients::ClientsStatus;
use super::status::{
    FileStatus, LimitsStatus, Status, TracesStatus, UpstreamStatus, WebhookStatus,
};
use super::upstream::{EndpointStatus, KeyStatus};
use crate::config::Auth;

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:46rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:1.6rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent)}\
th{font-weight:normal;width:40%;opacity:.75;vertical-align:top}\
.ready{color:light-dark(#0a6b2d,#5fd38a)}.not{color:light-dark(#a11212,#ff8d85)}";

/// Renders the page.
pub fn render(status: &Status) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width,initial-scale=1'>\
         <title>holysheep-proxy</title><style>{STYLE}</style>\
         <h1>holysheep-proxy {}</h1>",
        status.version
    );
    if status.ready {
        page.push_str("<p class=ready>Ready for traffic.</p>");
    } else {
        page.push_str("<p class=not>Not ready:</p><ul class=not>");
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
    page.push_str(
        "<p><a href=/metrics>metrics</a> · <a href=/status>status as JSON</a> · \
         <a href=/config>configuration</a>",
    );
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
            ("Requests in flight", status.in_flight.to_string()),
            ("Client connections", status.connections.to_string()),
            (
                "Configuration file",
                status
                    .config
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), FileStatus::in_words),
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
