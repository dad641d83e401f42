//! The status page for a browser: one self-contained document.

use std::fmt::Write;

use super::status::{FileStatus, Status, UpstreamStatus};
use super::upstream::{EndpointStatus, KeyStatus};

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:46rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:1.6rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent)}\
th{font-weight:normal;width:40%;opacity:.75}\
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
    upstream(&mut page, &status.upstream);
    for other in &status.upstreams {
        upstream(&mut page, other);
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

fn upstream(page: &mut String, upstream: &UpstreamStatus) {
    let endpoints = match &upstream.resolution_error {
        Some(reason) => reason.clone(),
        None => {
            let endpoints = upstream.endpoints.iter().map(EndpointStatus::in_words);
            endpoints.collect::<Vec<_>>().join("; ")
        }
    };
    let keys: Vec<_> = upstream.keys.iter().map(KeyStatus::in_words).collect();
    let retries = upstream.retries.iter();
    let retries: Vec<_> = retries
        .map(|retries| format!("{}: {}", retries.reason, retries.count))
        .collect();
    rows(
        page,
        &format!("Upstream {}", upstream.name),
        &[
            ("Base URL", upstream.base_url.clone()),
            ("Breaker", upstream.breaker.replace('_', " ")),
            ("Endpoints", endpoints),
            ("Keys", keys.join(", ")),
            (
                "Requests sent again",
                match retries.is_empty() {
                    true => "none".to_owned(),
                    false => retries.join(", "),
                },
            ),
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
            ("… begin with", upstream.windows.start_in_words()),
            (
                "Windows after idling",
                upstream.windows.after_idle.in_words(),
            ),
        ],
    );
}

fn rows(page: &mut String, title: &str, rows: &[(&str, String)]) {
    // Writing into a string cannot fail.
    let _ = write!(page, "<h2>{}</h2><table>", escaped(title));
    for (name, value) in rows {
        let _ = write!(page, "<tr><th scope=row>{name}<td>{}", escaped(value));
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
