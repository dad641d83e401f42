//! Tests of `error.rs`.

use super::*;
use crate::metrics::http::REASONS;

/// One error of each kind. The match makes a new kind fail to compile
/// until it is in the list.
fn every_error() -> Vec<ProxyError> {
    use ProxyError as E;
    let second = Duration::from_secs(1);
    let all = vec![
        E::InvalidApiKey,
        E::ClientExpired,
        E::ClientDisabled,
        E::RouteNotAllowed,
        E::ModelNotAllowed("m".into()),
        E::ModelNotKnown,
        E::UnknownRoute,
        E::MethodNotAllowed { allow: "GET" },
        E::RequestTooLarge { limit: 1 },
        E::HeadersTooLarge { limit: 1 },
        E::InvalidRequest("".into()),
        E::RequestTimeout,
        E::RateLimited {
            limit: Limit::Tokens,
            retry_after: second,
        },
        E::InsufficientQuota {
            limit: Limit::Day,
            retry_after: second,
        },
        E::QuotaReserved(Limit::Month),
        E::UpstreamInvalidApiKey,
        E::UpstreamKeyMissing,
        E::UpstreamConnectFailed("".into()),
        E::UpstreamDnsFailed("".into()),
        E::UpstreamCertificateExpired,
        E::UpstreamCertificateInvalid("".into()),
        E::UpstreamConnectTimeout(second),
        E::UpstreamFirstByteTimeout(second),
        E::UpstreamIdleTimeout(second),
        E::TotalTimeout(second),
        E::UpstreamClosed,
        E::UpstreamInvalidResponse("".into()),
        E::UpstreamUnavailable { retry_after: 1 },
        E::NoUpstream,
        E::Overloaded,
        E::Stopping,
        E::WebhookBadSignature(""),
        E::WebhookStale(second),
        E::WebhookRepeated,
        E::WebhookForwardFailed,
        E::ClientClosed,
    ];
    for error in &all {
        match error {
            E::InvalidApiKey | E::UnknownRoute | E::MethodNotAllowed { .. } => {}
            E::ClientExpired | E::ClientDisabled => {}
            E::RouteNotAllowed | E::ModelNotAllowed(_) | E::ModelNotKnown => {}
            E::RequestTooLarge { .. } | E::HeadersTooLarge { .. } => {}
            E::InvalidRequest(_) | E::RequestTimeout | E::RateLimited { .. } => {}
            E::InsufficientQuota { .. } | E::QuotaReserved(_) => {}
            E::UpstreamInvalidApiKey => {}
            E::UpstreamKeyMissing | E::UpstreamConnectFailed(_) => {}
            E::UpstreamDnsFailed(_) | E::UpstreamCertificateExpired => {}
            E::UpstreamCertificateInvalid(_) | E::UpstreamConnectTimeout(_) => {}
            E::UpstreamFirstByteTimeout(_) | E::UpstreamIdleTimeout(_) => {}
            E::UpstreamClosed | E::UpstreamInvalidResponse(_) => {}
            E::UpstreamUnavailable { .. } | E::NoUpstream => {}
            E::WebhookBadSignature(_) | E::WebhookStale(_) => {}
            E::WebhookRepeated | E::WebhookForwardFailed => {}
            E::Overloaded | E::Stopping | E::ClientClosed | E::TotalTimeout(_) => {}
        }
    }
    all
}

#[test]
fn every_code_has_its_counter_and_every_counter_its_code() {
    let codes: Vec<_> = every_error()
        .iter()
        .map(|error| error.class().code)
        .collect();
    for code in &codes {
        assert!(REASONS.contains(code), "{code} would not be counted");
    }
    for reason in REASONS {
        assert!(codes.contains(&reason), "{reason} is no code");
    }
}

#[test]
fn all_5xx_have_the_type_of_their_dialect() {
    for error in every_error() {
        let class = error.class();
        let is_server = class.openai_type == "server_error";
        assert_eq!(is_server, class.status >= 500, "{}", class.code);
        let types = ["api_error", "overloaded_error"];
        assert_eq!(types.contains(&class.anthropic_type), class.status >= 500);
    }
}

#[test]
fn who_is_refused_for_now_is_told_when_to_come_back() {
    for error in every_error() {
        let class = error.class();
        let is_cap = [429, 503].contains(&class.status);
        assert_eq!(class.retry_after.is_some(), is_cap, "{}", class.code);
    }
}

#[test]
fn nothing_upstream_may_have_begun_to_work_on_is_repeated() {
    for error in every_error() {
        let class = error.class();
        let unread = ["upstream_closed", "upstream_first_byte_timeout"];
        let unsent = [
            "upstream_invalid_api_key",
            "upstream_connect_failed",
            "upstream_dns_failed",
            "upstream_certificate_expired",
            "upstream_certificate_invalid",
            "upstream_connect_timeout",
        ];
        let expected = match class.code {
            code if unread.contains(&code) => Retry::Unread,
            code if unsent.contains(&code) => Retry::Unsent,
            _ => Retry::Never,
        };
        assert_eq!(class.retry, expected, "{}", class.code);
    }
}

#[test]
fn the_body_has_the_shape_of_its_dialect() {
    let error = ProxyError::RequestTooLarge { limit: 10 };
    let openai: serde_json::Value = serde_json::from_str(&error.body(Dialect::OpenAi)).unwrap();
    assert_eq!(openai["error"]["code"], "request_too_large");
    assert!(openai["error"]["param"].is_null());
    let anthropic: serde_json::Value =
        serde_json::from_str(&error.body(Dialect::Anthropic)).unwrap();
    assert_eq!(anthropic["type"], "error");
    assert_eq!(anthropic["error"]["type"], "request_too_large");
}

#[test]
fn a_stream_event_never_says_done() {
    let event = ProxyError::UpstreamClosed.stream_event(Dialect::Anthropic);
    assert!(event.starts_with("event: error\ndata: {"));
    assert!(event.ends_with("\n\n"));
    assert!(!event.contains("[DONE]"));
}

/// A cell of a table as it is read: no backticks, and of links the text.
fn plain(cell: &str) -> String {
    let mut text = cell.replace('`', "");
    while let Some((before, rest)) = text.split_once('[') {
        let (link, after) = rest.split_once(')').unwrap();
        let (name, _) = link.split_once("](").unwrap();
        text = format!("{before}{name}{after}");
    }
    text.trim().to_owned()
}

#[test]
fn the_documentation_has_the_same_remedies() {
    let document = include_str!("../../../docs/errors.md");
    for error in every_error() {
        let class = error.class();
        if class.code == "client_closed" {
            continue;
        }
        let line = format!("| {} | `{}` |", class.status, class.code);
        let row = document.lines().find(|row| row.starts_with(&line));
        let row = row.unwrap_or_else(|| panic!("no row for {}", class.code));
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
        assert_eq!(plain(cell), error.remedy(), "{}", class.code);
    }
}
