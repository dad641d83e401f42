//! Who signs deliveries: what HolySheep would send.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER};

use crate::harness::client::request;
use crate::harness::{Client, Reply, Rig};

pub(super) const PATH: &str = "/webhooks/payment";
pub(super) const SECRET: &str = "whsec_bmV2ZXItc2hvd24tdG8tYW55Ym9keS1lbHNl";
pub(super) const BODY: &[u8] = br#"{"type":"payment.succeeded","amount": 4200,"currency":"CNY"}"#;

/// Seconds of Unix time.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A delivery in Standard Webhooks' form.
#[derive(Clone)]
pub(super) struct Notice {
    pub(super) id: String,
    pub(super) time: u64,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

impl Notice {
    /// Signed now.
    pub(super) fn new(id: &str) -> Self {
        Self::signed(id, now(), BODY, SECRET)
    }

    pub(super) fn at(id: &str, time: u64) -> Self {
        Self::signed(id, time, BODY, SECRET)
    }

    pub(super) fn signed(id: &str, time: u64, body: &[u8], secret: &str) -> Self {
        let key = secret.strip_prefix("whsec_").unwrap();
        let key = BASE64.decode(key.as_bytes()).unwrap();
        let text = [format!("{id}.{time}.").as_bytes(), body].concat();
        Self {
            id: id.to_owned(),
            time,
            signature: format!("v1,{}", BASE64.encode(&mac(&key, &text))),
            body: body.to_vec(),
        }
    }

    /// Its fields.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", self.time.to_string()),
            ("webhook-signature", self.signature.clone()),
        ]
    }

    /// Sends it.
    #[track_caller]
    pub(super) fn send(&self, rig: &Rig) -> Reply {
        self.send_with(rig, &[])
    }

    /// Sends it with further fields.
    #[track_caller]
    pub(super) fn send_with(&self, rig: &Rig, more: &[(&str, &str)]) -> Reply {
        post(&mut rig.client(), &self.fields(), more, &self.body)
    }

    /// Sends it, and does not wait for the answer.
    pub(super) fn start(&self, rig: &Rig) -> Client {
        self.send_all_but(rig, 0)
    }

    /// Sends it but for its last byte.
    pub(super) fn begin(&self, rig: &Rig) -> Client {
        self.send_all_but(rig, 1)
    }

    fn send_all_but(&self, rig: &Rig, kept: usize) -> Client {
        let fields = self.fields();
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let fields: Vec<_> = fields.collect();
        let whole = request("POST", PATH, &fields, &self.body);
        let mut client = rig.client();
        client.send(&whole[..whole.len() - kept]);
        client
    }
}

/// The value of the field of Stripe's form.
pub(super) fn timestamped(time: u64, body: &[u8], secret: &str) -> String {
    let text = [format!("{time}.").as_bytes(), body].concat();
    format!(
        "t={time},v1={}",
        HEXLOWER.encode(&mac(secret.as_bytes(), &text))
    )
}

#[track_caller]
pub(super) fn post(
    client: &mut Client,
    fields: &[(&str, String)],
    more: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
    let fields: Vec<_> = fields.chain(more.iter().copied()).collect();
    client.request("POST", PATH, &fields, body)
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}
