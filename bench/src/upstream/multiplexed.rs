//! The upstream over h2, for proxies that choose it in the TLS handshake: the same fixed answer on every stream.

use std::rc::Rc;

use anyhow::Result;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::Request;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Shared;

/// Its name in the TLS handshake.
pub(super) const PROTOCOL: &[u8] = b"h2";

/// What may be on the way to it, of one request and of all on a connection, in bytes: no proxy shall wait for a window.
const WINDOW: u32 = 1024 * 1024;

/// Serves one connection until the peer closes it.
///
/// # Errors
/// When it breaks.
pub(super) async fn serve(stream: TlsStream<TcpStream>, shared: &Rc<Shared>) -> Result<()> {
    let mut connection = server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let shared = Rc::clone(shared);
        tokio::task::spawn_local(async move {
            // Whoever sent the request misses the answer.
            let _ = answer(request, respond, &shared).await;
        });
    }
    Ok(())
}

/// Reads a request to its end and answers it.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<()> {
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    {
        let mut tally = shared.tally.borrow_mut();
        tally.requests += 1;
        tally.multiplexed += 1;
    }
    let (head, completion) = shared.answers.multiplexed();
    respond
        .send_response(head, false)?
        .send_data(completion, true)?;
    Ok(())
}
