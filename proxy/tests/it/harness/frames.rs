//! h2 frames by hand (RFC 9113 section 4.1), for an upstream or a client that says what no library would.

use std::io::{self, Read, Write};
use std::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Whether the request ends with it.
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// One end of an h2 connection.
pub(crate) struct Frames(TcpStream);

impl Frames {
    /// Takes the client's preface and sends the server's, with these settings.
    pub(crate) fn accept(mut stream: TcpStream, settings: &[(u16, u32)]) -> io::Result<Self> {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface)?;
        assert!(preface.starts_with(b"PRI * HTTP/2.0"));
        let mut frames = Self(stream);
        let pairs = settings.iter();
        let payload: Vec<u8> = pairs
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frames.write(SETTINGS, 0, 0, &payload)?;
        Ok(frames)
    }

    /// Sends the client's preface, with no settings.
    pub(crate) fn connect(mut stream: TcpStream) -> io::Result<Self> {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        let mut frames = Self(stream);
        frames.write(SETTINGS, 0, 0, b"")?;
        Ok(frames)
    }

    /// The next frame of a request; the rest is passed over.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        loop {
            let frame = self.any()?;
            if matches!(frame.kind, DATA | HEADERS) {
                return Ok(frame);
            }
        }
    }

    /// The next frame; settings are acknowledged.
    pub(crate) fn any(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload)?;
        if kind == SETTINGS && flags & ACK == 0 {
            self.write(SETTINGS, ACK, 0, b"")?;
        }
        Ok(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// Asks for `path` without a body, with these fields; `whole` says whether the head ends with this frame.
    pub(crate) fn ask(
        &mut self,
        stream: u32,
        path: &str,
        fields: &[(&str, &str)],
        whole: bool,
    ) -> io::Result<()> {
        // `:method: POST` and `:scheme: http` of HPACK's static table; literals without indexing for the rest.
        let mut block = vec![0x83, 0x86];
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        block.extend([&[0x04][..], &text(path), &[0x01], &text("proxy.test")].concat());
        for (name, value) in fields {
            block.extend([&[0x00][..], &text(name), &text(value)].concat());
        }
        let flags = END_STREAM | if whole { END_HEADERS } else { 0 };
        self.write(HEADERS, flags, stream, &block)
    }

    /// Goes on with a head that does not end here either.
    pub(crate) fn go_on(&mut self, stream: u32, block: &[u8]) -> io::Result<()> {
        self.write(CONTINUATION, 0, stream, block)
    }

    /// Reads a whole request; gives its stream and its body.
    pub(crate) fn request(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let mut body = Vec::new();
        loop {
            let frame = self.next()?;
            if frame.kind == DATA {
                body.extend_from_slice(&frame.payload);
            }
            if frame.ends_stream() {
                return Ok((frame.stream, body));
            }
        }
    }

    /// Answers 200 without a body.
    pub(crate) fn answer(&mut self, stream: u32) -> io::Result<()> {
        // `:status: 200` of HPACK's static table.
        self.write(HEADERS, END_STREAM | END_HEADERS, stream, &[0x88])
    }

    /// Resets a stream.
    pub(crate) fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    /// Says that no stream after `last` has been, or will be, looked at.
    pub(crate) fn go_away(&mut self, last: u32) -> io::Result<()> {
        let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload)
    }

    /// Lets the client send so many more bytes on a stream, or in all (0).
    pub(crate) fn allow(&mut self, stream: u32, bytes: u32) -> io::Result<()> {
        self.write(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame)
    }
}
