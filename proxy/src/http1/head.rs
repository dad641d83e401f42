//! A request or response head as ranges over the bytes it arrived in.

use std::mem::MaybeUninit;

use super::field::FieldName;

/// More fields than this in one head are refused; nginx and hyper use the same order of size.
pub const MAX_FIELDS: usize = 100;

/// httparse takes a bare line feed for an empty line: it and [`find_end`]
/// would disagree about where the head ends, and what lies between would be
/// read by nobody.
const ENDS_EARLY: HeadError = HeadError::Malformed("a line ends in LF without CR");

/// A range of bytes inside a head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    #[inline]
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        // A head is at most a few hundred kilobytes, see `limits.headers`.
        #[expect(clippy::cast_possible_truncation, reason = "heads are far below 4 GiB")]
        Self {
            start: start as u32,
            len: part.len() as u32,
        }
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

/// Finds the end of a head (the byte after the empty line), looking only at
/// bytes from `scanned` on. Lines end in CRLF; a bare LF does not end a head.
pub fn find_end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let tail = bytes.get(from..)?;
    memchr::memmem::find(tail, b"\r\n\r\n").map(|at| from + at + 4)
}

/// Whether a line feed at or after `from` stands without its carriage return.
/// Parsers disagree on such lines (RFC 9112 section 2.2 leaves it open), so
/// they are refused.
pub fn has_bare_lf(bytes: &[u8], from: usize) -> bool {
    let tail = bytes.get(from..).unwrap_or_default();
    memchr::memchr_iter(b'\n', tail).any(|at| {
        let before = (from + at)
            .checked_sub(1)
            .and_then(|before| bytes.get(before));
        before != Some(&b'\r')
    })
}

impl Head {
    /// Parses a complete request head (up to and with its empty line).
    ///
    /// # Errors
    /// What `httparse` refuses, bare line feeds, and too many fields.
    pub fn parse_request(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        // A head that cannot be parsed leaves nothing of the one before.
        self.begin(Version::Http11, 0);
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(end)) if end < bytes.len() => return Err(ENDS_EARLY),
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(HeadError::Malformed("incomplete head")),
            Err(error) => return Err(reason(error)),
        }
        // httparse skips an empty line that is a bare line feed.
        if bytes.first() == Some(&b'\n') {
            return Err(ENDS_EARLY);
        }
        self.method = Span::of(request.method.unwrap_or_default().as_bytes(), bytes);
        self.target = Span::of(request.path.unwrap_or_default().as_bytes(), bytes);
        self.version = version(request.version);
        self.index(request.headers, bytes)
    }

    /// Parses a complete response head.
    ///
    /// # Errors
    /// As for [`Head::parse_request`].
    pub fn parse_response(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        self.begin(Version::Http11, 0);
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut fields,
        );
        match parsed {
            Ok(httparse::Status::Complete(end)) if end < bytes.len() => return Err(ENDS_EARLY),
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(HeadError::Malformed("incomplete head")),
            Err(error) => return Err(reason(error)),
        }
        self.status = response.code.unwrap_or_default();
        self.version = version(response.version);
        self.index(response.headers, bytes)
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

    fn index(&mut self, headers: &[httparse::Header<'_>], bytes: &[u8]) -> Result<(), HeadError> {
        for header in headers {
            let name_at = Span::of(header.name.as_bytes(), bytes);
            // httparse accepts a bare LF; every line before a field ends here.
            let before = (name_at.start as usize).saturating_sub(2);
            if bytes.get(before..before + 2) != Some(b"\r\n") {
                return Err(HeadError::Malformed("a line ends in LF without CR"));
            }
            self.add(FieldSpan {
                name: FieldName::classify(header.name.as_bytes()),
                name_at,
                value_at: Span::of(header.value, bytes),
            });
        }
        Ok(())
    }
}

fn append(bytes: &mut Vec<u8>, part: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    #[expect(clippy::cast_possible_truncation, reason = "heads are far below 4 GiB")]
    Span {
        start: start as u32,
        len: part.len() as u32,
    }
}

const fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

const fn reason(error: httparse::Error) -> HeadError {
    HeadError::Malformed(match error {
        httparse::Error::HeaderName => "invalid header field name",
        httparse::Error::HeaderValue => "invalid header field value",
        httparse::Error::NewLine => "invalid line ending",
        httparse::Error::Status => "invalid status line",
        httparse::Error::Token => "invalid method or request target",
        httparse::Error::TooManyHeaders => return HeadError::TooManyFields,
        httparse::Error::Version => "invalid or unsupported HTTP version",
    })
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

    /// Whether there is more than one field of that name.
    #[inline]
    pub const fn is_repeated(&self, name: FieldName) -> bool {
        self.head.repeated & 1 << name as u32 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Head, HeadError> {
        let mut head = Head::default();
        head.parse_request(text.as_bytes()).map(|()| head)
    }

    #[test]
    fn a_request_is_read_by_range() {
        let text = "POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nX-Api-Key:  k \r\n\r\n";
        let head = request(text).unwrap();
        let view = head.view(text.as_bytes());
        assert_eq!(view.method(), b"POST");
        assert_eq!(view.target(), b"/v1/x?a=b");
        assert_eq!(view.field(FieldName::XApiKey), Some(&b"k"[..]));
        assert_eq!(view.fields().count(), 2);
    }

    #[test]
    fn the_end_is_found_across_reads() {
        assert_eq!(find_end(b"GET / HTTP/1.1\r\n\r", 0), None);
        assert_eq!(find_end(b"GET / HTTP/1.1\r\n\r\nrest", 16), Some(18));
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        for text in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\nContent-Length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
            "GET / HTTP/3.0\r\nHost: h\r\n\r\n",
            "GE T / HTTP/1.1\r\n\r\n",
        ] {
            assert!(request(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_assembled_head_reads_like_a_parsed_one() {
        let mut bytes = Vec::new();
        let mut head = Head::default();
        head.begin(Version::Http2, 0);
        head.set_request_line(&mut bytes, b"GET", b"/v1/models");
        head.push_field(&mut bytes, b"user-agent", b"x");
        let view = head.view(&bytes);
        assert_eq!(view.target(), b"/v1/models");
        assert_eq!(view.field(FieldName::UserAgent), Some(&b"x"[..]));
    }
}
