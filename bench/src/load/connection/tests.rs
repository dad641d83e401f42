//! Tests of `connection.rs`.

use super::*;

fn receive_all(wire: &[u8]) -> Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { receive(&mut &wire[..], &mut BytesMut::new()).await })
}

#[test]
fn answer_with_a_length() {
    let answer = receive_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").unwrap();
    assert_eq!(
        answer,
        Answer {
            status: 200,
            body: 3,
            close: false
        }
    );
}

#[test]
fn answer_in_chunks_that_closes() {
    let wire = b"HTTP/1.1 502 No\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let answer = receive_all(wire).unwrap();
    assert_eq!(
        answer,
        Answer {
            status: 502,
            body: 2,
            close: true
        }
    );
}

#[test]
fn truncated_and_overlong_answers_are_errors() {
    assert!(receive_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab").is_err());
    assert!(receive_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab").is_err());
}
