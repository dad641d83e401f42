//! The field names the proxy acts on, told apart once while a head is parsed.
//!
//! Everything downstream of the parser compares this one byte instead of
//! strings.

/// A header field name the proxy knows, or [`FieldName::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FieldName {
    /// `accept-encoding`
    AcceptEncoding,
    /// `api-key`: Azure's way to send a client key.
    ApiKey,
    /// `authorization`
    Authorization,
    /// `connection`: hop-by-hop, and it names other hop-by-hop fields.
    Connection,
    /// `content-encoding`
    ContentEncoding,
    /// `content-length`
    ContentLength,
    /// `content-type`
    ContentType,
    /// `date`
    Date,
    /// `expect`
    Expect,
    /// `forwarded`: says in one field (RFC 7239) what `X-Forwarded-*` say.
    Forwarded,
    /// `host`
    Host,
    /// Any other field RFC 9110 section 7.6.1 calls hop-by-hop.
    HopByHop,
    /// `referer`
    Referer,
    /// `retry-after`
    RetryAfter,
    /// `sec-websocket-extensions`
    SecWebSocketExtensions,
    /// `sec-websocket-protocol`: browsers have a key in it.
    SecWebSocketProtocol,
    /// `transfer-encoding`
    TransferEncoding,
    /// `upgrade`
    Upgrade,
    /// `user-agent`
    UserAgent,
    /// `x-api-key`: Anthropic's way to send a client key.
    XApiKey,
    /// `x-forwarded-for`
    XForwardedFor,
    /// `x-forwarded-proto`
    XForwardedProto,
    /// `x-holysheep-error`: the proxy's own, so nobody else may send it.
    XHolysheepError,
    /// `x-holysheep-timing`: the client wants to know what the kernel saw.
    XHolysheepTiming,
    /// Any field whose name begins with `x-ratelimit-`: what OpenAI's API tells of limits.
    XRateLimit,
    /// `x-real-ip`
    XRealIp,
    /// `x-request-id`
    XRequestId,
    /// A field the proxy passes on without a look.
    Other,
}

impl FieldName {
    /// How many there are, for tables by name.
    pub const COUNT: usize = Self::Other as usize + 1;

    /// Finds the name, ignoring case. Length and first letter leave one
    /// candidate, so most names the proxy does not know cost no comparison.
    #[inline]
    pub fn classify(name: &[u8]) -> Self {
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        let (known, field): (&[u8], Self) = match (name.len(), first) {
            (2, b't') => (b"te", Self::HopByHop),
            (4, b'd') => (b"date", Self::Date),
            (4, b'h') => (b"host", Self::Host),
            (6, b'e') => (b"expect", Self::Expect),
            (7, b'a') => (b"api-key", Self::ApiKey),
            (7, b'r') => (b"referer", Self::Referer),
            (7, b't') => (b"trailer", Self::HopByHop),
            (7, b'u') => (b"upgrade", Self::Upgrade),
            (9, b'f') => (b"forwarded", Self::Forwarded),
            (9, b'x') if name.ends_with(b"p") || name.ends_with(b"P") => {
                (b"x-real-ip", Self::XRealIp)
            }
            (9, b'x') => (b"x-api-key", Self::XApiKey),
            (10, b'c') => (b"connection", Self::Connection),
            (10, b'k') => (b"keep-alive", Self::HopByHop),
            (10, b'u') => (b"user-agent", Self::UserAgent),
            (11, b'r') => (b"retry-after", Self::RetryAfter),
            (12, b'c') => (b"content-type", Self::ContentType),
            (12, b'x') => (b"x-request-id", Self::XRequestId),
            (13, b'a') => (b"authorization", Self::Authorization),
            (14, b'c') => (b"content-length", Self::ContentLength),
            (15, b'a') => (b"accept-encoding", Self::AcceptEncoding),
            (15, b'x') => (b"x-forwarded-for", Self::XForwardedFor),
            (16, b'c') => (b"content-encoding", Self::ContentEncoding),
            (16, b'p') => (b"proxy-connection", Self::HopByHop),
            (17, b't') => (b"transfer-encoding", Self::TransferEncoding),
            (17, b'x') if name.ends_with(b"r") || name.ends_with(b"R") => {
                (b"x-holysheep-error", Self::XHolysheepError)
            }
            (17, b'x') => (b"x-forwarded-proto", Self::XForwardedProto),
            (18, b'x') => (b"x-holysheep-timing", Self::XHolysheepTiming),
            (18, b'p') => (b"proxy-authenticate", Self::HopByHop),
            (22, b's') => (b"sec-websocket-protocol", Self::SecWebSocketProtocol),
            (24, b's') => (b"sec-websocket-extensions", Self::SecWebSocketExtensions),
            (19, b'p') => (b"proxy-authorization", Self::HopByHop),
            _ => return Self::by_beginning(name, first),
        };
        if is_same(name, known) {
            field
        } else {
            Self::by_beginning(name, first)
        }
    }

    #[inline]
    fn by_beginning(name: &[u8], first: u8) -> Self {
        if first == b'x' && tells_of_limits(name) {
            return Self::XRateLimit;
        }
        Self::Other
    }

    /// Whether the field belongs to one connection and is never forwarded
    /// (RFC 9110 section 7.6.1). `transfer-encoding` and `content-length` are
    /// written anew by the framing of the other side.
    #[inline]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::HopByHop
                | Self::TransferEncoding
                | Self::ContentLength
                | Self::Upgrade
        )
    }
}

/// The bit by which a letter differs from the same one in upper case. No other byte that a name may have becomes a letter or
/// a hyphen by it, so that names are compared eight bytes at a time.
const CASE: u64 = 0x2020_2020_2020_2020;

#[inline]
fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes) | CASE
}

#[inline]
fn half(bytes: &[u8; 4]) -> u64 {
    u64::from(u32::from_le_bytes(*bytes)) | CASE
}

/// Whether a name is `known`, which is as long and has letters and hyphens only, ignoring case.
#[inline]
fn is_same(name: &[u8], known: &[u8]) -> bool {
    if let (Some(last), Some(known_last)) = (name.last_chunk(), known.last_chunk()) {
        // The last eight may have been among those before.
        let mut words = name.as_chunks().0.iter().zip(known.as_chunks().0);
        return word(last) == word(known_last) && words.all(|(a, b)| word(a) == word(b));
    }
    match [name, known].map(|name| (name.first_chunk(), name.last_chunk())) {
        [(Some(a), Some(b)), (Some(known_a), Some(known_b))] => {
            half(a) == half(known_a) && half(b) == half(known_b)
        }
        _ => name.eq_ignore_ascii_case(known),
    }
}

/// Whether a name begins with `x-ratelimit-`.
#[inline]
fn tells_of_limits(name: &[u8]) -> bool {
    let begins = |first| word(first) == u64::from_le_bytes(*b"x-rateli");
    let goes_on = |rest: &[u8]| {
        rest.first_chunk()
            .is_some_and(|next| half(next) == half(b"mit-"))
    };
    let parts = name.split_first_chunk();
    parts.is_some_and(|(first, rest)| begins(first) && goes_on(rest))
}

#[cfg(test)]
mod tests;
