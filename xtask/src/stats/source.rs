//! A Rust file as far as counting needs it: code apart from text, tests apart from the product.

mod blank;

use super::functions::{self, Function};

/// A file taken apart. Lines are counted from 0.
pub(crate) struct Source {
    text: String,
    /// The text with comments and literals blanked, of the same length and lines.
    code: String,
    /// For each line, whether it belongs to a `#[cfg(test)]` item.
    is_test: Vec<bool>,
    /// Modules declared under `#[cfg(test)]` that lie in files of their own.
    pub(super) test_modules: Vec<String>,
}

/// How unfinished work is marked.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// A block the compiler does not check.
pub(super) struct UnsafeBlock {
    pub(super) line: usize,
    pub(super) has_reason: bool,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let code = blank::blank(text);
        let mut source = Self {
            is_test: vec![false; text.lines().count()],
            text: text.to_owned(),
            code,
            test_modules: Vec::new(),
        };
        source.find_tests();
        source
    }

    /// Makes the whole file a test, because the module that declares it is one.
    pub(super) fn mark_as_test(&mut self) {
        self.is_test.fill(true);
    }

    pub(super) fn lines(&self) -> usize {
        self.is_test.len()
    }

    pub(super) fn test_lines(&self) -> usize {
        self.is_test.iter().filter(|is_test| **is_test).count()
    }

    pub(super) fn functions(&self) -> Vec<Function> {
        functions::find(&self.code)
    }

    /// The text without tests, comments and literals kept.
    pub(crate) fn production_text(&self) -> String {
        self.outside_tests(&self.text)
    }

    /// The code without tests, comments and literals blanked.
    pub(super) fn production_code(&self) -> String {
        self.outside_tests(&self.code)
    }

    /// Line comments that say that something is unfinished.
    pub(super) fn todo_marks(&self) -> usize {
        let pairs = self.text.lines().zip(self.code.lines());
        let comments = pairs.filter_map(|(text, code)| text.get(code.find("//")?..));
        let is_mark = |comment: &&str| MARKS.iter().any(|mark| comment.contains(mark));
        comments.filter(is_mark).count()
    }

    pub(super) fn unsafe_blocks(&self) -> Vec<UnsafeBlock> {
        let text: Vec<_> = self.text.lines().collect();
        let is_block = |code: &str| {
            let mut rests = words(code, "unsafe").filter_map(|at| code.get(at + 6..));
            rests.any(|rest| {
                let rest = rest.trim_start();
                rest.is_empty() || rest.starts_with('{') || rest.starts_with("impl")
            })
        };
        let lines = self
            .code
            .lines()
            .enumerate()
            .filter(|(_, code)| is_block(code));
        lines
            .map(|(line, _)| UnsafeBlock {
                line,
                has_reason: has_reason(&text, line),
            })
            .collect()
    }

    fn outside_tests(&self, text: &str) -> String {
        let lines = text
            .lines()
            .zip(&self.is_test)
            .filter(|(_, is_test)| !**is_test);
        lines.map(|(line, _)| [line, "\n"].concat()).collect()
    }

    /// Marks the items that are compiled for tests only.
    fn find_tests(&mut self) {
        let starts: Vec<_> = self
            .code
            .match_indices("#[cfg(")
            .map(|(at, _)| at)
            .collect();
        for start in starts {
            let rest = self.code.get(start..).unwrap_or_default();
            let condition = rest.split_once(']').map_or("", |(condition, _)| condition);
            if words(condition, "test").next().is_none() || condition.contains("not(test") {
                continue;
            }
            let Some(end) = functions::item_end(&self.code, start + condition.len() + 1) else {
                continue;
            };
            let item = self
                .code
                .get(start + condition.len() + 1..=end)
                .unwrap_or_default();
            if let Some(name) = declared_module(item) {
                self.test_modules.push(name.to_owned());
            }
            let (first, last) = (line_of(&self.code, start), line_of(&self.code, end));
            if let Some(lines) = self.is_test.get_mut(first..=last) {
                lines.fill(true);
            }
        }
    }
}

/// The name in `mod name;`.
fn declared_module(item: &str) -> Option<&str> {
    let (_, name) = item.trim().strip_suffix(';')?.rsplit_once("mod ")?;
    Some(name.trim())
}

/// Whether the comment right above a line, or the line itself, has a SAFETY note.
fn has_reason(text: &[&str], line: usize) -> bool {
    let above = text.get(..line).unwrap_or_default().iter().rev();
    let attached = above.take_while(|line| {
        let line = line.trim_start();
        // A statement may begin a line or two before its block.
        line.starts_with("//") || line.starts_with('#') || line.ends_with(['=', '('])
    });
    let own = text.get(line).into_iter();
    attached
        .chain(own)
        .any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Where `word` stands alone.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_name = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = text.as_bytes();
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            !is_name(before) && !is_name(bytes.get(at + word.len()))
        })
}

#[cfg(test)]
mod tests;
