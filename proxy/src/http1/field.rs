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
    /// `content-length`
    ContentLength,
    /// `content-type`
    ContentType,
    /// `date`
    Date,
    /// `expect`
    Expect,
    /// `host`
    Host,
    /// Any other field RFC 9110 section 7.6.1 calls hop-by-hop.
    HopByHop,
    /// `referer`
    Referer,
    /// `retry-after`
    RetryAfter,
    /// `transfer-encoding`
    TransferEncoding,
    /// `user-agent`
    UserAgent,
    /// `x-api-key`: Anthropic's way to send a client key.
    XApiKey,
    /// `x-forwarded-for`
    XForwardedFor,
    /// `x-forwarded-proto`
    XForwardedProto,
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

    /// Finds the name, ignoring case. Costs one length switch and at most a few comparisons.
    #[inline]
    pub fn classify(name: &[u8]) -> Self {
        let candidates: &[(&[u8], Self)] = match name.len() {
            2 => &[(b"te", Self::HopByHop)],
            4 => &[(b"host", Self::Host), (b"date", Self::Date)],
            6 => &[(b"expect", Self::Expect)],
            7 => &[
                (b"upgrade", Self::HopByHop),
                (b"trailer", Self::HopByHop),
                (b"referer", Self::Referer),
                (b"api-key", Self::ApiKey),
            ],
            9 => &[(b"x-api-key", Self::XApiKey), (b"x-real-ip", Self::XRealIp)],
            10 => &[
                (b"connection", Self::Connection),
                (b"user-agent", Self::UserAgent),
                (b"keep-alive", Self::HopByHop),
            ],
            11 => &[(b"retry-after", Self::RetryAfter)],
            12 => &[
                (b"x-request-id", Self::XRequestId),
                (b"content-type", Self::ContentType),
            ],
            13 => &[(b"authorization", Self::Authorization)],
            14 => &[(b"content-length", Self::ContentLength)],
            15 => &[
                (b"x-forwarded-for", Self::XForwardedFor),
                (b"accept-encoding", Self::AcceptEncoding),
            ],
            16 => &[(b"proxy-connection", Self::HopByHop)],
            17 => &[
                (b"transfer-encoding", Self::TransferEncoding),
                (b"x-forwarded-proto", Self::XForwardedProto),
            ],
            18 => &[(b"proxy-authenticate", Self::HopByHop)],
            19 => &[(b"proxy-authorization", Self::HopByHop)],
            _ => &[],
        };
        candidates
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map_or(Self::Other, |(_, field)| *field)
    }

    /// Whether the field belongs to one connection and is never forwarded
    /// (RFC 9110 section 7.6.1). `transfer-encoding` and `content-length` are
    /// written anew by the framing of the other side.
    #[inline]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection | Self::HopByHop | Self::TransferEncoding | Self::ContentLength
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(FieldName::classify(b"X-Api-Key"), FieldName::XApiKey);
        assert_eq!(
            FieldName::classify(b"CONTENT-LENGTH"),
            FieldName::ContentLength
        );
        assert_eq!(FieldName::classify(b"x-stainless-os"), FieldName::Other);
        assert_eq!(FieldName::classify(b""), FieldName::Other);
    }

    #[test]
    fn hop_by_hop_fields_of_rfc_9110_are_all_known() {
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "proxy-authenticate",
            "proxy-authorization",
        ] {
            assert!(
                FieldName::classify(name.as_bytes()).is_hop_by_hop(),
                "{name}"
            );
        }
    }
}
