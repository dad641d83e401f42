//! Writes heads and chunks into an output buffer.

use super::framing::Framing;

/// Bytes a field needs besides its name and value.
pub const FIELD_OVERHEAD: usize = 4;

/// Appends `name: value` and the line end.
#[inline]
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + FIELD_OVERHEAD);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the status line (RFC 9112 section 4).
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that say how long the body is.
pub fn framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

/// Appends a decimal number.
#[inline]
pub fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Bytes a chunk, or the last one, needs besides its data.
pub const CHUNK_OVERHEAD: usize = 20;

/// Appends `data` as one chunk. Empty data would end the body and is skipped.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if data.is_empty() {
        return;
    }
    let mut digits = [0_u8; 16];
    let mut at = digits.len();
    let mut left = data.len();
    while left > 0 && at > 0 {
        at -= 1;
        if let (Some(slot), Some(digit)) = (digits.get_mut(at), HEX.get(left & 15)) {
            *slot = *digit;
        }
        left >>= 4;
    }
    out.reserve(data.len() + CHUNK_OVERHEAD);
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, without trailer fields.
pub fn last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn reason_phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_carry_their_length_in_hexadecimal() {
        let mut out = Vec::new();
        chunk(&mut out, &[b'a'; 26]);
        chunk(&mut out, b"");
        last_chunk(&mut out);
        assert_eq!(out, b"1a\r\naaaaaaaaaaaaaaaaaaaaaaaaaa\r\n0\r\n\r\n");
    }

    #[test]
    fn an_unknown_status_has_an_empty_reason() {
        let mut out = Vec::new();
        status_line(&mut out, 529);
        assert_eq!(out, b"HTTP/1.1 529 \r\n");
    }
}
