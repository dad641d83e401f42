//! `holysheep-bench bare`: the least that a proxy can be made of hyper, tokio and rustls, as the floor of others.
//!
//! One thread, connections to upstream kept, TLS with verification, two fields set: no log, no metrics, no limits, no
//! retries, no timeouts. What this costs is the price of the libraries and of the kernel; what a proxy costs beyond it,
//! or less, is its own doing. Its memory for a stream is the same for memory.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Where upstream is, with TLS and a certificate for `localhost`.
    #[arg(long)]
    upstream: SocketAddr,
    /// Its certificate authority, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
}

/// Connections to upstream, and how to open more.
struct Pool {
    upstream: SocketAddr,
    tls: TlsConnector,
    name: ServerName<'static>,
    host: HeaderValue,
    open: RefCell<Vec<SendRequest<Incoming>>>,
}

/// Serves until the process is ended.
///
/// # Errors
/// When it cannot listen or read the certificate.
pub(crate) async fn run(options: Options) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let pool = Rc::new(Pool {
        upstream: options.upstream,
        tls: connector(&options.ca)?,
        name: ServerName::try_from("localhost")?,
        host: HeaderValue::try_from(format!("localhost:{}", options.upstream.port()))?,
        open: RefCell::default(),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Rc::clone(&pool);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| forward(&pool, request));
            // Who leaves is nobody's failure.
            let _ = server::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn connector(ca: &Path) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn forward(pool: &Rc<Pool>, mut request: Request<Incoming>) -> Result<Response<Incoming>> {
    let fields = request.headers_mut();
    fields.insert(HOST, pool.host.clone());
    fields.insert(AUTHORIZATION, HeaderValue::from_static("Bearer cr_bench"));
    fields.remove(CONNECTION);
    let mut sender = match pool.take() {
        Some(sender) => sender,
        None => pool.connect().await?,
    };
    let response = sender.send_request(request).await?;
    // It is ready again once the response has been read.
    pool.open.borrow_mut().push(sender);
    Ok(response)
}

impl Pool {
    /// The connection used last of those that are ready.
    fn take(&self) -> Option<SendRequest<Incoming>> {
        let mut open = self.open.borrow_mut();
        open.retain(|sender| !sender.is_closed());
        let ready = open.iter().rposition(SendRequest::is_ready)?;
        Some(open.swap_remove(ready))
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>> {
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        let (sender, connection) = client::handshake(TokioIo::new(stream))
            .await
            .context("upstream")?;
        tokio::task::spawn_local(async move {
            // The request that it carried tells.
            let _ = connection.await;
        });
        Ok(sender)
    }
}
