//! Cuts a TLS connection's reads at the ends of records.
//!
//! The kernel notes when each packet of a response came; which packet is the response's first depends on what is inside TLS. A
//! server's session tickets come before the first response, often right before it, and look the same from outside. While
//! each read ends where a record does, the record that brought the first plaintext is the one read last. Only the first
//! response of a connection needs it; afterwards reads are as large as they can be.

/// Length of a record's header (RFC 8446 section 5.1).
const HEADER: usize = 5;

/// Where in the stream of records a connection stands.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the present record still to come.
    left: usize,
    /// Bytes read so far.
    position: u64,
    /// Where the record that was begun last begins.
    start: u64,
}

impl Records {
    /// How many bytes may be read without going beyond the record.
    pub(super) const fn room(&self) -> usize {
        if self.left > 0 {
            self.left
        } else {
            HEADER - self.have
        }
    }

    /// Where the record that was begun last begins, counted from the connection's first byte.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Takes note of bytes read, of which there are at most [`Records::room`].
    pub(super) fn read(&mut self, bytes: &[u8]) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(bytes.len());
        } else {
            if self.have == 0 {
                self.start = self.position;
            }
            for byte in bytes {
                if let Some(slot) = self.header.get_mut(self.have) {
                    *slot = *byte;
                    self.have += 1;
                }
            }
            if self.have == HEADER {
                let [_, _, _, high, low] = self.header;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.have = 0;
            }
        }
        self.position += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_records_do() {
        let mut stream = Vec::new();
        for length in [3_u16, 0, 300, 1] {
            stream.extend_from_slice(&[23, 3, 3]);
            stream.extend_from_slice(&length.to_be_bytes());
            stream.extend(std::iter::repeat_n(23, length.into()));
        }
        // Whatever the socket has at a time.
        for most in [1, 2, 4, 7, 1000] {
            let mut records = Records::default();
            let (mut rest, mut starts) = (stream.as_slice(), Vec::new());
            while !rest.is_empty() {
                let take = records.room().min(most).min(rest.len());
                records.read(&rest[..take]);
                rest = &rest[take..];
                starts.push(records.start());
            }
            starts.dedup();
            assert_eq!(starts, [0, 8, 13, 318], "{most}");
            assert_eq!(records.room(), HEADER);
        }
    }
}
