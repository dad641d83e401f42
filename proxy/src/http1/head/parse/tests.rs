//! The parser against httparse: what it accepts, httparse reads the same way.

use super::*;

const REQUEST: &[u8] = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: h:8080\r\n\
    X-Api-Key:  k \t\r\nAccept: a\tb, \xc3\xa9\r\nEmpty:\r\nContent-Length: 2\r\n\r\n{}";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
    transfer-encoding: chunked\r\nx-request-id: req_0123456789abcdef\r\n\r\n0\r\n\r\n";

/// First line and fields, in a form both parsers can give.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    len: usize,
    first: (Vec<u8>, Vec<u8>, u16, Version),
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

type Parse = fn(&[u8]) -> Result<Read, Stop>;

fn ours(bytes: &[u8], parse: fn(&mut Head, &[u8]) -> Result<usize, Stop>) -> Result<Read, Stop> {
    let mut head = Head::default();
    let len = parse(&mut head, bytes)?;
    let view = head.view(bytes);
    let (method, target) = (view.method().to_vec(), view.target().to_vec());
    let fields = view
        .fields()
        .map(|(_, name, value)| (name.to_vec(), value.to_vec()));
    Ok(Read {
        len,
        first: (method, target, view.status(), view.version()),
        fields: fields.collect(),
    })
}

const fn version_of(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

fn read(
    parsed: Result<httparse::Status<usize>, httparse::Error>,
    first: (&str, &str, u16, Option<u8>),
    fields: &[httparse::Header<'_>],
) -> Result<Read, Stop> {
    let (method, target, status, minor) = first;
    match parsed {
        Ok(httparse::Status::Complete(len)) => Ok(Read {
            len,
            first: (method.into(), target.into(), status, version_of(minor)),
            fields: fields
                .iter()
                .map(|field| (field.name.into(), field.value.to_vec()))
                .collect(),
        }),
        Ok(httparse::Status::Partial) => Err(Stop::Incomplete),
        Err(_) => Err(VALUE.into()),
    }
}

fn their_request(bytes: &[u8]) -> Result<Read, Stop> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes);
    let first = (
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
        0,
        request.version,
    );
    read(parsed, first, request.headers)
}

fn their_response(bytes: &[u8]) -> Result<Read, Stop> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let first = ("", "", response.code.unwrap_or_default(), response.version);
    read(parsed, first, response.headers)
}

/// Replaces, inserts, removes or repeats a few bytes, mostly such as matter.
fn mutate(seed: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    const TELLING: &[u8] = b"\r\n\t :;,/%\0\x7f\x80\xff\"(){}HTTP/1.02aZ";
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(0..4) {
        let at = random.usize(0..bytes.len().max(1));
        let byte = TELLING[random.usize(0..TELLING.len())];
        match random.u8(0..5) {
            1 => bytes.insert(at, byte),
            3 => bytes.truncate(at),
            _ if bytes.is_empty() => {}
            0 => bytes[at] = byte,
            2 => drop(bytes.remove(at)),
            _ => {
                let end = (at + random.usize(0..20)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
        }
    }
    bytes
}

fn compare(seed: &[u8], our: Parse, their: Parse) {
    let mut random = fastrand::Rng::with_seed(0x9112);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let bytes = mutate(seed, &mut random);
        let (ours, theirs) = (our(&bytes), their(&bytes));
        let shown = bytes.escape_ascii();
        match (&ours, &theirs) {
            (Ok(_), _) => {
                accepted += 1;
                assert_eq!(ours, theirs, "{shown}");
            }
            (Err(Stop::Incomplete), _) => assert_ne!(
                theirs.as_ref().map(|read| read.len).ok(),
                Some(bytes.len()),
                "{shown}"
            ),
            // httparse is as strict but for line ends and folding.
            (Err(Stop::Refused(error)), Ok(_)) => {
                refused += 1;
                let known = [BARE_LF, LINE_END, FOLDED, METHOD_OR_TARGET, VERSION];
                assert!(known.contains(error), "{error}: {shown}");
            }
            (Err(Stop::Refused(_)), Err(_)) => refused += 1,
        }
    }
    // A comparison in which one side never gives in compares nothing.
    assert!(
        accepted > 10_000 && refused > 10_000,
        "{accepted} {refused}"
    );
}

#[test]
fn every_request_accepted_is_one_to_httparse_as_well() {
    compare(REQUEST, |bytes| ours(bytes, request), their_request);
}

#[test]
fn every_response_accepted_is_one_to_httparse_as_well() {
    compare(RESPONSE, |bytes| ours(bytes, response), their_response);
}

#[test]
fn every_beginning_of_a_head_is_incomplete() {
    let end = REQUEST.len() - 2;
    for len in 0..end {
        let part = &REQUEST[..len];
        assert_eq!(ours(part, request), Err(Stop::Incomplete), "{len}");
    }
    assert_eq!(ours(REQUEST, request).unwrap().len, end);
}

#[test]
fn text_ends_at_the_first_control_character_wherever_it_stands() {
    for control in (0..=u8::MAX).filter(|byte| !is_text(*byte)) {
        for before in 0..20 {
            for after in 0..20 {
                let mut bytes = vec![b'\xff'; before];
                bytes.push(control);
                bytes.extend(std::iter::repeat_n(b'\t', after));
                assert_eq!(text_end(&bytes, 0), before, "{control:#x} {after}");
            }
        }
    }
}

#[test]
fn names_end_at_the_first_byte_that_is_no_token_character_wherever_it_stands() {
    for byte in 0..=u8::MAX {
        for before in 0..20 {
            for around in [b'a', b'Z', b'-', b'_', b'7', b':', 0xff] {
                let mut bytes = vec![b'x'; before];
                bytes.push(byte);
                bytes.extend([around; 20]);
                let end = run(&bytes, 0, is_token);
                assert_eq!(name_end(&bytes, 0), end, "{byte:#x} {before} {around:#x}");
            }
        }
    }
}
