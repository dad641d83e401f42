//! What is measured: base URLs with names, and the keys that are sent there.

use std::path::PathBuf;
use std::str::FromStr;

use crate::config::{BaseUrl, Secret};
use crate::upstream::keys;

use super::MeasureError;

/// Longest name of a target, in characters; it is a cell of tables.
const LONGEST_NAME: usize = 20;

/// `NAME=URL` of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedUrl {
    pub(super) name: String,
    pub(super) url: BaseUrl,
}

impl FromStr for NamedUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected such as direct=https://api.holysheep.ai/v1";
        let (name, url) = text.split_once('=').ok_or(EXPECTED)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            return Err(format!(
                "the name before the = has up to {LONGEST_NAME} letters, digits, -, _ and .; {EXPECTED}"
            ));
        }
        let url = BaseUrl::parse(url).map_err(|error| error.to_string())?;
        let name = name.to_owned();
        Ok(Self { name, url })
    }
}

/// One target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) url: BaseUrl,
    /// Sent as `Authorization: Bearer`.
    pub(super) key: Option<Secret>,
}

/// Where the keys of targets are.
#[derive(Debug)]
pub(super) struct KeySources<'a> {
    /// `FILE`, and `NAME=FILE` for the target of this name.
    pub(super) files: &'a [String],
    /// For targets that no file is for.
    pub(super) other: Option<Secret>,
}

/// The targets with their keys.
///
/// # Errors
/// If two have one name, a key is for none of them, or a key file cannot be used.
pub(super) fn with_keys(
    named: &[NamedUrl],
    sources: &KeySources<'_>,
) -> Result<Vec<Target>, MeasureError> {
    let mut targets = Vec::<Target>::new();
    for NamedUrl { name, url } in named {
        if targets.iter().any(|target| target.name == *name) {
            return Err(MeasureError::SameName(name.clone()));
        }
        targets.push(Target {
            name: name.clone(),
            url: url.clone(),
            key: key(name, sources, named)?,
        });
    }
    Ok(targets)
}

/// The key of one target: from the file for it alone, from that for all, or else the other.
fn key(
    name: &str,
    sources: &KeySources<'_>,
    named: &[NamedUrl],
) -> Result<Option<Secret>, MeasureError> {
    let mut found = None;
    for given in sources.files {
        let (whose, file) = owner(given, named);
        match whose {
            Some(whose) if whose == name => found = Some(file),
            None => found = found.or(Some(file)),
            Some(_) => {}
        }
    }
    match found {
        // `NAME=` is a target that gets no key.
        Some("") => Ok(None),
        Some(file) => Ok(Some(keys::read_file(&PathBuf::from(file))?)),
        None => Ok(sources.other.clone()),
    }
}

/// Takes `NAME=FILE` apart. A file may have a = in its name as long as no target is called like what stands before it.
pub(super) fn owner<'a>(given: &'a str, named: &[NamedUrl]) -> (Option<&'a str>, &'a str) {
    match given.split_once('=') {
        Some((name, file)) if named.iter().any(|target| target.name == name) => (Some(name), file),
        _ => (None, given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> NamedUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_target_has_a_name_and_a_base_url() {
        let target = named("via-ingress=https://ai.example.com/api/v1");
        assert_eq!(target.name, "via-ingress");
        assert_eq!(target.url.prefix(), "/api");
        for wrong in [
            "",
            "direct",
            "=http://x/v1",
            "a b=http://x/v1",
            "a=ftp://x",
            "a=",
        ] {
            assert!(wrong.parse::<NamedUrl>().is_err(), "{wrong}");
        }
        let long = format!("{}=http://x/v1", "n".repeat(LONGEST_NAME + 1));
        assert!(long.parse::<NamedUrl>().is_err());
    }

    #[test]
    fn a_key_is_for_all_or_for_one() {
        let directory = std::env::temp_dir().join(format!("measure-keys-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        std::fs::write(path("all"), "cr_all").unwrap();
        std::fs::write(path("one"), "cr_one").unwrap();
        let targets = [
            named("direct=http://a/v1"),
            named("proxy=http://b/v1"),
            named("open=http://c/v1"),
        ];
        let files = [
            path("all"),
            format!("proxy={}", path("one")),
            "open=".to_owned(),
        ];
        let sources = KeySources {
            files: &files,
            other: Some(Secret::new(b"cr_other".to_vec()).unwrap()),
        };
        let keys = with_keys(&targets, &sources).unwrap();
        let keys = keys
            .iter()
            .map(|target| target.key.as_ref().map(Secret::expose));
        let expected = [Some(&b"cr_all"[..]), Some(b"cr_one"), None];
        assert!(keys.eq(expected));
        let sources = KeySources {
            files: &files[1..2],
            ..sources
        };
        let keys = with_keys(&targets, &sources).unwrap();
        assert_eq!(keys[0].key, sources.other);
        let twice = [named("a=http://a/v1"), named("a=http://b/v1")];
        let none = KeySources {
            files: &[],
            other: None,
        };
        let error = with_keys(&twice, &none).unwrap_err();
        assert!(matches!(error, MeasureError::SameName(_)));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
