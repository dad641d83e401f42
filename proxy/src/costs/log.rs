//! Reads access logs, line by line: nothing is kept of one but what it adds to the bill.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::bill::{Bill, Charge};
use super::moment::Moment;
use crate::clients::ANONYMOUS;
use crate::cost::{Amount, Catalogue, Tokens};
use crate::metrics::gen_ai::OTHER;
use crate::route::ROUTES;

/// A longer line is no line of the log: heads are bounded, and of bodies it has nothing.
const MAX_LINE: u64 = 4 * 1024 * 1024;
/// For fewer system calls; the lines of a busy minute fit.
const BUFFER: usize = 256 * 1024;

/// What of a log is read, and what it is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    /// From this moment on.
    pub(super) since: Option<&'a Moment>,
    /// And before this one.
    pub(super) until: Option<&'a Moment>,
    /// What the log has computed is computed again.
    pub(super) reprices: bool,
    pub(super) prices: &'a Catalogue,
}

/// How many lines were read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Lines of the log, within the time asked for or not.
    pub(super) good: u64,
    /// All others.
    pub(super) bad: u64,
    /// Where the first of those is, and why it is none.
    pub(super) first_bad: Option<String>,
    /// Lines that stand for others, too.
    pub(super) sampled: u64,
}

impl Read {
    /// What to tell a person, if there is anything.
    pub(super) fn in_words(&self) -> Option<String> {
        let first = self.first_bad.as_deref()?;
        let all = self.good + self.bad;
        Some(format!(
            "{} of {all} lines are no lines of the access log; the first: {first}",
            self.bad
        ))
    }

    fn bad(&mut self, name: &str, number: u64, reason: &str) {
        self.bad += 1;
        self.first_bad
            .get_or_insert_with(|| format!("{name}, line {number}: {reason}"));
    }
}

/// The fields of a line that matter.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow)]
    route: Text<'a>,
    status: u16,
    attempts: u32,
    #[serde(borrow, default)]
    client: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    usage: Option<Usage<'a>>,
    #[serde(default)]
    cost_usd: Option<Amount>,
    /// There if the line stands for others that are not in the log.
    #[serde(default)]
    sample: Option<f64>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    source: Text<'a>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(default)]
    input: u64,
    #[serde(default)]
    cached: u64,
    #[serde(default)]
    cache_written: u64,
    #[serde(default)]
    cache_written_1h: u64,
    #[serde(default)]
    output: u64,
}

/// Text that is borrowed from the line unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Reader<'_> {
    /// Reads a file, or standard input if it is called `-`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn file(&self, path: &Path, bill: &mut Bill, read: &mut Read) -> io::Result<()> {
        if path == Path::new("-") {
            let source = BufReader::with_capacity(BUFFER, io::stdin().lock());
            return self.lines(source, "standard input", bill, read);
        }
        let source = BufReader::with_capacity(BUFFER, File::open(path)?);
        self.lines(source, &path.to_string_lossy(), bill, read)
    }

    fn lines(
        &self,
        mut source: impl BufRead,
        name: &str,
        bill: &mut Bill,
        read: &mut Read,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let length = source
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            if length as u64 == MAX_LINE && line.last() != Some(&b'\n') {
                read.bad(name, number, "it is too long");
                skip_line(&mut source)?;
                continue;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match self.line(text, bill) {
                Ok(is_sampled) => {
                    read.good += 1;
                    read.sampled += u64::from(is_sampled);
                }
                Err(reason) => read.bad(name, number, &reason),
            }
        }
        Ok(())
    }

    /// Reads a line; whether it stands for others, too.
    fn line(&self, text: &[u8], bill: &mut Bill) -> Result<bool, String> {
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if !Moment::is_form(&line.time.0) {
            return Err(format!("{:?} is no time", line.time.0));
        }
        let is_early = self.since.is_some_and(|since| &*line.time.0 < since.text());
        let is_late = self
            .until
            .is_some_and(|until| &*line.time.0 >= until.text());
        if is_early || is_late {
            return Ok(false);
        }
        self.add(&line, bill);
        Ok(line.sample.is_some())
    }

    fn add(&self, line: &Line<'_>, bill: &mut Bill) {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
        let Some(usage) = line
            .usage
            .as_ref()
            .filter(|usage| usage.source.0 != "unknown")
        else {
            bill.unknown += u64::from(line.usage.is_some() || line.may_be_billed());
            return;
        };
        let tokens = Tokens {
            input: usage.input,
            cached: usage.cached,
            cache_written: usage.cache_written,
            cache_written_1h: usage.cache_written_1h,
            output: usage.output,
        };
        let (answered, asked) = (text(&usage.model), text(&line.model));
        let entry = self
            .prices
            .find_either(answered.as_deref(), asked.as_deref());
        // What was computed when the request ended stands; what had no price then may have one by now.
        let computed = line.cost_usd.filter(|_| !self.reprices);
        let cost = computed.or_else(|| entry.map(|entry| entry.price.of(&tokens)));
        let client = line.client.as_ref().map_or(ANONYMOUS, |client| &*client.0);
        let model = entry.map(|entry| &*entry.name);
        let model = model.or(asked.as_deref()).or(answered.as_deref());
        let model = model.unwrap_or(OTHER);
        match cost {
            None => bill.unpriced(client, model, [tokens.input, tokens.output]),
            Some(usd) if usage.source.0 == "reported" => {
                let charge = Charge {
                    requests: 1,
                    tokens,
                    usd,
                    estimated: Amount::ZERO,
                };
                bill.charge(client, model, &charge);
            }
            Some(estimated) => {
                let charge = Charge {
                    estimated,
                    ..Charge::default()
                };
                bill.charge(client, model, &charge);
            }
        }
    }
}

impl Line<'_> {
    /// Whether upstream may have taken money for a request whose answer was not looked at: one to a model that was sent, and
    /// that upstream has not refused.
    fn may_be_billed(&self) -> bool {
        let mut routes = ROUTES.iter();
        let route = routes.find(|route| route.template == self.route.0);
        let is_metered = route.is_some_and(|route| route.operation.is_some());
        is_metered && self.attempts > 0 && matches!(self.status, 200..300 | 499)
    }
}

/// Passes over what is left of a line.
fn skip_line(source: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (length, is_end) = match memchr::memchr(b'\n', buffer) {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        source.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
