//! The upstreams there are now: a snapshot, replaced when a changed configuration has others.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Link;
use super::slots::SLOTS;
use crate::config::Config;

/// The upstreams in the configuration's order, and the names of all there have been.
#[derive(Clone, Debug)]
pub struct Links {
    first: Arc<Link>,
    others: Vec<Arc<Link>>,
    /// By slot.
    names: Vec<Box<str>>,
}

/// Where the present ones are found.
pub type SharedLinks = Arc<ArcSwap<Links>>;

/// More names than there are slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "upstreams: {SLOTS} names of upstreams have been in use since the start, which are all that can be told apart; \
     restart to have more"
)]
pub struct NoSlot;

impl Links {
    /// Those of the configuration at the start.
    ///
    /// # Errors
    /// [`NoSlot`] if there are too many, which no checked configuration has.
    pub fn new(config: &Config) -> Result<Self, NoSlot> {
        Self::made(config, &[], Vec::new())
    }

    /// Those of a changed configuration. One whose settings are the same goes on as it is.
    ///
    /// # Errors
    /// [`NoSlot`] if there have been too many.
    pub fn following(&self, config: &Config) -> Result<Self, NoSlot> {
        let known: Vec<_> = self.iter().cloned().collect();
        Self::made(config, &known, self.names.clone())
    }

    fn made(
        config: &Config,
        known: &[Arc<Link>],
        mut names: Vec<Box<str>>,
    ) -> Result<Self, NoSlot> {
        let mut all = Vec::new();
        for settings in config.all_upstreams() {
            if let Some(same) = known.iter().find(|link| link.settings == *settings) {
                all.push(Arc::clone(same));
                continue;
            }
            let slot = names.iter().position(|name| **name == settings.name);
            let slot = slot.unwrap_or_else(|| {
                names.push(settings.name.as_str().into());
                names.len() - 1
            });
            if slot >= SLOTS {
                return Err(NoSlot);
            }
            all.push(Arc::new(Link::new(slot, settings, config.workers)));
        }
        Ok(Self {
            first: all.remove(0),
            others: all,
            names,
        })
    }

    /// The first one.
    pub const fn first(&self) -> &Arc<Link> {
        &self.first
    }

    /// All but the first.
    pub fn others(&self) -> &[Arc<Link>] {
        &self.others
    }

    /// All, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Link>> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Whether this one is among them, and not merely one of the same name.
    pub fn has(&self, link: &Arc<Link>) -> bool {
        self.iter().any(|own| Arc::ptr_eq(own, link))
    }

    /// The name that has this slot, of all there have been.
    pub fn name(&self, slot: usize) -> Option<&str> {
        self.names.get(slot).map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;

    fn config(others: &[(&str, u16)]) -> Config {
        let others = others
            .iter()
            .map(|(name, port)| format!("{{name: {name}, base_url: 'http://127.0.0.1:{port}'}}"));
        let others: Vec<_> = others.collect();
        let text = format!("upstreams: [{}]", others.join(", "));
        Config::build(ConfigFile::parse(&text).unwrap()).unwrap()
    }

    #[test]
    fn what_is_the_same_goes_on_and_a_name_keeps_its_slot() {
        let one = Links::new(&config(&[("a", 1), ("b", 2)])).unwrap();
        let two = one.following(&config(&[("b", 2), ("c", 3)])).unwrap();
        assert!(Arc::ptr_eq(one.first(), two.first()));
        assert!(Arc::ptr_eq(&one.others()[1], &two.others()[0]));
        let slots = |links: &Links| links.iter().map(|link| link.slot).collect::<Vec<_>>();
        assert_eq!(slots(&one), [0, 1, 2]);
        assert_eq!(slots(&two), [0, 2, 3]);
        assert_eq!(two.name(1), Some("a"), "what was sent there is still told");
        let three = two.following(&config(&[("a", 9)])).unwrap();
        assert_eq!(slots(&three), [0, 1]);
        assert!(!one.has(&three.others()[0]));
        assert_eq!(three.count(), 2);
    }

    #[test]
    fn there_is_an_end_to_names_and_none_to_changes() {
        let mut links = Links::new(&config(&[])).unwrap();
        for port in 1..200 {
            links = links.following(&config(&[("same", port)])).unwrap();
        }
        for number in 2..SLOTS {
            let name = format!("n{number}");
            links = links.following(&config(&[(&name, 1)])).unwrap();
        }
        let error = links.following(&config(&[("more", 1)])).unwrap_err();
        assert!(error.to_string().contains("64 names"), "{error}");
        assert!(links.following(&config(&[("same", 1)])).is_ok());
    }
}
