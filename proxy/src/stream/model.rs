//! Watches over the model that a request's body names, for clients that may use some only.
//!
//! `request.rs` reads bodies as the proxy needs it, and passes over what it does not understand. This reads them as the
//! most lenient of servers might: whatever could be another model for one of them (a second member, one in capitals, an
//! escaped name, a comment that hides a quote) ends the request. It is stricter than JSON has to be, and for objects only.

use memchr::memchr2;

/// Longest name of a model.
const MAX_MODEL: usize = 128;
/// Enough of a member's name to tell whether it is `model`.
const MAX_NAME: usize = 8;

/// Why a body is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It names a model that is not allowed.
    NotAllowed(Box<str>),
    /// Which model it names cannot be said for sure.
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the object.
    Before,
    /// Where the name of a member of it may begin.
    BeforeName,
    /// In that name.
    Name,
    /// Behind it, before the colon.
    BeforeColon,
    /// Where the value of `model` begins.
    BeforeModel,
    /// In that value.
    Model,
    /// In another value, or between.
    Value,
    /// In a string there.
    String { escaped: bool },
    /// Behind the object.
    After,
}

/// Looks at one request's body.
#[derive(Debug)]
pub struct ModelWatch {
    state: State,
    /// Containers around the place, the object itself included.
    depth: u32,
    /// The member's name, or the model's.
    text: Vec<u8>,
    has_named: bool,
}

impl Default for ModelWatch {
    fn default() -> Self {
        Self {
            state: State::Before,
            depth: 0,
            text: Vec::new(),
            has_named: false,
        }
    }
}

impl ModelWatch {
    /// Whether a model has been named, which was allowed then.
    pub const fn has_named(&self) -> bool {
        self.has_named
    }

    /// Looks at the next bytes of the body. They may be passed on if nothing is wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub fn feed(&mut self, mut bytes: &[u8], allowed: impl Fn(&[u8]) -> bool) -> Result<(), Fault> {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Name | State::Model => self.text(bytes, &allowed)?,
                State::String { escaped: true } => {
                    self.state = State::String { escaped: false };
                    rest
                }
                State::String { .. } => self.string(bytes),
                _ => {
                    self.token(*byte)?;
                    rest
                }
            };
        }
        Ok(())
    }

    /// A byte outside of strings.
    fn token(&mut self, byte: u8) -> Result<(), Fault> {
        let next = match (self.state, byte) {
            (state, b' ' | b'\t' | b'\r' | b'\n') => state,
            (State::Before, b'{') => {
                self.depth = 1;
                State::BeforeName
            }
            (State::BeforeName, b'"') => {
                self.text.clear();
                State::Name
            }
            (State::BeforeName, b'}') => State::After,
            (State::BeforeColon, b':') if self.text.eq_ignore_ascii_case(b"model") => {
                State::BeforeModel
            }
            (State::BeforeColon, b':') => State::Value,
            (State::BeforeModel, b'"') => {
                self.text.clear();
                State::Model
            }
            (State::Value, byte) => self.value(byte)?,
            _ => return Err(Fault::Unreadable),
        };
        self.state = next;
        Ok(())
    }

    /// A byte of a value that is not looked at. What JSON does not have outside of strings is refused: a comment could hide
    /// the quote that a string begins with.
    fn value(&mut self, byte: u8) -> Result<State, Fault> {
        match byte {
            b'"' => return Ok(State::String { escaped: false }),
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 1 => return Ok(State::BeforeName),
            // Without a comma before it, it is not seen that a name comes.
            b':' if self.depth == 1 => return Err(Fault::Unreadable),
            b',' | b':' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E' => {}
            _ => return Err(Fault::Unreadable),
        }
        Ok(if self.depth == 0 {
            State::After
        } else {
            State::Value
        })
    }

    /// In a string that is not looked at; up to its end, or a backslash.
    fn string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = memchr2(b'"', b'\\', bytes) else {
            return &[];
        };
        self.state = match bytes.get(at) {
            Some(b'\\') => State::String { escaped: true },
            _ => State::Value,
        };
        bytes.get(at + 1..).unwrap_or_default()
    }

    /// In the name of a member of the object, or in that of the model.
    fn text<'a>(
        &mut self,
        bytes: &'a [u8],
        allowed: &impl Fn(&[u8]) -> bool,
    ) -> Result<&'a [u8], Fault> {
        let is_model = self.state == State::Model;
        let longest = if is_model { MAX_MODEL } else { MAX_NAME };
        let at = memchr2(b'"', b'\\', bytes);
        if at.is_some_and(|at| bytes.get(at) == Some(&b'\\')) {
            return Err(Fault::Unreadable);
        }
        let (piece, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
        let room = longest.saturating_sub(self.text.len());
        if is_model && piece.len() > room {
            return Err(Fault::Unreadable);
        }
        self.text.extend(piece.iter().take(room));
        if at.is_none() {
            return Ok(rest);
        }
        if is_model {
            if !allowed(&self.text) {
                let name = std::str::from_utf8(&self.text).map_err(|_| Fault::Unreadable)?;
                return Err(Fault::NotAllowed(name.into()));
            }
            self.has_named = true;
            self.state = State::Value;
        } else {
            self.state = State::BeforeColon;
        }
        Ok(rest.get(1..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a body in pieces of each size, of which all must come to the same.
    #[track_caller]
    fn watch(body: &[u8]) -> Result<bool, Fault> {
        let allowed = |model: &[u8]| model.starts_with(b"cheap");
        let results = (1..=body.len().max(1)).map(|size| {
            let mut watch = ModelWatch::default();
            for piece in body.chunks(size) {
                watch.feed(piece, allowed)?;
            }
            Ok(watch.has_named())
        });
        let results: Vec<_> = results.collect();
        assert!(
            results.windows(2).all(|two| two[0] == two[1]),
            "{results:?}"
        );
        results[0].clone()
    }

    #[test]
    fn an_allowed_model_is_named_wherever_it_stands() {
        for body in [
            r#"{"model":"cheap"}"#,
            "  {\n\t\"model\" : \"cheap-1\" ,\r\n \"n\": 1}\n",
            r#"{"messages":[{"role":"user","content":"a \"model\": \"dear\" {"}],"model":"cheap"}"#,
            r#"{"a":{"model":"dear"},"b":[{"model":"dear"},[]],"c":"","model":"cheap","d":-1.5E+3,"e":null}"#,
            r#"{"modell":"dear","mode":"dear","a-long-name-model":true,"model":"cheap"}"#,
            r#"{"model":"cheap","model":"cheap-2"}"#,
            "{\"x\":\"模\\\\\",\"model\":\"cheap\"}",
        ] {
            assert_eq!(watch(body.as_bytes()), Ok(true), "{body}");
        }
        for body in [
            "",
            " ",
            "{}",
            r#"{"messages":[]}"#,
            r#"{"a":{"model":"dear"}}"#,
            r#"{"model"#,
        ] {
            assert_eq!(watch(body.as_bytes()), Ok(false), "{body}");
        }
    }

    #[test]
    fn another_model_ends_the_request() {
        let dear = || Err(Fault::NotAllowed("dear".into()));
        for body in [
            r#"{"model":"dear"}"#,
            r#"{"model":"cheap","model":"dear"}"#,
            r#"{"model":"cheap","messages":[],"MODEL":"dear"}"#,
            r#"{"model":"cheap","a":"{","Model":"dear"}"#,
        ] {
            assert_eq!(watch(body.as_bytes()), dear(), "{body}");
        }
    }

    #[test]
    fn what_somebody_may_read_otherwise_ends_the_request() {
        for body in [
            r#"{"model":"cheap","mod\u0065l":"dear"}"#,
            r#"{"model":"che\u0061p"}"#,
            r#"{"model":null}"#,
            r#"{"model":["cheap"]}"#,
            r#"{"model":{"model":"cheap"}}"#,
            r#"{"model":"cheap",/*"*/"model":"dear"/*"*/}"#,
            "{\"model\":\"cheap\",//\"\n\"model\":\"dear\"//\"\n}",
            "{\"model\":\"cheap\",#\"\n\"model\":\"dear\"}",
            r#"{"model":"cheap",'a':'"',"model":"dear"}"#,
            r#"{"model":"cheap","a":'"',"model":"dear"}"#,
            r#"{"model":"cheap",model:"dear"}"#,
            r#"{"model":"cheap" "model":"dear"}"#,
            r#"{"model":"cheap"}{"model":"dear"}"#,
            r#"[{"model":"cheap"}]"#,
            r#"--x {"model":"cheap"}"#,
            "\u{feff}{\"model\":\"cheap\"}",
            "{\0\"\0m\0",
            r#""model""#,
        ] {
            assert_eq!(watch(body.as_bytes()), Err(Fault::Unreadable), "{body}");
        }
        let long = format!(r#"{{"model":"cheap{}"}}"#, "x".repeat(MAX_MODEL));
        assert_eq!(watch(long.as_bytes()), Err(Fault::Unreadable));
        assert_eq!(watch(b"{\"model\":\"\xff\"}"), Err(Fault::Unreadable));
    }

    /// All members of an object, repeated ones too.
    struct Members(Vec<(String, serde_json::Value)>);

    impl<'de> serde::Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Members;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }

    #[test]
    fn whichever_model_a_parser_finds_in_mutated_documents_is_allowed() {
        let seed = r#"{"model":"cheap","m":[{"model":"dear"},"\\\"{[:,"],"a":{"b":"model"},"n":-1.5e3,"z":null}"#;
        let pieces = [
            r#","model":"dear""#,
            r#""model":"dear","#,
            r#""Model":"dear","#,
            r#""mod\u0065l":"dear","#,
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\\\"",
            " ",
            "\0",
            "model",
            "dear",
            "cheap",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        let (mut passed, mut refused) = (0, 0);
        for _ in 0..300_000 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                let piece = pieces[random.usize(..pieces.len())].as_bytes();
                match random.u8(..3) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes[at] = piece[0],
                    _ => drop(bytes.splice(at..at, piece.iter().copied())),
                }
            }
            let Ok(Members(members)) = serde_json::from_slice(&bytes) else {
                continue;
            };
            let models = members
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("model"));
            let are_allowed = models.clone().all(|(_, model)| model == "cheap");
            let mut watch = ModelWatch::default();
            let seen = watch.feed(&bytes, |model| model == b"cheap");
            if seen.is_ok() && watch.has_named() {
                assert!(
                    are_allowed && models.count() > 0,
                    "{}",
                    bytes.escape_ascii()
                );
                passed += 1;
            } else {
                refused += u32::from(!are_allowed);
            }
        }
        assert!(passed > 5_000 && refused > 5_000, "{passed}, {refused}");
    }
}
