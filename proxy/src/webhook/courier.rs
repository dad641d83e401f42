//! The control thread's side: what has been delivered, what is under way, and the file with the secrets.
//!
//! One thread decides what is new, so no delivery is forwarded twice at once. The receiver's answer decides what is
//! remembered: one that failed may come again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use hyper::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::seen::{Seen, Verdict};
use super::signature::Identity;
use super::target::Target;
use super::{Secrets, Webhook};
use crate::config::WebhookSecrets;
use crate::watch::FileWatch;

/// A genuine delivery on its way to the receiver.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) identity: Identity,
    pub(super) timestamp: u64,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    pub(super) receipt: oneshot::Sender<Receipt>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipt {
    /// The receiver has it.
    Delivered,
    /// The receiver had it before.
    DeliveredBefore,
    /// The same came before, and is not forwarded again.
    Repeated,
    /// The receiver did not take it.
    Failed,
    /// Too many are under way.
    Overloaded,
}

/// Forwards deliveries, on the control thread.
#[derive(Debug)]
pub struct Courier {
    webhook: Arc<Webhook>,
    target: Target,
    inbox: mpsc::UnboundedReceiver<Delivery>,
}

/// What is known of deliveries.
#[derive(Debug)]
struct Book {
    target: Target,
    seen: RefCell<Seen>,
    under_way: Cell<usize>,
    most: usize,
}

impl Courier {
    pub(super) const fn new(
        webhook: Arc<Webhook>,
        target: Target,
        inbox: mpsc::UnboundedReceiver<Delivery>,
    ) -> Self {
        Self {
            webhook,
            target,
            inbox,
        }
    }

    /// Forwards until the task is dropped.
    pub async fn run(mut self) {
        let settings = &self.webhook.settings;
        let book = Rc::new(Book {
            seen: RefCell::new(Seen::new(settings.tolerance)),
            under_way: Cell::new(0),
            most: settings.max_concurrent,
            target: self.target,
        });
        let follows = follow(Arc::clone(&self.webhook));
        tokio::pin!(follows);
        loop {
            tokio::select! {
                delivery = self.inbox.recv() => match delivery {
                    Some(delivery) => book.take(delivery),
                    None => return,
                },
                () = &mut follows => return,
            }
        }
    }
}

impl Book {
    fn take(self: &Rc<Self>, delivery: Delivery) {
        if self.under_way.get() >= self.most {
            // Whether somebody still waits does not matter, here and below.
            let _ = delivery.receipt.send(Receipt::Overloaded);
            return;
        }
        let (identity, timestamp) = (delivery.identity, delivery.timestamp);
        let verdict = (self.seen.borrow_mut()).begin(identity, timestamp, Instant::now());
        let receipt = match verdict {
            Verdict::New => {
                self.under_way.set(self.under_way.get() + 1);
                tokio::task::spawn_local(Rc::clone(self).forward(delivery));
                return;
            }
            Verdict::Repeated => Receipt::Repeated,
            Verdict::Delivered => Receipt::DeliveredBefore,
        };
        let _ = delivery.receipt.send(receipt);
    }

    async fn forward(self: Rc<Self>, delivery: Delivery) {
        let sent = self.target.deliver(delivery.fields, delivery.body).await;
        let receipt = match &sent {
            Ok(()) => Receipt::Delivered,
            Err(error) => {
                let target = self.target.shown();
                tracing::warn!(target, %error, "a webhook could not be forwarded");
                Receipt::Failed
            }
        };
        let (identity, timestamp) = (delivery.identity, delivery.timestamp);
        (self.seen.borrow_mut()).end(identity, timestamp, sent.is_ok(), Instant::now());
        self.under_way.set(self.under_way.get().saturating_sub(1));
        let _ = delivery.receipt.send(receipt);
    }
}

/// Reads the secrets again when their file changes.
async fn follow(webhook: Arc<Webhook>) {
    let WebhookSecrets::File(path) = &webhook.settings.secrets else {
        return std::future::pending().await;
    };
    let mut watch = FileWatch::new([path.as_path()]);
    loop {
        // The first time for what changed while the watch was set up.
        match Secrets::read(path) {
            Ok(secrets) => {
                let count = secrets.count();
                webhook.secrets.store(Arc::new(secrets));
                tracing::debug!(count, "the webhook's secrets were read again");
            }
            Err(error) => tracing::error!(%error, "the webhook's secrets stay as they were"),
        }
        watch.changed().await;
    }
}
