//! The prices of one model, and what tokens cost at them.

use serde::Serialize;

use super::Amount;
use crate::stream::usage::Usage;

/// Dollars for a million tokens of one kind. Inside, millionths of a millionth of a dollar for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

/// The highest rate: a dollar for one token.
const HIGHEST: u128 = 1_000_000_000_000;

impl Rate {
    /// So many thousandths of a dollar for a million tokens.
    pub(super) const fn thousandths(number: u64) -> Self {
        Self(number * 1_000)
    }

    /// Dollars for a million tokens; `None` for more decimals than six, or more than a dollar for each token.
    pub fn per_million(dollars: Amount) -> Option<Self> {
        let (pico, million) = (dollars.pico(), 1_000_000);
        let rate = pico / million;
        let fits = pico.is_multiple_of(million) && rate <= HIGHEST;
        fits.then(|| u64::try_from(rate).ok().map(Self)).flatten()
    }

    /// Dollars for a million tokens.
    pub fn dollars(self) -> Amount {
        Amount::from_pico(u128::from(self.0) * 1_000_000)
    }

    fn of(self, tokens: u64) -> Amount {
        Amount::from_pico(u128::from(self.0) * u128::from(tokens))
    }
}

/// A number that a person reads; nothing is computed with it.
impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars().to_f64())
    }
}

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Tokens of the prompt.
    pub input: Rate,
    /// Those that upstream had in its cache; without it they cost what others do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Rate>,
    /// Those that upstream has put there; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Rate>,
    /// Those of them that it keeps for an hour; without it they cost what all of them do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Rate>,
    /// Tokens of the answer, reasoning included.
    pub output: Rate,
}

/// Tokens of one request, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt, all of them.
    pub input: u64,
    /// Of those, how many upstream had in its cache.
    pub cached: u64,
    /// And how many it has put there.
    pub cache_written: u64,
    /// Of the latter, how many for an hour.
    pub cache_written_1h: u64,
    /// Of the answer.
    pub output: u64,
}

impl Tokens {
    /// What upstream has reported, with the tokens of the answer, which may be an estimate.
    pub fn of(usage: &Usage, output: Option<u64>) -> Self {
        Self {
            input: usage.input_in_all().unwrap_or(0),
            cached: usage.cached.unwrap_or(0),
            cache_written: usage.cache_written.unwrap_or(0),
            cache_written_1h: usage.cache_written_1h.unwrap_or(0),
            output: output.unwrap_or(0),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            cache_written: self.cache_written.saturating_add(other.cache_written),
            cache_written_1h: self.cache_written_1h.saturating_add(other.cache_written_1h),
            output: self.output.saturating_add(other.output),
        }
    }
}

impl Price {
    /// What tokens cost.
    pub fn of(&self, tokens: &Tokens) -> Amount {
        let long = tokens.cache_written_1h.min(tokens.cache_written);
        let short = tokens.cache_written - long;
        let fresh = tokens.input.saturating_sub(tokens.cached);
        let fresh = fresh.saturating_sub(tokens.cache_written);
        let write = self.cache_write.unwrap_or(self.input);
        let parts = [
            self.input.of(fresh),
            self.cached_input.unwrap_or(self.input).of(tokens.cached),
            write.of(short),
            self.cache_write_1h.unwrap_or(write).of(long),
            self.output.of(tokens.output),
        ];
        parts.into_iter().fold(Amount::ZERO, Amount::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(dollars: &str) -> Rate {
        Rate::per_million(dollars.parse().unwrap()).unwrap()
    }

    const PRICE: Price = Price {
        input: Rate::thousandths(3_000),
        cached_input: Some(Rate::thousandths(300)),
        cache_write: Some(Rate::thousandths(3_750)),
        cache_write_1h: Some(Rate::thousandths(6_000)),
        output: Rate::thousandths(15_000),
    };

    #[test]
    fn a_rate_has_six_decimals() {
        assert_eq!(rate("0.028"), Rate::thousandths(28));
        assert_eq!(rate("0.000001").dollars().to_string(), "0.000001");
        let none = |dollars: &str| Rate::per_million(dollars.parse().unwrap()).is_none();
        assert!(none("0.0000001") && none("1000000.000001") && !none("1000000"));
    }

    #[test]
    fn the_dialects_mean_different_tokens_by_input_and_pay_the_same() {
        let openai = Usage {
            input: Some(1_000),
            cached: Some(300),
            ..Usage::default()
        };
        let anthropic = Usage {
            input: Some(700),
            cached: Some(300),
            cache_written: Some(0),
            is_cache_apart: true,
            ..Usage::default()
        };
        let cost = |usage| PRICE.of(&Tokens::of(&usage, Some(500))).to_string();
        // 700 × 3 + 300 × 0.3 + 500 × 15, in millionths.
        assert_eq!(cost(openai), "0.00969");
        assert_eq!(cost(anthropic), "0.00969");
    }

    #[test]
    fn each_kind_of_token_has_its_own_price() {
        let tokens = Tokens {
            input: 11_111,
            cached: 1_000,
            cache_written: 110,
            cache_written_1h: 10,
            output: 100_000,
        };
        // 10,001 × 3 + 1,000 × 0.3 + 100 × 3.75 + 10 × 6 + 100,000 × 15
        assert_eq!(PRICE.of(&tokens).to_string(), "1.530738");
        let plain = Price {
            cached_input: None,
            cache_write: None,
            cache_write_1h: None,
            ..PRICE
        };
        let all_input = Amount::from_pico(3_000_000 * 11_111 + 15_000_000 * 100_000);
        assert_eq!(plain.of(&tokens), all_input);
    }

    #[test]
    fn nothing_is_lost_however_many_there_are() {
        let many = Tokens {
            input: u64::MAX,
            output: u64::MAX,
            ..Tokens::default()
        };
        let expected = u128::from(u64::MAX) * 18_000_000;
        assert_eq!(PRICE.of(&many).pico(), expected);
        // One by one is the same as all at once.
        let one = Tokens {
            input: 7,
            cached: 3,
            output: 1,
            ..Tokens::default()
        };
        let (mut sum, mut tokens) = (Amount::ZERO, Tokens::default());
        for _ in 0..1_000 {
            sum = sum.plus(PRICE.of(&one));
            tokens = tokens.plus(&one);
        }
        assert_eq!(sum, PRICE.of(&tokens));
    }

    #[test]
    fn a_report_that_contradicts_itself_is_no_credit() {
        let tokens = Tokens {
            input: 10,
            cached: 20,
            cache_written: 5,
            cache_written_1h: 50,
            output: 0,
        };
        // 20 × 0.3 + 5 × 6
        assert_eq!(PRICE.of(&tokens).to_string(), "0.000036");
    }
}
