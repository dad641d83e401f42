//! AI gateways as targets: what their requests have in them, and what they make of the upstream's answer.
//!
//! One writes the answer anew, with members in another order and some of its own, so its length is not upstream's. The first
//! answer is read as JSON and compared; of all others only the length is checked, as of other peers.

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{PATIENCE, Target, Watch, probe, receive_watched, request, socket};
use crate::upstream::answer::COMPLETION;

/// Members that have to be upstream's.
const MEMBERS: [&str; 4] = [
    "/id",
    "/choices/0/message/content",
    "/choices/0/finish_reason",
    "/usage/total_tokens",
];

impl Target {
    /// An AI gateway on loopback, whose requests have these fields, too, each line with its end. What its answers are
    /// has to be learnt ([`Target::known`]): it writes them anew.
    pub(crate) fn gateway(port: u16, fields: &str) -> Self {
        let gateway = Self {
            gateway: Some(fields.trim_end().into()),
            ..Self::plain(port)
        };
        let request = request::usual(&gateway).into();
        Self { request, ..gateway }
    }

    /// Whether it writes requests and answers anew.
    pub(crate) fn is_gateway(&self) -> bool {
        self.gateway.is_some()
    }

    /// Lines for the heads of its requests, each begun with the end of the one before.
    pub(super) fn fields(&self) -> String {
        match self.gateway.as_deref() {
            None | Some("") => String::new(),
            Some(fields) => format!("\r\n{fields}"),
        }
    }

    /// Length of the body that a correct answer has, in bytes.
    pub(crate) fn body_length(&self) -> u64 {
        self.body_length
    }

    /// Sends a request and gives the target back as it is to be used.
    ///
    /// # Errors
    /// When there was no correct answer.
    pub(crate) async fn known(&self) -> Result<Self> {
        match self.is_gateway() {
            true => known(self).await,
            false => probe(self).await.map(|()| self.clone()),
        }
    }
}

/// A body, kept.
#[derive(Default)]
struct Body(Vec<u8>);

impl Watch for Body {
    fn has_read(&mut self) {}
    fn body(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Sends a request and learns how long answers are.
pub(super) async fn known(target: &Target) -> Result<Target> {
    let mut body = Body::default();
    let exchange = async {
        let mut stream = target.connect(socket()?).await.context("cannot connect")?;
        stream.write_all(&target.request).await?;
        receive_watched(&mut stream, &mut BytesMut::new(), &mut body).await
    };
    let answer = timeout(PATIENCE, exchange).await.context("no answer")??;
    ensure!(answer.status == 200, "status {}", answer.status);
    same(&body.0)?;
    Ok(Target {
        body_length: answer.body,
        ..target.clone()
    })
}

/// Whether an answer says what upstream's does.
fn same(body: &[u8]) -> Result<()> {
    let answer: Value = serde_json::from_slice(body).context("the answer is not JSON")?;
    let sent: Value = serde_json::from_str(COMPLETION)?;
    for member in MEMBERS {
        let (got, expected) = (answer.pointer(member), sent.pointer(member));
        ensure!(
            got.is_some() && got == expected,
            "{member} of the answer is {got:?} instead of {expected:?}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_another_order_is_the_same_and_another_text_is_not() {
        same(COMPLETION.as_bytes()).unwrap();
        // Read and written, its members are in the order of the alphabet.
        let value: Value = serde_json::from_str(COMPLETION).unwrap();
        let anew = value.to_string();
        assert_ne!(anew, COMPLETION);
        same(anew.as_bytes()).unwrap();
        let other = COMPLETION.replace("proxy keeps", "proxy drops");
        let error = same(other.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("/choices/0/message/content"), "{error}");
        assert!(same(b"{}").is_err() && same(b"\x1f\x8b").is_err());
    }
}
