//! Where functions and other items begin and end, by their braces.

use super::source::{line_of, words};

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// The line of `fn`, from 0.
    pub(super) line: usize,
    /// From there to the closing brace.
    pub(super) lines: usize,
}

/// All functions of code whose comments and literals are blanked.
pub(super) fn find(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for at in words(code, "fn") {
        let rest = code.get(at + 2..).unwrap_or_default().trim_start();
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        // A type such as `fn(u8)` has no name, a declaration in a trait no body.
        let Some(end) = item_end(code, at).filter(|_| !name.is_empty()) else {
            continue;
        };
        if code.as_bytes().get(end) == Some(&b'}') {
            let line = line_of(code, at);
            let lines = line_of(code, end) + 1 - line;
            functions.push(Function { name, line, lines });
        }
    }
    functions
}

/// Where the item that begins at `start` ends: at a `;`, or at the brace that closes its body.
pub(super) fn item_end(code: &str, start: usize) -> Option<usize> {
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => braces += 1,
            b'}' if braces <= 1 && brackets == 0 => return Some(at),
            b'}' => braces = braces.saturating_sub(1),
            b';' if braces == 0 && brackets == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let code = "\
trait T { fn declared(&self, a: [u8; 4]); }
pub fn short() {}
fn long(
    call: fn(u8),
) -> [u8; 2] {
    if true { f(|| { 1 }) } else { g() }
}
";
        let found: Vec<_> = find(code)
            .into_iter()
            .map(|f| (f.name, f.line, f.lines))
            .collect();
        assert_eq!(
            found,
            [("short".to_owned(), 1, 1), ("long".to_owned(), 2, 5)]
        );
    }
}
