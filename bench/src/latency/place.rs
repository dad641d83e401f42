//! Where a contender runs: at the near end of an emulated path of its own, or on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use netlab::{Host, Path};
use serde::Serialize;

use crate::peer::{Kind, Peer, Site};
use crate::upstream::hosted::{Notes, Upstream};

/// One contender's place, with a listener of upstream for it alone.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    path: Option<Path>,
    upstream: SocketAddr,
    notes: Notes,
}

/// What upstream saw of a contender, requests that do not count included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    pub(crate) requests: usize,
    /// Those that had their first request.
    pub(crate) connections: usize,
}

impl Place {
    /// With a path of this round trip before upstream, or on loopback without.
    ///
    /// # Errors
    /// When there can be no path (root and `/dev/net/tun` are needed), or upstream cannot listen.
    pub(crate) fn new(
        kind: &Kind,
        round_trip: Option<Duration>,
        upstream: &Upstream,
    ) -> Result<Self> {
        let path = round_trip.map(path).transpose()?;
        let (address, notes) = match &path {
            Some(path) => upstream.listen(path.server())?,
            None => upstream.listen_here()?,
        };
        Ok(Self {
            kind: kind.clone(),
            path,
            upstream: address,
            notes,
        })
    }

    /// Starts the contender, whose clients are beside it; `site` is what all have in common.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(&self, site: &Site<'_>) -> Result<Peer> {
        let site = Site {
            upstream: self.upstream,
            ..*site
        };
        match self.host() {
            Some(host) => Peer::start_in(host, &self.kind, &site),
            None => Peer::start(&self.kind, &site).await,
        }
    }

    /// Where its clients are, if not where this process is.
    pub(crate) fn host(&self) -> Option<&Host> {
        self.path.as_ref().map(Path::client)
    }

    /// What upstream saw since the last call: requests, and connections that had their first.
    pub(crate) fn seen(&self) -> Seen {
        let seen = self.notes.take_all();
        Seen {
            requests: seen.len(),
            connections: seen.iter().filter(|request| request.number == 1).count(),
        }
    }

    /// Packets that came faster than the path could take them.
    ///
    /// # Errors
    /// When its devices cannot be asked.
    pub(crate) fn overruns(&self) -> Result<u64> {
        Ok(self
            .path
            .as_ref()
            .map(Path::overruns)
            .transpose()?
            .unwrap_or_default())
    }
}

/// A path of this round trip, with hosts of its own.
///
/// # Errors
/// When this machine lacks something.
pub(crate) fn path(round_trip: Duration) -> Result<Path> {
    // Nobody looks at single packets here.
    let path = Path::builder().round_trip(round_trip).records(0).start();
    path.map_err(crate::prompts::no_path)
}
