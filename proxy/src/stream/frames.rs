//! Follows the frames of a WebSocket connection (RFC 6455 section 5.2) in the direction they come from, at any cut, and
//! tells what its text messages hold.
//!
//! Nothing is kept of a message, so none can be too long. Of a server's frames: they are not masked. Frames with a
//! reserved bit set belong to an extension, such as compression; what they hold is passed over.

/// A part of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The next bytes of the present text message.
    Text(&'a [u8]),
    /// The present text message is complete.
    TextEnd,
    /// The server says that it closes.
    Close,
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// Longest head of a frame: two bytes, length, mask.
const HEAD: usize = 14;

/// A connection on its way.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come; it is complete while there is payload left.
    filled: usize,
    /// Payload of the present frame that has not come.
    left: u64,
    /// The present frame's payload is text that can be read.
    is_text: bool,
    /// It ends its message.
    is_last: bool,
    /// The present message is text that can be read; control frames may stand between its frames.
    message_is_text: bool,
}

impl Frames {
    /// Tells `take` of what the next bytes hold.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Part<'_>)) {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.left == 0 {
                if let Some(place) = self.head.get_mut(self.filled) {
                    *place = *byte;
                }
                self.filled += 1;
                bytes = rest;
                if self.filled == self.head_length() {
                    self.begin(&mut take);
                }
                continue;
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (payload, rest) = bytes.split_at(most.min(bytes.len()));
            self.left -= payload.len() as u64;
            bytes = rest;
            if self.is_text {
                take(Part::Text(payload));
            }
            if self.left == 0 {
                self.end(&mut take);
            }
        }
    }

    /// Whether the next byte is the first of a frame.
    pub const fn is_between(&self) -> bool {
        self.left == 0 && self.filled == 0
    }

    /// How long the head is, as far as what has come of it tells.
    const fn head_length(&self) -> usize {
        if self.filled < 2 {
            return 2;
        }
        let [_, second, ..] = self.head;
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    fn begin(&mut self, take: &mut impl FnMut(Part<'_>)) {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.head;
        self.left = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            length => u64::from(length),
        };
        let is_readable = first & 0x70 == 0 && second & 0x80 == 0;
        let opcode = first & 0x0f;
        let is_data = opcode <= BINARY;
        match opcode {
            TEXT => self.message_is_text = is_readable,
            BINARY => self.message_is_text = false,
            CLOSE => take(Part::Close),
            _ => {}
        }
        self.is_text = is_data && self.message_is_text;
        self.is_last = is_data && first & 0x80 != 0;
        self.filled = 0;
        if self.left == 0 {
            self.end(take);
        }
    }

    fn end(&mut self, take: &mut impl FnMut(Part<'_>)) {
        if self.is_text && self.is_last {
            self.message_is_text = false;
            take(Part::TextEnd);
        }
    }
}

/// A frame with which a server closes (RFC 6455 section 5.5.1); the reason has to be shorter than 124 bytes.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.as_bytes();
    let reason = reason.get(..123).unwrap_or(reason);
    #[expect(clippy::cast_possible_truncation, reason = "cut to 123 bytes above")]
    let mut frame = vec![0x80 | CLOSE, 2 + reason.len() as u8];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(u8::try_from(short).unwrap()),
            middle @ 126..65536 => {
                frame.push(126);
                frame.extend_from_slice(&u16::try_from(middle).unwrap().to_be_bytes());
            }
            long => {
                frame.push(127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    /// What is told of `bytes` that come in pieces of `step`: each text message, and `close`.
    fn told(bytes: &[u8], step: usize) -> Vec<Vec<u8>> {
        let (mut all, mut text) = (Vec::new(), Vec::new());
        let mut frames = Frames::default();
        for piece in bytes.chunks(step) {
            frames.feed(piece, |part| match part {
                Part::Text(piece) => text.extend_from_slice(piece),
                Part::TextEnd => all.push(std::mem::take(&mut text)),
                Part::Close => all.push(b"close".to_vec()),
            });
        }
        assert!(frames.is_between());
        assert!(text.is_empty(), "text without an end");
        all
    }

    #[test]
    fn text_messages_are_read_at_every_cut() {
        let long = vec![b'x'; 300];
        let bytes = [
            frame(0x81, b"one"),
            frame(0x89, b"ping"),
            frame(0x01, b"two, "),
            frame(0x8a, b""),
            frame(0x00, b"in "),
            frame(0x80, b"parts"),
            frame(0x82, b"binary"),
            frame(0x02, b"binary in "),
            frame(0x80, b"parts"),
            frame(0xc1, b"compressed"),
            frame(0x41, b"compressed in "),
            frame(0x80, b"parts"),
            frame(0x81, b""),
            frame(0x81, &long),
            frame(0x88, b"\x03\xe8"),
        ]
        .concat();
        let expected: [&[u8]; 5] = [b"one", b"two, in parts", b"", &long, b"close"];
        for step in 1..=bytes.len() {
            assert_eq!(told(&bytes, step), expected, "by {step}");
        }
        let huge = frame(0x81, &vec![b'y'; 70_000]);
        assert_eq!(told(&huge, 1000), [vec![b'y'; 70_000]]);
    }

    #[test]
    fn nonsense_is_passed_over() {
        let masked = [0x81, 0x82, 1, 2, 3, 4, b'a', b'b'];
        assert!(told(&masked, 1).is_empty());
        let mut frames = Frames::default();
        let endless = [0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255];
        frames.feed(&endless, |_| ());
        let mut count = 0;
        frames.feed(&[0; 1000], |part| match part {
            Part::Text(piece) => count += piece.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(count, 1000);
    }

    #[test]
    fn a_closing_frame_is_one() {
        let bytes = close(1001, "upstream_idle_timeout");
        assert_eq!(bytes[..4], [0x88, 23, 0x03, 0xe9]);
        assert_eq!(told(&bytes, 5), [b"close"]);
        assert_eq!(close(1001, &"r".repeat(500)).len(), 2 + 125);
    }
}
