//! Taking the place of a running process, and being ready to give way to another.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::oneshot;

use super::listeners::Listeners;
use crate::config::Config;
use crate::drain::{Drain, DrainTrigger};
use crate::kernel::Kernel;
use crate::readiness::Readiness;
use crate::takeover::{self, Gate, GateKeeper, Handed, Offer};

/// What is left to do once all threads run.
pub(super) struct Succession {
    path: Option<PathBuf>,
    before: Option<Handed>,
    keeper: GateKeeper,
    listener: oneshot::Sender<UnixListener>,
}

impl Succession {
    /// Asks whoever runs for its sockets.
    pub(super) fn begin(config: &Config) -> Result<(Self, Gate, oneshot::Receiver<UnixListener>)> {
        let path = config.take_over.clone();
        let before = path.as_deref().map(takeover::ask).transpose()?.flatten();
        let (keeper, gate) = takeover::gate();
        let (listener, offered) = oneshot::channel();
        let succession = Self {
            path,
            before,
            keeper,
            listener,
        };
        Ok((succession, gate, offered))
    }

    /// What another process has handed over.
    pub(super) const fn handed(&mut self) -> Option<&mut Handed> {
        self.before.as_mut()
    }

    /// Begins to accept, as soon as this process is ready if another one serves so long, and offers the same to the next.
    pub(super) fn complete(mut self, readiness: &Readiness) -> Result<()> {
        if let Some(before) = &mut self.before {
            before.until_ready(|| readiness.not_ready())?;
        }
        self.keeper.open();
        if let Some(before) = self.before {
            before.finish();
            readiness.metrics.kernel().take_over();
            readiness.metrics.control().take_overs.taken.inc();
        }
        if let Some(path) = &self.path {
            // The other end may be gone already, if a stop was asked for.
            let _ = self.listener.send(takeover::listen(path)?);
        }
        Ok(())
    }
}

/// What this process offers, if it does.
pub(super) fn offer(
    config: &Config,
    listeners: &Listeners,
    listener: oneshot::Receiver<UnixListener>,
    (trigger, drain): (&DrainTrigger, &Drain),
    kernel: &Arc<Kernel>,
) -> Result<Option<Offer>> {
    if config.take_over.is_none() {
        return Ok(None);
    }
    Ok(Some(Offer {
        sockets: listeners.copies()?,
        listener,
        trigger: trigger.clone(),
        drain: drain.clone(),
        kernel: Arc::clone(kernel),
    }))
}
