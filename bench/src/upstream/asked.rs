//! What a request asks for in its body, where the query does not get through.
//!
//! AI gateways make requests of their own: of the client's they keep the API's members, and neither query nor unknown
//! fields. `user` is such a member, and free text.

/// So much of a body is looked at, in bytes: usual requests, and not long prompts.
const LENGTH: usize = 4 * 1024;

/// The beginning of a request's body.
#[derive(Debug, Default)]
pub(super) struct Beginning(Vec<u8>);

impl Beginning {
    /// More of the body.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = LENGTH.saturating_sub(self.0.len()).min(bytes.len());
        self.0.extend_from_slice(&bytes[..room]);
    }

    /// The member `user`, as it stands there; `None` if there is none.
    pub(super) fn user(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.0).ok()?;
        // As a value it is a role, and no colon follows.
        text.match_indices("\"user\"").find_map(|(at, name)| {
            let rest = text.get(at + name.len()..)?;
            let rest = rest.trim_start().strip_prefix(':')?;
            let rest = rest.trim_start().strip_prefix('"')?;
            rest.split_once('"').map(|(user, _)| user)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(pieces: &[&str]) -> Option<String> {
        let mut beginning = Beginning::default();
        for piece in pieces {
            beginning.add(piece.as_bytes());
        }
        beginning.user().map(str::to_owned)
    }

    #[test]
    fn the_member_is_found_and_not_the_role() {
        let body = r#"{"messages":[{"role":"user","content":"x"}],"user":"think=5"}"#;
        assert_eq!(user(&[body]).as_deref(), Some("think=5"));
        let (one, other) = body.split_at(body.len() - 5);
        assert_eq!(user(&[one, other]).as_deref(), Some("think=5"));
        assert_eq!(user(&[one]), None);
        let spaced = r#"{"user" : "bench", "messages": []}"#;
        assert_eq!(user(&[spaced]).as_deref(), Some("bench"));
        assert_eq!(user(&[r#"{"role":"user"}"#, ""]), None);
    }

    #[test]
    fn long_bodies_are_not_kept() {
        let mut beginning = Beginning::default();
        for _ in 0..10 {
            beginning.add(&[b'x'; 1_000]);
        }
        assert_eq!(beginning.0.len(), LENGTH);
        assert_eq!(beginning.user(), None);
    }
}
