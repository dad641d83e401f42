//! The one place where parts are made and wired together.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::runtime::LocalOptions;

use crate::account::log_thread::{self, LogThread};
use crate::admin::{self, Admin};
use crate::config::{Auth, Config, EbpfMode};
use crate::drain::{self, DrainTrigger};
use crate::health::Health;
use crate::kernel::{self, Kernel, Sockets};
use crate::listener;
use crate::metrics::Metrics;
use crate::tls::Acceptor;
use crate::upstream::{self, Link, dns, key};
use crate::watch::FileWatch;
use crate::worker::{self, Inputs, Shared};

/// A running proxy.
#[derive(Debug)]
pub struct App {
    data: SocketAddr,
    tls: Option<SocketAddr>,
    admin: SocketAddr,
    metrics: Arc<Metrics>,
    trigger: DrainTrigger,
    workers: Vec<JoinHandle<()>>,
    control: Option<(JoinHandle<()>, tokio::sync::oneshot::Sender<()>)>,
    log: Option<LogThread>,
}

impl App {
    /// Starts everything; the proxy serves when this returns.
    ///
    /// # Errors
    /// What cannot be had: an address, a file, a thread.
    pub fn start(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        // Before any other thread starts, so that all of them lack the capabilities given up here,
        // and before the first `listen`: sockets keep the cgroup they were made in.
        let mut kernel = start_kernel(&config)?;
        let link = Arc::new(Link::new(config.workers));
        load_key(&config, &link)?;
        let acceptor = config.tls.as_ref().map(Acceptor::new).transpose()?;
        let (log_sender, log) =
            log_thread::start(&config.access_log).context("the access log cannot be opened")?;
        let (trigger, drain) = drain::channel();
        // Listening comes first: what is accepted before the kernel side knows the port is not timed.
        let listeners = Listeners::open(&config)?;
        for port in listeners.ports() {
            kernel.listens_on(port)?;
        }
        let kernel = Arc::new(kernel);
        let upstream = &config.upstream.name;
        let metrics = Arc::new(Metrics::new(config.workers, upstream, Arc::clone(&kernel)));
        let health = Arc::new(Health::new(config.workers));
        let admin_listener = bind_one(config.admin_listen)?;
        let mut app = Self {
            data: listeners.data,
            tls: listeners.data_tls,
            admin: admin_listener.local_addr()?,
            metrics: Arc::clone(&metrics),
            trigger,
            workers: Vec::new(),
            control: None,
            log: Some(log),
        };
        let shared = Arc::new(Shared {
            config: Arc::clone(&config),
            link: Arc::clone(&link),
            models: Arc::default(),
            health: Arc::clone(&health),
            drain: drain.clone(),
            log: log_sender,
            sockets: Sockets::of(&kernel),
        });
        app.start_workers(&shared, listeners, acceptor.as_ref())?;
        let admin = Admin {
            config,
            link,
            metrics,
            kernel,
            health,
            drain,
            data: app.data,
            tls: app.tls,
            started: std::time::Instant::now(),
        };
        app.control = Some(start_control(admin, admin_listener, acceptor)?);
        Ok(app)
    }

    fn start_workers(
        &mut self,
        shared: &Arc<Shared>,
        mut listeners: Listeners,
        acceptor: Option<&Acceptor>,
    ) -> Result<()> {
        for (id, plain) in listeners.plain.into_iter().enumerate() {
            let inputs = Inputs {
                id,
                shared: Arc::clone(shared),
                metrics: self.metrics.worker(id).context("a worker has no metrics")?,
                upstream_tls: upstream::tls::client(&shared.config.upstream)?,
                plain,
                tls: listeners.tls.pop().zip(acceptor.cloned()),
            };
            self.workers
                .push(worker::start(inputs).context("a worker cannot be started")?);
        }
        Ok(())
    }

    /// Address of the data port.
    pub const fn data_addr(&self) -> SocketAddr {
        self.data
    }

    /// Address of the TLS data port.
    pub const fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls
    }

    /// Address of the admin port.
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Begins the drain; [`App::join`] waits for its end.
    pub fn stop(&self) {
        self.trigger.begin();
    }

    /// Waits until the proxy has stopped.
    pub fn join(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
        if let Some((control, stop)) = self.control.take() {
            // The control thread ends with its last task, or already has.
            let _ = stop.send(());
            if control.join().is_err() {
                tracing::error!("the control thread has panicked");
            }
        }
        if let Some(log) = self.log.take() {
            log.join();
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop();
        self.end();
    }
}

/// The data ports, a socket for each worker.
struct Listeners {
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    data: SocketAddr,
    data_tls: Option<SocketAddr>,
}

impl Listeners {
    fn open(config: &Config) -> Result<Self> {
        let plain = listener::bind(config.listen, config.workers)?;
        let tls = match &config.tls {
            Some(tls) => listener::bind(tls.listen, config.workers)?,
            None => Vec::new(),
        };
        let data = plain.first().context("no data listener")?.local_addr()?;
        let data_tls = tls.first().map(TcpListener::local_addr).transpose()?;
        Ok(Self {
            plain,
            tls,
            data,
            data_tls,
        })
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        let addresses = std::iter::once(self.data).chain(self.data_tls);
        addresses.map(|address| address.port())
    }
}

/// Loads the kernel programs, and says once which do not run and why.
fn start_kernel(config: &Config) -> Result<Kernel> {
    if config.ebpf == EbpfMode::Off {
        return Ok(Kernel::off());
    }
    let kernel = Kernel::start(&kernel::Settings {
        upstreams: 1,
        required: config.ebpf == EbpfMode::Required,
        log: config.ebpf_log,
        ..kernel::Settings::default()
    })
    .context("--ebpf required, but kernel programs cannot run")?;
    match kernel.missing() {
        None => tracing::info!("kernel programs run"),
        Some(missing) => {
            for reason in missing.to_string().lines() {
                tracing::info!("kernel programs are off: {reason}");
            }
        }
    }
    Ok(kernel)
}

fn bind_one(address: SocketAddr) -> Result<TcpListener> {
    let mut listeners = listener::bind(address, 1)?;
    listeners.pop().context("no admin listener")
}

fn load_key(config: &Config, link: &Link) -> Result<()> {
    let upstream = &config.upstream;
    if let Some(path) = &upstream.api_key_file {
        link.key.set(key::read_file(path)?);
    } else if let Some(key) = &upstream.api_key {
        link.key.set(key.clone());
    } else if config.auth == Auth::Open {
        tracing::warn!(
            "no upstream API key: every request will be refused until HOLYSHEEP_API_KEY_FILE \
             or HOLYSHEEP_API_KEY is set"
        );
    }
    Ok(())
}

/// Starts the thread that does everything but requests.
fn start_control(
    admin: Admin,
    listener: TcpListener,
    acceptor: Option<Acceptor>,
) -> Result<(JoinHandle<()>, tokio::sync::oneshot::Sender<()>)> {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(control(admin, listener, acceptor, stopped)),
                Err(error) => tracing::error!(%error, "the control thread has no runtime"),
            }
        })
        .context("the control thread cannot be started")?;
    Ok((thread, stop))
}

async fn control(
    admin: Admin,
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let config = Arc::clone(&admin.config);
    let link = Arc::clone(&admin.link);
    let control_metrics = Arc::clone(admin.metrics.control());
    let url = config.upstream.base_url.clone();
    let addresses = Arc::clone(&link.addresses);
    tokio::task::spawn_local(async move {
        dns::keep_resolved(url, addresses, &control_metrics.dns).await;
    });
    tokio::task::spawn_local(watch_files(config, link, acceptor));
    tokio::task::spawn_local(admin::serve(admin, listener));
    // Told to stop, or the app is gone: the same.
    let _ = stopped.await;
}

/// Reads keys and certificates again when their files change.
async fn watch_files(config: Arc<Config>, link: Arc<Link>, acceptor: Option<Acceptor>) {
    let key_file = config.upstream.api_key_file.as_deref();
    let tls = config.tls.as_ref();
    let files: Vec<_> = key_file
        .into_iter()
        .chain(
            tls.into_iter()
                .flat_map(|tls| [tls.certificate.as_path(), tls.key.as_path()]),
        )
        .collect();
    if files.is_empty() {
        return;
    }
    let mut watch = FileWatch::new(files);
    loop {
        // The first time for what changed while the watch was set up.
        if let Some(path) = key_file {
            match key::read_file(path) {
                Ok(key) if link.key.with(|old| old != Some(&key)) => {
                    link.key.set(key);
                    tracing::info!("the upstream API key was replaced");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the upstream API key stays as it was"),
            }
        }
        if let (Some(acceptor), Some(tls)) = (&acceptor, tls) {
            match acceptor.reload(tls) {
                Ok(()) => tracing::debug!("the TLS certificate was read again"),
                Err(error) => tracing::error!(%error, "the TLS certificate stays as it was"),
            }
        }
        watch.changed().await;
    }
}
