//! A second, naive reading of RFC 9112, to compare the proxy with: which requests stand in some
//! bytes, as long as each can be read in one way only.

/// A request with its framing taken off.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

/// All requests that can be read before the first that cannot, or is not complete.
pub(super) fn read_all(mut wire: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((message, rest)) = read_one(wire) {
        messages.push(message);
        wire = rest;
    }
    messages
}

fn read_one(mut wire: &[u8]) -> Option<(Message, &[u8])> {
    while let Some(rest) = wire.strip_prefix(b"\r\n") {
        wire = rest;
    }
    let end = find(wire, b"\r\n\r\n")?;
    let (head, rest) = (&wire[..end], &wire[end + 4..]);
    let mut lines = split_crlf(head)?.into_iter();
    let (target, is_1_0) = request_line(lines.next()?)?;
    let fields = lines.map(field).collect::<Option<Vec<_>>>()?;
    let all = |wanted: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|(name, _)| name == wanted);
        named.map(|(_, value)| *value).collect()
    };
    if all("host").len() > 1 || (all("host").is_empty() && !is_1_0) {
        return None;
    }
    let (body, rest) = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => (Vec::new(), rest),
        ([length], []) => {
            let length = decimal(length)?;
            (rest.get(..length)?.to_vec(), &rest[length..])
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !is_1_0 => chunks(rest)?,
        _ => return None,
    };
    Some((Message { target, body }, rest))
}

/// The lines of a head; none of its bytes may be CR, LF or NUL otherwise.
fn split_crlf(head: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let clean = |line: &&[u8]| !line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    lines.iter().all(clean).then_some(lines)
}

fn request_line(line: &[u8]) -> Option<(String, bool)> {
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return None;
    };
    let is_1_0 = match version {
        b"HTTP/1.0" => true,
        b"HTTP/1.1" => false,
        _ => return None,
    };
    let visible = target.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    if !is_token(method) || target.is_empty() || !visible {
        return None;
    }
    Some((String::from_utf8(target.to_vec()).ok()?, is_1_0))
}

fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let valid = |byte: &u8| matches!(byte, b'\t' | b' '..=0x7e | 0x80..);
    if !is_token(name) || !value.iter().all(valid) {
        return None;
    }
    let name = String::from_utf8(name.to_ascii_lowercase()).ok()?;
    Some((name, trim(value, b" \t")))
}

fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn chunks(mut wire: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = find(wire, b"\r\n")?;
        let size = chunk_size(&wire[..end])?;
        wire = &wire[end + 2..];
        if size == 0 {
            return Some((body, after_trailers(wire)?));
        }
        body.extend_from_slice(wire.get(..size)?);
        wire = wire[size..].strip_prefix(b"\r\n")?;
    }
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return None;
    }
    let semicolon = line.iter().position(|byte| *byte == b';');
    let digits = match semicolon {
        Some(at) => trim_end(&line[..at], b" \t"),
        None => line,
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Trailer fields are dropped, so only where they end matters.
fn after_trailers(mut wire: &[u8]) -> Option<&[u8]> {
    loop {
        let end = find(wire, b"\r\n")?;
        if wire[..end].iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return None;
        }
        wire = &wire[end + 2..];
        if end == 0 {
            return Some(wire);
        }
    }
}

fn trim<'a>(text: &'a [u8], what: &[u8]) -> &'a [u8] {
    let start = text.iter().position(|byte| !what.contains(byte));
    trim_end(start.map_or(&[][..], |start| &text[start..]), what)
}

fn trim_end<'a>(text: &'a [u8], what: &[u8]) -> &'a [u8] {
    let end = text.iter().rposition(|byte| !what.contains(byte));
    end.map_or(&[], |end| &text[..=end])
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn the_oracle_reads_what_it_should() {
    let head = "POST /a HTTP/1.1\r\nhost: x\r\n";
    let two = format!(
        "{head}content-length: 2\r\n\r\nab{head}transfer-encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\ny: z\r\n\r\nGET"
    );
    let bodies: Vec<_> = read_all(two.as_bytes())
        .into_iter()
        .map(|message| message.body)
        .collect();
    assert_eq!(bodies, [b"ab".to_vec(), b"abc".to_vec()]);
    for wire in [
        format!("{head}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}content-length: 3\r\n\r\nab"),
        format!("{head}\nx: y\r\n\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"),
    ] {
        assert_eq!(read_all(wire.as_bytes()), []);
    }
}
