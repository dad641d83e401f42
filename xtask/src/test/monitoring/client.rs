//! Small HTTP exchanges on loopback: what users, probes and Grafana would send.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends a whole request and reads until the other side closes, which every request here asks for.
pub(super) fn exchange(address: SocketAddr, request: &str) -> io::Result<String> {
    finish(TcpStream::connect_timeout(&address, PATIENCE)?, request)
}

/// The same from another address of this machine.
pub(super) fn exchange_from(
    source: Ipv4Addr,
    to: SocketAddrV4,
    request: &str,
) -> io::Result<String> {
    let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&descriptor, &SocketAddrV4::new(source, 0))?;
    connect(&descriptor, &to)?;
    finish(TcpStream::from(descriptor), request)
}

/// Sends a request and leaves without waiting for the answer.
pub(super) fn leave(address: SocketAddr, request: &str) -> io::Result<()> {
    TcpStream::connect_timeout(&address, PATIENCE)?.write_all(request.as_bytes())
}

fn finish(mut stream: TcpStream, request: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // An answer that breaks off is an answer, too.
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Prometheus' API.
pub(super) struct Prometheus {
    pub(super) address: SocketAddr,
}

impl Prometheus {
    /// The samples of an instant query: labels and value.
    pub(super) fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(expression)))?;
        match &answer["result"] {
            Value::Array(samples) if answer["resultType"] == "vector" => Ok(samples.clone()),
            _ => bail!("`{expression}` is no vector"),
        }
    }

    /// The field `data` of an answer.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        // In HTTP/1.0 there are no chunks.
        let answer = exchange(self.address, &format!("GET {path} HTTP/1.0\r\n\r\n"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let body: Value = serde_json::from_str(body).with_context(|| {
            format!(
                "Prometheus answers {}",
                head.lines().next().unwrap_or_default()
            )
        })?;
        if body["status"] != "success" {
            bail!("Prometheus answers {}", body["error"]);
        }
        Ok(body["data"].clone())
    }
}

/// Whether any sample is a number.
pub(super) fn has_number(samples: &[Value]) -> bool {
    samples.iter().any(|sample| {
        let value = sample["value"][1].as_str().unwrap_or("NaN");
        value != "NaN"
    })
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_are_sent_as_bytes() {
        assert_eq!(encoded("a{b=~\"c\"}"), "a%7Bb%3D~%22c%22%7D");
    }

    #[test]
    fn nan_is_no_data() {
        let sample = |value: &str| json!({"metric": {}, "value": [1, value]});
        assert!(!has_number(&[sample("NaN")]));
        assert!(has_number(&[sample("NaN"), sample("0")]));
        assert!(!has_number(&[]));
    }
}
