//! The request target, in whichever form it was sent.

use std::borrow::Cow;

use crate::error::ProxyError;

/// A request target in origin form.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Path and query, as sent.
    pub path_and_query: &'a [u8],
    /// The path alone.
    pub path: &'a [u8],
}

impl<'a> Target<'a> {
    /// Reads a request target; the authority of an absolute one is dropped, as
    /// this server is the origin whatever it is called (RFC 9112 section 3.2.2).
    ///
    /// # Errors
    /// If it is neither in origin nor in absolute form.
    pub fn parse(target: &'a [u8]) -> Result<Self, ProxyError> {
        let invalid = || ProxyError::InvalidRequest(Cow::Borrowed("invalid request target"));
        let path_and_query = match target {
            [b'/', ..] => target,
            _ => after_authority(target).ok_or_else(invalid)?,
        };
        if path_and_query.contains(&b'#') {
            return Err(invalid());
        }
        let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
        Ok(Self {
            path_and_query,
            path: path_and_query.get(..end).unwrap_or_default(),
        })
    }
}

/// Path and query of an absolute target; `None` if it is not one of HTTP's, or
/// has no path.
fn after_authority(target: &[u8]) -> Option<&[u8]> {
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let rest = target.get(scheme.len()..)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))?;
    rest.get(end..)
        .filter(|path| end > 0 && path.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_both_forms() {
        let target = Target::parse(b"/v1/models?limit=2").unwrap();
        assert_eq!(target.path, b"/v1/models");
        let target = Target::parse(b"http://elsewhere:80/v1/x?y").unwrap();
        assert_eq!(target.path_and_query, b"/v1/x?y");
        for target in [&b"*"[..], b"example.com:443", b"http://host", b"/v1#x", b""] {
            assert!(Target::parse(target).is_err());
        }
    }
}
