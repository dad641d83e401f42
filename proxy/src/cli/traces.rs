//! OpenTelemetry's own environment variables, which go before the file.

use std::borrow::Cow;

use crate::config::{ConfigError, Problem, Secret, TracesFile};

/// Lays the environment over the file.
///
/// # Errors
/// If a variable cannot be read as what it should be.
pub(super) fn environment(file: &mut TracesFile) -> Result<(), ConfigError> {
    lay(file, |name| {
        std::env::var(name).ok().filter(|text| !text.is_empty())
    })
}

fn lay(file: &mut TracesFile, get: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
    if let Some(endpoint) = get("OTEL_EXPORTER_OTLP_ENDPOINT") {
        file.endpoint = Some(endpoint);
    }
    if let Some(name) = get("OTEL_SERVICE_NAME") {
        file.service_name = Some(name);
    }
    if let Some(text) = get("OTEL_TRACES_SAMPLER_ARG") {
        let sample = text.parse();
        let message = "it is no number; expected 0 to 1, such as 0.1";
        file.sample = Some(sample.map_err(|_| wrong("OTEL_TRACES_SAMPLER_ARG", message))?);
    }
    let variable = "OTEL_RESOURCE_ATTRIBUTES";
    for (name, value) in pairs(variable, get(variable).as_deref().unwrap_or_default())? {
        file.attributes.insert(name, value);
    }
    let variable = "OTEL_EXPORTER_OTLP_HEADERS";
    for (name, value) in pairs(variable, get(variable).as_deref().unwrap_or_default())? {
        let value = Secret::field_value(value.into_bytes());
        let value = value.map_err(|error| wrong(variable, &error.to_string()))?;
        file.headers.push((name, value));
    }
    Ok(())
}

/// `a=1,b=2`, with values that may be percent-encoded. What they are is not shown: they may be secret.
fn pairs(variable: &'static str, list: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let members = list.split(',').map(str::trim);
    let members = members.filter(|member| !member.is_empty());
    let read = |member: &str| {
        let (name, value) = member.split_once('=')?;
        let value = decoded(value.trim())?;
        Some((name.trim().to_owned(), value))
    };
    let expected = "it cannot be read; expected such as a=1,b=2";
    let pairs = members.map(|member| read(member).ok_or_else(|| wrong(variable, expected)));
    pairs.collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = (part.get(..2)?, part.get(2..)?);
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn wrong(variable: &'static str, message: &str) -> ConfigError {
    ConfigError::invalid(vec![Problem {
        field: Cow::Borrowed(variable),
        message: message.to_owned(),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(variables: &[(&str, &str)]) -> Result<TracesFile, ConfigError> {
        let mut file = TracesFile::default();
        let get = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        lay(&mut file, get).map(|()| file)
    }

    #[test]
    fn opentelemetrys_variables_are_read() {
        let file = laid(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Basic%20YTpi, x-key=k",
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=test,zone=a%2Cb",
            ),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        let file = file.unwrap();
        assert_eq!(file.endpoint.as_deref(), Some("http://c:4318"));
        assert_eq!(file.sample, Some(0.25));
        assert_eq!(file.attributes.get("zone").map(String::as_str), Some("a,b"));
        let [(name, value), _] = &file.headers[..] else {
            panic!("{} fields", file.headers.len());
        };
        assert_eq!(
            (name.as_str(), value.expose()),
            ("authorization", &b"Basic YTpi"[..])
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_shown() {
        for (variable, value) in [
            ("OTEL_TRACES_SAMPLER_ARG", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0ab"),
        ] {
            let error = laid(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.starts_with(variable), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
