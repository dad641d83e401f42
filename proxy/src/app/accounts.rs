//! Who is let in, with what and for how much: what is read from files and stores before anything starts.

use std::sync::Arc;

use anyhow::Result;

use crate::clients;
use crate::clients::follow::Book;
use crate::config::Config;
use crate::limits::budget::Store;
use crate::limits::{Quotas, redis};
use crate::upstream::{Links, upkeep};
use crate::worker;

/// The upstreams, with their keys.
pub(super) fn upstreams(config: &Config) -> Result<Links> {
    let links = Links::new(config)?;
    upkeep::read_keys(config, &links, links.iter())?;
    Ok(links)
}

/// The clients, if they have keys of their own.
pub(super) fn clients(config: &Config) -> Result<Option<Arc<Book>>> {
    let book = config.clients_file.as_deref();
    let book = book.map(|path| Book::open(path, config.workers).map(Arc::new));
    Ok(book.transpose()?)
}

/// What clients may have, and where it is counted.
pub(super) fn limits(config: &Config, book: Option<&Book>) -> Result<(Arc<Quotas>, Store)> {
    let redis = config.redis.as_ref().map(redis::Shared::new).transpose()?;
    let redis = redis.map(Arc::new);
    let store = Store::open(config, redis.as_ref())?;
    if config.limits.per_client.is_any() && redis.is_none() {
        tracing::info!("limits are this process's own: N replicas let through N times as much");
    }
    let quotas = Quotas::new(redis, store.name());
    // All of them, so that the store is asked for each before there are requests.
    worker::terms(&quotas, config);
    if let Some(book) = book {
        clients::terms(&book.clients.load(), &config.limits.per_client, &quotas);
    }
    Ok((Arc::new(quotas), store))
}
