//! Tokens as they are written on the command line: `gpt-4.1=30M:input,5M:cached,10M:output`.

use std::str::FromStr;

use crate::cost::{Amount, Tokens};

/// Tokens of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mix {
    /// By any of its names.
    pub(super) model: String,
    pub(super) tokens: Tokens,
}

/// The article's month: ten million tokens of output of each of its models.
pub(super) fn of_article() -> Vec<Mix> {
    let models = [
        "gpt-4.1",
        "claude-sonnet-4.5",
        "gemini-2.5-flash",
        "deepseek-v3.2",
    ];
    let mixes = models.map(|model| Mix {
        model: model.to_owned(),
        tokens: Tokens {
            output: 10_000_000,
            ..Tokens::default()
        },
    });
    mixes.into()
}

const EXPECTED: &str = "expected such as gpt-4.1=30M:input,5M:cached,10M:output";

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (model, parts) = text
            .split_once('=')
            .filter(|(model, _)| !model.is_empty())
            .ok_or_else(|| format!("no model and tokens; {EXPECTED}"))?;
        let mut tokens = Tokens::default();
        for part in parts.split(',') {
            let (count, kind) = part
                .split_once(':')
                .ok_or_else(|| format!("{part:?} is no number of tokens and kind; {EXPECTED}"))?;
            let field = match kind {
                "input" => &mut tokens.input,
                "cached" => &mut tokens.cached,
                "cache_write" => &mut tokens.cache_written,
                "cache_write_1h" => &mut tokens.cache_written_1h,
                "output" => &mut tokens.output,
                _ => {
                    return Err(format!(
                        "{kind:?} is no kind of tokens; there are input, output, and of the input cached, \
                         cache_write and cache_write_1h"
                    ));
                }
            };
            if *field > 0 {
                return Err(format!("{kind} stands there twice"));
            }
            *field = count_of(count)?;
        }
        // As in the log, those for an hour are some of those that were written.
        tokens.cache_written = tokens.cache_written.saturating_add(tokens.cache_written_1h);
        if tokens.cached.saturating_add(tokens.cache_written) > tokens.input {
            return Err(format!(
                "more tokens have to do with the cache than there are; input is all of them, \
                 as in {model}=30M:input,5M:cached"
            ));
        }
        Ok(Self {
            model: model.to_owned(),
            tokens,
        })
    }
}

/// A number of tokens: `500`, `1.5k`, `10M`, `2B`.
fn count_of(text: &str) -> Result<u64, String> {
    let unknown = || format!("{text:?} is no number of tokens; expected such as 500k, 10M or 1.5B");
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'B' | 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let number: Amount = number.replace('_', "").parse().map_err(|_| unknown())?;
    let one = Amount::from_pico(1_000_000_000_000).pico();
    let pico = number.pico().checked_mul(factor).ok_or_else(unknown)?;
    let count = pico.is_multiple_of(one).then_some(pico / one);
    count
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(unknown)
}

/// An amount with at most two decimals, in hundredths.
pub(super) fn cents(text: &str) -> Result<u64, String> {
    let amount: Amount = text
        .parse()
        .map_err(|_| "expected an amount such as 1234.56".to_owned())?;
    let cent = 10_000_000_000;
    let pico = amount.pico();
    let whole = pico.is_multiple_of(cent).then_some(pico / cent);
    whole
        .and_then(|cents| u64::try_from(cents).ok())
        .ok_or_else(|| "expected an amount with at most two decimals, such as 1234.56".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_a_model_and_its_tokens() {
        let mix: Mix = "a/b:c=1.5k:input,500:cached,2B:output".parse().unwrap();
        assert_eq!(mix.model, "a/b:c");
        let expected = Tokens {
            input: 1_500,
            cached: 500,
            output: 2_000_000_000,
            ..Tokens::default()
        };
        assert_eq!(mix.tokens, expected);
        let mix: Mix = "m=10M:input,1M:cache_write,2_000:cache_write_1h"
            .parse()
            .unwrap();
        assert_eq!(
            (mix.tokens.cache_written, mix.tokens.cache_written_1h),
            (1_002_000, 2_000)
        );
        for (text, expected) in [
            ("gpt-4.1", "no model and tokens"),
            ("=1M:output", "no model and tokens"),
            ("m=", "\"\" is no number of tokens and kind"),
            ("m=1M", "\"1M\" is no number of tokens and kind"),
            ("m=1M:words", "\"words\" is no kind of tokens"),
            ("m=1.5:output", "\"1.5\" is no number of tokens"),
            ("m=-1:output", "\"-1\" is no number of tokens"),
            ("m=99999999999B:output", "is no number of tokens"),
            ("m=é:output", "\"é\" is no number of tokens"),
            ("m=1:output,1:output", "output stands there twice"),
            ("m=1M:input,2M:cached", "more tokens have to do with"),
        ] {
            let error = text.parse::<Mix>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_invoice_is_in_hundredths() {
        assert_eq!(cents("1234.56"), Ok(123_456));
        assert_eq!(cents("7"), Ok(700));
        assert!(cents("0.001").is_err() && cents("-1").is_err() && cents("1e18").is_err());
    }
}
