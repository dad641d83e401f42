//! Amounts of money, exact: whole numbers of a millionth of a millionth.
//!
//! Prices are for a million tokens and have six decimals at most, so the price of one token is a whole number of these,
//! and so is whatever is made of it by counting.

use std::fmt;
use std::str::FromStr;

use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Decimals of an amount.
const DECIMALS: usize = 12;
/// Parts of one dollar, or of one yuan.
const ONE: u128 = 1_000_000_000_000;

/// An amount of one currency, not negative. Which one, the name of whatever holds it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many millionths of a millionth.
    pub const fn from_pico(pico: u128) -> Self {
        Self(pico)
    }

    /// In millionths of a millionth.
    pub const fn pico(self) -> u128 {
        self.0
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This amount in another currency, of which `rate` are one of this. Rounded to what an amount can be.
    #[must_use]
    pub const fn at(self, rate: Self) -> Self {
        let (whole, part) = (self.0 / ONE, self.0 % ONE);
        let part = part.saturating_mul(rate.0).saturating_add(ONE / 2) / ONE;
        Self(whole.saturating_mul(rate.0).saturating_add(part))
    }

    /// What of another currency makes this amount at that rate, rounded up; `None` if the rate is zero.
    pub fn back_at(self, rate: Self) -> Option<Self> {
        let whole = self.0.checked_div(rate.0)?;
        let part = (self.0 % rate.0).saturating_mul(ONE).div_ceil(rate.0);
        Some(Self(whole.saturating_mul(ONE).saturating_add(part)))
    }

    /// For what has to be floating point: metrics, and nothing that is computed with.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus' values are floating point"
    )]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    /// For a person: so many decimals, at most those there are, halves rounded up, and a comma at each thousand.
    pub fn rounded(self, decimals: usize) -> String {
        let decimals = decimals.min(DECIMALS);
        let unit = 10_u128.pow(u32::try_from(DECIMALS - decimals).unwrap_or(0));
        let units = self.0.saturating_add(unit / 2) / unit;
        let one = ONE / unit;
        let whole = grouped(units / one);
        match decimals {
            0 => whole,
            _ => format!("{whole}.{:0decimals$}", units % one),
        }
    }
}

/// A number with a comma at each thousand.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All decimals there are, none that are zero at the end.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut part) = (self.0 / ONE, self.0 % ONE);
        write!(f, "{whole}")?;
        if part == 0 {
            return Ok(());
        }
        let mut width = DECIMALS;
        while part.is_multiple_of(10) {
            part /= 10;
            width -= 1;
        }
        write!(f, ".{part:0width$}")
    }
}

/// A number of JSON with all of its decimals, which no floating point has seen.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.to_string()).map_err(S::Error::custom)?;
        number.serialize(serializer)
    }
}

/// From such a number; whoever reads JSON from memory.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = <&RawValue>::deserialize(deserializer)?.get();
        let amount = number.parse();
        amount.map_err(|error: AmountError| {
            serde::de::Error::custom(format!("{number} is no amount: {error}"))
        })
    }
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It is no number.
    #[error("expected a number such as 7.3")]
    NotANumber,
    /// It is less than nothing.
    #[error("expected no negative number")]
    Negative,
    /// It is finer than an amount can be.
    #[error("expected at most 12 decimals")]
    TooFine,
    /// It is more than an amount can be.
    #[error("expected less than 10^20")]
    TooLarge,
}

/// Digits of a number that is read.
const MAX_DIGITS: usize = 32;

/// Also with an exponent, which other programs write when they write a number again.
impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.starts_with('-') {
            return Err(AmountError::Negative);
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let exponent = exponent.parse::<i16>();
                (mantissa, exponent.map_err(|_| AmountError::NotANumber)?)
            }
            None => (text, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let part = part.trim_end_matches('0');
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(part) {
            return Err(AmountError::NotANumber);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() + part.len() > MAX_DIGITS {
            return Err(match whole.len() > MAX_DIGITS / 2 {
                true => AmountError::TooLarge,
                false => AmountError::TooFine,
            });
        }
        let digits = format!("{whole}{part}");
        let digits = match digits.as_str() {
            "" => 0,
            digits => digits
                .parse::<u128>()
                .map_err(|_| AmountError::NotANumber)?,
        };
        scaled(digits, part.len(), exponent)
    }
}

/// `digits` × 10^(`exponent` - `decimals`).
fn scaled(digits: u128, decimals: usize, exponent: i16) -> Result<Amount, AmountError> {
    let decimals = i64::try_from(decimals).unwrap_or(i64::MAX);
    let shift = i64::from(exponent) - decimals + DECIMALS as i64;
    if digits == 0 {
        return Ok(Amount::ZERO);
    }
    let power = |shift: i64| {
        let shift = u32::try_from(shift).ok()?;
        10_u128.checked_pow(shift)
    };
    let pico = match shift {
        0.. => {
            let product = power(shift).and_then(|power| digits.checked_mul(power));
            product.ok_or(AmountError::TooLarge)?
        }
        _ => match power(-shift) {
            Some(power) if digits.is_multiple_of(power) => digits / power,
            _ => return Err(AmountError::TooFine),
        },
    };
    match pico < ONE * 100_000_000_000_000_000_000 {
        true => Ok(Amount(pico)),
        false => Err(AmountError::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for (text, pico, shown) in [
            ("0", 0, "0"),
            ("000.000", 0, "0"),
            ("7.3", 7_300_000_000_000, "7.3"),
            ("07.30", 7_300_000_000_000, "7.3"),
            ("80", 80 * ONE, "80"),
            ("0.000000000001", 1, "0.000000000001"),
            ("1.2e-05", 12_000_000, "0.000012"),
            ("12E3", 12_000 * ONE, "12000"),
            ("1e-12", 1, "0.000000000001"),
            ("0e-99", 0, "0"),
        ] {
            assert_eq!(amount(text).pico(), pico, "{text}");
            assert_eq!(amount(text).to_string(), shown);
            assert_eq!(amount(shown), amount(text));
        }
        for (text, error) in [
            ("", AmountError::NotANumber),
            (".5", AmountError::NotANumber),
            ("1,000", AmountError::NotANumber),
            ("1.2.3", AmountError::NotANumber),
            ("1e", AmountError::NotANumber),
            ("NaN", AmountError::NotANumber),
            ("+1", AmountError::NotANumber),
            ("-1", AmountError::Negative),
            ("0.0000000000001", AmountError::TooFine),
            ("1e-13", AmountError::TooFine),
            ("1e-9999", AmountError::TooFine),
            ("1e9999", AmountError::TooLarge),
            ("100000000000000000000", AmountError::TooLarge),
            ("123456789012345678901234567890123", AmountError::TooLarge),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_person_sees_rounded_ones() {
        let fine = amount("1234567.005");
        assert_eq!(fine.rounded(2), "1,234,567.01");
        assert_eq!(fine.rounded(0), "1,234,567");
        assert_eq!(fine.rounded(99), "1,234,567.005000000000");
        assert_eq!(amount("0.004999").rounded(2), "0.00");
        assert_eq!(amount("999.995").rounded(2), "1,000.00");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(100_000), "100,000");
    }

    #[test]
    fn a_rate_changes_the_currency() {
        assert_eq!(amount("115").at(amount("7.3")), amount("839.5"));
        // Half of the smallest part is one.
        assert_eq!(Amount(1).at(amount("0.5")), Amount(1));
        assert_eq!(Amount(1).at(amount("0.49")), Amount(0));
        assert_eq!(amount("7300").back_at(amount("7.3")), Some(amount("1000")));
        assert_eq!(amount("1").back_at(Amount::ZERO), None);
        let most = amount("99999999999999999999");
        assert_eq!(
            most.at(amount("0.73")).to_string(),
            "72999999999999999999.27"
        );
        assert_eq!(
            amount("10").back_at(amount("3")).unwrap().to_string(),
            "3.333333333334"
        );
    }

    #[test]
    fn json_has_a_number_with_all_of_its_decimals() {
        let exact = amount("12345678901.000000000001");
        let text = serde_json::to_string(&[exact]).unwrap();
        assert_eq!(text, "[12345678901.000000000001]");
        assert_eq!(serde_json::from_str::<[Amount; 1]>(&text).unwrap(), [exact]);
        for wrong in ["\"1\"", "-1", "null", "1e99"] {
            assert!(serde_json::from_str::<Amount>(wrong).is_err(), "{wrong}");
        }
    }
}
