//! Tests of `chunked.rs`.

use super::*;

/// Feeds `wire` in pieces of `step` bytes, as a reader with a buffer would.
fn decode(wire: &[u8], step: usize) -> Result<Option<Vec<u8>>, ChunkError> {
    let mut decoder = ChunkedDecoder::default();
    let mut buffer = Vec::new();
    let mut body = Vec::new();
    for piece in wire.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&buffer)? {
                Chunk::NeedMore { skip } => {
                    buffer.drain(..skip);
                    break;
                }
                Chunk::Data { skip, len } => {
                    body.extend_from_slice(&buffer[skip..skip + len]);
                    buffer.drain(..skip + len);
                    decoder.taken(len);
                }
                Chunk::End { .. } => return Ok(Some(body)),
            }
        }
    }
    Ok(None)
}

#[test]
fn a_body_is_the_same_at_every_cut() {
    let wire =
        b"5;ext=\"v\"\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: x\r\n\r\n";
    for step in 1..wire.len() {
        let body = decode(wire, step).unwrap().unwrap();
        assert_eq!(body, b"helloabcdefghijklmnopqrstuvwxyz", "step {step}");
    }
}

#[test]
fn what_smugglers_send_is_refused() {
    for wire in [
        &b"5\nhello\r\n0\r\n\r\n"[..],
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"\r\nhello\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"5;\nhello\r\n",
    ] {
        assert!(decode(wire, wire.len()).is_err(), "{wire:?}");
    }
}

#[test]
fn lines_without_end_are_bounded() {
    assert!(decode(&[b'1'; 3000], 100).is_err());
    let mut wire = b"0\r\n".to_vec();
    for _ in 0..2000 {
        wire.extend_from_slice(b"Trailer: long enough\r\n");
    }
    assert!(decode(&wire, 512).is_err());
}
