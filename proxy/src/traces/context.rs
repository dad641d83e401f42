//! W3C Trace Context: `traceparent` and `tracestate`, read and written.

use memchr::memmem;

use crate::http1::HeadView;
use crate::upstream::Message;

const PARENT: &[u8] = b"traceparent";
const STATE: &[u8] = b"tracestate";
/// What everybody has to pass on of `tracestate`; more is dropped.
const LONGEST_STATE: usize = 512;
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;
/// Where the parent's id stands in it.
const PARENT_AT: usize = 36;

/// The trace a request belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) id: u128,
    /// The span that the request comes from; 0 if it begins here.
    pub(super) parent: u64,
    pub(super) is_sampled: bool,
    /// `tracestate`, or nothing.
    pub(super) state: Box<str>,
}

/// Whether a field is one that is written anew where upstream is told the trace.
pub fn is_ours(name: &[u8]) -> bool {
    matches!(name.len(), 10 | 11)
        && (name.eq_ignore_ascii_case(PARENT) || name.eq_ignore_ascii_case(STATE))
}

impl Context {
    /// That of a trace that begins here.
    pub(super) fn root(random: u128) -> Self {
        Self {
            // 0 is no id.
            id: random.max(1),
            parent: 0,
            is_sampled: true,
            state: Box::default(),
        }
    }

    /// What a request's head says, if that is what it should be.
    pub(super) fn read(head: &HeadView<'_>) -> Option<Self> {
        let (mut parent, mut states) = (None, Vec::new());
        for (_, name, value) in head.fields() {
            if name.eq_ignore_ascii_case(PARENT) {
                // Two of them contradict each other, or somebody is playing.
                if parent.replace(value).is_some() {
                    return None;
                }
            } else if name.eq_ignore_ascii_case(STATE) {
                states.push(value.trim_ascii());
            }
        }
        let mut context = parse(parent?.trim_ascii())?;
        let state = states.join(&b","[..]);
        let is_usable = state.len() <= LONGEST_STATE;
        let text = str::from_utf8(&state).ok().filter(|_| is_usable);
        context.state = text.unwrap_or_default().into();
        Some(context)
    }
}

fn parse(text: &[u8]) -> Option<Context> {
    let version = number::<u8>(text.get(..2)?)?;
    let is_longer = version > 0 && text.get(LENGTH) == Some(&b'-');
    if version == u8::MAX || text.len() != LENGTH && !is_longer {
        return None;
    }
    let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
    let id = number::<u128>(text.get(3..35)?)?;
    let parent = number::<u64>(text.get(PARENT_AT..52)?)?;
    let flags = number::<u8>(text.get(53..LENGTH)?)?;
    (dashes && id != 0 && parent != 0).then_some(Context {
        id,
        parent,
        is_sampled: flags & 1 == 1,
        state: Box::default(),
    })
}

/// Reads hexadecimal digits, of which there may be small ones only.
fn number<T: TryFrom<u128>>(digits: &[u8]) -> Option<T> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let text = str::from_utf8(digits).ok();
    let text = text.filter(|_| digits.iter().all(is_digit))?;
    T::try_from(u128::from_str_radix(text, 16).ok()?).ok()
}

/// Names another span as the parent in a head that was written for an earlier attempt, if it names one.
pub(super) fn rewrite(message: &mut Message, span: u64) {
    const FIELD: &[u8] = b"\r\ntraceparent: ";
    let head = message.bytes.bytes().get(..message.head_len);
    let found = memmem::find(head.unwrap_or_default(), FIELD);
    if let Some(at) = found {
        let at = at + FIELD.len() + PARENT_AT;
        message
            .bytes
            .overwrite(at, format!("{span:016x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Framing, Guarded};

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_read_as_it_should_be() {
        let context = parse(GIVEN.as_bytes()).unwrap();
        assert_eq!(context.id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.parent, 0xb7ad_6b71_6920_3331);
        assert!(context.is_sampled);
        let later = GIVEN.replacen("00", "cc", 1) + "-what-will-be";
        assert_eq!(parse(later.as_bytes()), Some(context));
        let unsampled = parse(GIVEN.replace("-01", "-02").as_bytes());
        assert!(!unsampled.unwrap().is_sampled);
    }

    #[test]
    fn what_is_none_is_ignored() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn another_attempt_has_another_parent_in_the_same_head() {
        let mut head = Guarded::default();
        head.extend(format!("POST / HTTP/1.1\r\ntraceparent: {GIVEN}\r\n\r\n").as_bytes());
        let mut message = Message::new(head, Framing::Length(3), 1024);
        message.append(b"abc");
        rewrite(&mut message, 0x1234);
        let expected = GIVEN.replace("b7ad6b7169203331", "0000000000001234");
        let expected = format!("POST / HTTP/1.1\r\ntraceparent: {expected}\r\n\r\nabc");
        assert_eq!(message.bytes.bytes(), expected.as_bytes());
    }
}
