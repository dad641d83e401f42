//! A request or response head as ranges over the bytes it arrived in.
//!
//! Its child `parse` fills it in; [`HeadView`] reads it, and copies what passes through.

mod parse;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::field::FieldName;
use parse::Stop;

/// More fields than this in one head are refused; nginx and hyper use the same order of size.
pub const MAX_FIELDS: usize = 100;

/// A range of bytes inside a head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "heads are far below 4 GiB")]
    const fn new(start: usize, end: usize) -> Self {
        // A head is at most a few hundred kilobytes, see `limits.headers`.
        Self {
            start: start as u32,
            len: (end - start) as u32,
        }
    }

    const fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    #[inline]
    fn get(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes
            .get(start..start + self.len as usize)
            .unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct FieldSpan {
    name: FieldName,
    /// Its line is exactly `name: value` and CRLF, as the proxy would write it.
    as_written: bool,
    name_at: Span,
    value_at: Span,
}

/// Why a head could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Bytes that are not a head, with what is wrong in a few words.
    #[error("{0}")]
    Malformed(&'static str),
    /// More than [`MAX_FIELDS`] fields.
    #[error("more than {MAX_FIELDS} header fields")]
    TooManyFields,
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As it stands in a request line or an access log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// The parsed ranges; reused from message to message on one connection.
#[derive(Debug, Default)]
pub struct Head {
    method: Span,
    target: Span,
    version: Version,
    status: u16,
    fields: Vec<FieldSpan>,
    /// By name: position of the first such field plus one, or 0.
    first: [u16; FieldName::COUNT],
    /// By name, a bit for each that occurs more than once.
    repeated: u32,
}

/// A head together with the bytes it points into.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    head: &'a Head,
    bytes: &'a [u8],
}

/// Whether a head that was incomplete at `seen` bytes can be read now, or
/// cannot become one: looks at the new bytes only, so that a head which comes
/// byte by byte is not parsed as often.
fn is_worth_parsing(bytes: &[u8], seen: usize) -> bool {
    static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    let tail = bytes.get(seen.saturating_sub(3)..).unwrap_or_default();
    seen == 0 || EMPTY_LINE.find(tail).is_some() || has_bare_lf(bytes, seen)
}

/// Whether a line feed at or after `from` stands without its carriage return.
fn has_bare_lf(bytes: &[u8], from: usize) -> bool {
    let tail = bytes.get(from..).unwrap_or_default();
    memchr::memchr_iter(b'\n', tail).any(|at| {
        let before = (from + at)
            .checked_sub(1)
            .and_then(|before| bytes.get(before));
        before != Some(&b'\r')
    })
}

impl Head {
    /// Parses the request head at the front of `bytes`; returns its length, or
    /// nothing while it is incomplete. `seen` bytes were there when it last was.
    ///
    /// # Errors
    /// What is not a head by the grammar of `parse`, as soon as that is certain.
    pub fn parse_request(&mut self, bytes: &[u8], seen: usize) -> Result<Option<usize>, HeadError> {
        self.parse(bytes, seen, parse::request)
    }

    /// Parses the response head at the front of `bytes`, as [`Head::parse_request`] does.
    ///
    /// # Errors
    /// As for [`Head::parse_request`].
    pub fn parse_response(
        &mut self,
        bytes: &[u8],
        seen: usize,
    ) -> Result<Option<usize>, HeadError> {
        self.parse(bytes, seen, parse::response)
    }

    fn parse(
        &mut self,
        bytes: &[u8],
        seen: usize,
        grammar: fn(&mut Self, &[u8]) -> Result<usize, Stop>,
    ) -> Result<Option<usize>, HeadError> {
        if !is_worth_parsing(bytes, seen) {
            return Ok(None);
        }
        // A head that cannot be parsed leaves nothing of the one before.
        self.begin(Version::Http11, 0);
        match grammar(self, bytes) {
            Ok(len) => Ok(Some(len)),
            Err(Stop::Incomplete) => Ok(None),
            Err(Stop::Refused(error)) => Err(error),
        }
    }

    /// Starts a head that is assembled from parts, as for h2.
    pub fn begin(&mut self, version: Version, status: u16) {
        self.fields.clear();
        self.first = [0; FieldName::COUNT];
        self.repeated = 0;
        self.method = Span::default();
        self.target = Span::default();
        self.version = version;
        self.status = status;
    }

    /// Appends method and target of an assembled request to `bytes`.
    pub fn set_request_line(&mut self, bytes: &mut Vec<u8>, method: &[u8], target: &[u8]) {
        self.method = append(bytes, method);
        self.target = append(bytes, target);
    }

    /// Appends a field of an assembled head to `bytes`.
    pub fn push_field(&mut self, bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let span = FieldSpan {
            name: FieldName::classify(name),
            as_written: false,
            name_at: append(bytes, name),
            value_at: append(bytes, value),
        };
        self.add(span);
    }

    #[inline]
    fn add(&mut self, field: FieldSpan) {
        self.fields.push(field);
        // A head of 32 KiB has fewer than 65,535 fields.
        let at = u16::try_from(self.fields.len()).unwrap_or(u16::MAX);
        if let Some(first) = self.first.get_mut(field.name as usize) {
            if *first == 0 {
                *first = at;
            } else {
                self.repeated |= 1 << field.name as u32;
            }
        }
    }

    /// The head with the bytes it was parsed from.
    #[inline]
    pub const fn view<'a>(&'a self, bytes: &'a [u8]) -> HeadView<'a> {
        HeadView { head: self, bytes }
    }
}

fn append(bytes: &mut Vec<u8>, part: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    Span::new(start, bytes.len())
}

impl<'a> HeadView<'a> {
    /// The request method, as sent.
    #[inline]
    pub fn method(&self) -> &'a [u8] {
        self.head.method.get(self.bytes)
    }

    /// The request target, as sent.
    #[inline]
    pub fn target(&self) -> &'a [u8] {
        self.head.target.get(self.bytes)
    }

    /// The version of the message.
    #[inline]
    pub const fn version(&self) -> Version {
        self.head.version
    }

    /// The response status code.
    #[inline]
    pub const fn status(&self) -> u16 {
        self.head.status
    }

    /// Every field in order: what it is, its name as sent, its value.
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (FieldName, &'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.head.fields.iter().map(move |field| {
            (
                field.name,
                field.name_at.get(bytes),
                field.value_at.get(bytes),
            )
        })
    }

    /// The value of the first field of that name.
    #[inline]
    pub fn field(&self, wanted: FieldName) -> Option<&'a [u8]> {
        let first = *self.head.first.get(wanted as usize)?;
        let field = self.head.fields.get(usize::from(first).checked_sub(1)?)?;
        Some(field.value_at.get(self.bytes))
    }

    /// The values of all fields of that name.
    #[inline]
    pub fn values(&self, wanted: FieldName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (bytes, fields) = (self.bytes, self.head.fields.as_slice());
        let first = self.head.first.get(wanted as usize).copied();
        let from = usize::from(first.unwrap_or_default());
        let until = match (from, self.is_repeated(wanted)) {
            (0, _) => 0,
            (first, false) => first,
            (_, true) => fields.len(),
        };
        let found = fields
            .get(from.saturating_sub(1)..until)
            .unwrap_or_default();
        let wanted = found.iter().filter(move |field| field.name == wanted);
        wanted.map(move |field| field.value_at.get(bytes))
    }

    /// Writes the field lines that `keep` wants, in order, by way of `write`.
    ///
    /// Neighbouring lines that stand as the proxy would write them go over in
    /// one piece, which is most of a usual head.
    #[inline]
    pub fn copy_fields(
        &self,
        mut keep: impl FnMut(FieldName, &'a [u8], &'a [u8]) -> bool,
        mut write: impl FnMut(&[u8]),
    ) {
        // What is yet to be copied.
        let mut lines = 0..0;
        for field in &self.head.fields {
            let (name, value) = (
                field.name_at.get(self.bytes),
                field.value_at.get(self.bytes),
            );
            if !keep(field.name, name, value) {
                continue;
            }
            let start = field.name_at.start as usize;
            if field.as_written && lines.end == start {
                lines.end = field.value_at.end() + 2;
                continue;
            }
            write(self.bytes.get(lines).unwrap_or_default());
            lines = start..start;
            if field.as_written {
                lines.end = field.value_at.end() + 2;
            } else {
                for part in [name, b": ", value, b"\r\n"] {
                    write(part);
                }
            }
        }
        write(self.bytes.get(lines).unwrap_or_default());
    }

    /// Whether there is more than one field of that name.
    #[inline]
    pub const fn is_repeated(&self, name: FieldName) -> bool {
        self.head.repeated & 1 << name as u32 != 0
    }
}

#[cfg(test)]
mod tests;
