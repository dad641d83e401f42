//! The control thread: everything but requests and probes.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::runtime::LocalOptions;
use tokio::sync::oneshot;

use super::{memory, windows};
use crate::admin::{self, Admin};
use crate::clients::follow::Follower;
use crate::config::TlsListen;
use crate::limits::budget::Keeper;
use crate::reload::Reloader;
use crate::takeover::{Gate, Offer};
use crate::tls::Acceptor;
use crate::traces::Exporter;
use crate::upstream::Upkeep;
use crate::watch::FileWatch;
use crate::webhook::Courier;

/// What this thread has to do besides, if there is such.
#[derive(Debug)]
pub(super) struct Followers {
    /// Follows the configuration file.
    pub reloader: Option<Reloader>,
    /// Follows that of clients.
    pub follower: Option<Follower>,
    /// Hands notices of payments on.
    pub courier: Option<Courier>,
    /// Keeps what clients have cost.
    pub keeper: Keeper,
    /// Hands the listening sockets to another process.
    pub offer: Option<Offer>,
    /// Exports spans.
    pub exporter: Option<Exporter>,
}

/// Starts the thread that does everything but requests; its port answers once the gate is open.
pub(super) fn start(
    admin: Admin,
    listener: TcpListener,
    followers: Followers,
    gate: Gate,
) -> Result<(JoinHandle<()>, oneshot::Sender<()>)> {
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            let _watched = admin.readiness.health.watch("control");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    runtime.block_on(control(admin, listener, followers, gate, stopped));
                }
                Err(error) => tracing::error!(%error, "the control thread has no runtime"),
            }
        })
        .context("the control thread cannot be started")?;
    Ok((thread, stop))
}

async fn control(
    admin: Admin,
    listener: TcpListener,
    followers: Followers,
    gate: Gate,
    stopped: oneshot::Receiver<()>,
) {
    let config = admin.readiness.config.load_full();
    let acceptor = admin.acceptor.clone();
    let control_metrics = Arc::clone(admin.readiness.metrics.control());
    let upkeep = Upkeep::begin(&admin.readiness.links, &config.dns, &control_metrics);
    if let Some((acceptor, tls)) = acceptor.zip(config.tls.clone()) {
        tokio::task::spawn_local(follow_certificate(acceptor, tls));
    }
    tokio::task::spawn_local(memory::keep_small(Arc::clone(&admin.readiness.metrics)));
    // Without a file upstreams stay as they are, and are looked after until this returns.
    let _upkeep = match followers.reloader {
        Some(reloader) => {
            tokio::task::spawn_local(reloader.run(upkeep));
            None
        }
        None => Some(upkeep),
    };
    if let Some(courier) = followers.courier {
        let watched = admin.readiness.health.watch("the webhook's courier");
        tokio::task::spawn_local(async move {
            let _watched = watched;
            courier.run().await;
        });
    }
    let exporter = followers.exporter.map(Exporter::start);
    if let Some(follower) = followers.follower {
        tokio::task::spawn_local(follower.run());
    }
    let (stop_keeper, stop) = oneshot::channel();
    let budgets = tokio::task::spawn_local(followers.keeper.run(stop));
    let kernel = Arc::clone(&admin.kernel);
    let keeper = tokio::task::spawn_local(windows::keep_open(Arc::clone(&kernel)));
    if let Some(offer) = followers.offer {
        let readiness = Arc::clone(&admin.readiness);
        let delay = move || readiness.config.load().timeouts.drain_delay;
        let metrics = Arc::clone(&control_metrics);
        let failed = move || metrics.take_overs.failed.inc();
        tokio::task::spawn_local(offer.run(delay, failed));
    }
    tokio::task::spawn_local(async move {
        let drain = admin.readiness.drain.clone();
        gate.opened().await;
        tokio::select! {
            () = admin::serve(admin, listener) => {}
            () = drain.handed_over() => {}
        }
    });
    // Told to stop, or the app is gone: the same.
    let _ = stopped.await;
    keeper.abort();
    // Whoever is not there any more needs not be told.
    let _ = stop_keeper.send(());
    if budgets.await.is_err() {
        tracing::error!("what clients have cost was not kept");
    }
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    if let Err(error) = kernel.idle_windows().follow(false) {
        tracing::warn!(%error, "the setting for idle connections could not be put back");
    }
}

/// Reads the listener's certificate again when its files change.
async fn follow_certificate(acceptor: Acceptor, tls: TlsListen) {
    let mut watch = FileWatch::new([tls.certificate.as_path(), tls.key.as_path()]);
    loop {
        // The first time for what changed while the watch was set up.
        match acceptor.reload(&tls) {
            Ok(()) => tracing::debug!("the TLS certificate was read again"),
            Err(error) => tracing::error!(%error, "the TLS certificate stays as it was"),
        }
        watch.changed().await;
    }
}
