//! Blanks comments and literals, so that what remains can be searched for words and braces.

/// The text with every byte of a comment, string or character replaced by a space. Line ends stay, and
/// the slashes that begin a line comment, which are no code but show where it is.
pub(super) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let length = literal_or_comment(bytes.get(at..).unwrap_or_default());
        let kept = if bytes.get(at..at + 2) == Some(b"//") {
            2
        } else {
            0
        };
        for byte in code
            .iter_mut()
            .skip(at + kept)
            .take(length.saturating_sub(kept))
        {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length.max(plain(bytes.get(at..).unwrap_or_default()));
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Bytes of code to step over: a whole name, so that the `r` of `for"` begins no raw string.
fn plain(rest: &[u8]) -> usize {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    rest.iter().take_while(is_name).count().max(1)
}

/// The length of a comment or literal at the beginning of `rest`, or 0.
fn literal_or_comment(rest: &[u8]) -> usize {
    match rest {
        [b'/', b'/', ..] => rest.iter().take_while(|byte| **byte != b'\n').count(),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => string(rest),
        [b'\'', ..] => character(rest),
        [b'b' | b'c', b'"', ..] => 1 + string(rest.get(1..).unwrap_or_default()),
        [b'b', b'\'', ..] => 1 + character(rest.get(1..).unwrap_or_default()),
        [b'r', b'"' | b'#', ..] => raw_string(rest, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] => raw_string(rest, 2),
        _ => 0,
    }
}

/// Block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(pair) = rest.get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character; a lifetime has no second quote and stays.
fn character(rest: &[u8]) -> usize {
    let end = match rest.get(1) {
        // The escaped byte may be a quote itself.
        Some(b'\\') => rest
            .iter()
            .skip(3)
            .position(|byte| *byte == b'\'')
            .map(|at| at + 3),
        Some(first) => {
            let width = match first.leading_ones() {
                0 => 1,
                ones => ones as usize,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(1 + width)
        }
        None => None,
    };
    end.map_or(0, |end| end + 1)
}

/// A raw string whose hashes begin at `prefix`; a raw name such as `r#type` is none.
fn raw_string(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest
        .iter()
        .skip(prefix)
        .take_while(|byte| **byte == b'#')
        .count();
    let start = prefix + hashes + 1;
    if rest.get(start - 1) != Some(&b'"') {
        return 0;
    }
    let mut end = vec![b'#'; hashes + 1];
    if let Some(quote) = end.first_mut() {
        *quote = b'"';
    }
    let body = rest.get(start..).unwrap_or_default();
    let found = body.windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| start + at + end.len())
}

#[cfg(test)]
mod tests;
