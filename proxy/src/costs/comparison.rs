//! What a mix of models costs at official prices, and at HolySheep's rate.

use serde::Serialize;
use serde_json::value::RawValue;

use super::mix::Mix;
use crate::cost::{Amount, Catalogue, Tokens};

/// One model, or all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) model: String,
    pub(super) tokens: Tokens,
    /// Official price.
    pub(super) usd: Amount,
    /// The same in yuan.
    pub(super) official: Amount,
    /// At HolySheep, in yuan.
    pub(super) relay: Amount,
}

/// A difference of two amounts of yuan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saving {
    pub(super) is_loss: bool,
    pub(super) amount: Amount,
    /// Tenths of a percent of the official price, rounded; `None` if that is nothing.
    pub(super) permille: Option<u128>,
}

impl Saving {
    fn of(official: Amount, paid: Amount) -> Self {
        let (official, paid) = (official.pico(), paid.pico());
        let difference = official.abs_diff(paid);
        let permille = difference
            .saturating_mul(1_000)
            .saturating_add(official / 2);
        Self {
            is_loss: paid > official,
            amount: Amount::from_pico(difference),
            permille: permille.checked_div(official),
        }
    }

    /// Without its sign.
    fn percentage(self) -> Option<Amount> {
        let permille = self.permille?;
        Some(Amount::from_pico(permille.saturating_mul(100_000_000_000)))
    }

    /// As in `-1,150.0%`.
    pub(super) fn percent(self) -> String {
        match self.percentage() {
            Some(percent) => format!("{}%", self.signed(&percent.rounded(1))),
            None => "–".to_owned(),
        }
    }

    /// With a sign if it is a loss.
    pub(super) fn signed(self, number: &str) -> String {
        let sign = if self.is_loss { "-" } else { "" };
        format!("{sign}{number}")
    }
}

impl Row {
    pub(super) fn saving(&self) -> Saving {
        Saving::of(self.official, self.relay)
    }
}

/// The whole mix.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) exchange_rate: Amount,
    pub(super) relay_rate: Amount,
    pub(super) rows: Vec<Row>,
    pub(super) total: Row,
    /// A flat fee, in place of paying HolySheep by use.
    pub(super) fee: Option<Amount>,
}

impl Comparison {
    /// Computes it.
    ///
    /// # Errors
    /// The model that has no price.
    pub(super) fn of(
        mixes: &[Mix],
        prices: &Catalogue,
        (exchange_rate, relay_rate): (Amount, Amount),
        fee: Option<Amount>,
    ) -> Result<Self, String> {
        let mut rows = Vec::new();
        let mut total = Row {
            model: "total".to_owned(),
            ..Row::default()
        };
        for mix in mixes {
            let entry = prices.find(&mix.model).ok_or_else(|| mix.model.clone())?;
            let usd = entry.price.of(&mix.tokens);
            let row = Row {
                model: entry.name.to_string(),
                tokens: mix.tokens,
                usd,
                official: usd.at(exchange_rate),
                relay: usd.at(relay_rate),
            };
            total.tokens = total.tokens.plus(&row.tokens);
            total.usd = total.usd.plus(row.usd);
            total.official = total.official.plus(row.official);
            total.relay = total.relay.plus(row.relay);
            rows.push(row);
        }
        Ok(Self {
            exchange_rate,
            relay_rate,
            rows,
            total,
            fee,
        })
    }

    /// What a flat fee saves against official prices.
    pub(super) fn fee_saving(&self) -> Option<Saving> {
        Some(Saving::of(self.total.official, self.fee?))
    }

    /// From which official price on a flat fee is less than paying that, and than paying HolySheep by use; in dollars.
    pub(super) fn fee_pays_from(&self) -> Option<[Amount; 2]> {
        let fee = self.fee?;
        let [official, relay] = [self.exchange_rate, self.relay_rate].map(|rate| fee.back_at(rate));
        Some([official?, relay?])
    }

    /// For a program.
    pub(super) fn to_json(&self) -> impl Serialize {
        let fee = self.fee_saving().zip(self.fee);
        ComparisonJson {
            exchange_rate: self.exchange_rate,
            relay_rate: self.relay_rate,
            models: self.rows.iter().map(RowJson::of).collect(),
            total: RowJson::of(&self.total),
            flat_fee: fee.map(|(saving, cny)| FeeJson {
                cny,
                saved: SavingJson::of(saving),
                pays_from_official_usd: self.fee_pays_from().map(|[official, _]| official),
                pays_from_relay_usd: self.fee_pays_from().map(|[_, relay]| relay),
            }),
        }
    }
}

#[derive(Serialize)]
struct ComparisonJson {
    exchange_rate: Amount,
    relay_rate: Amount,
    models: Vec<RowJson>,
    total: RowJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    flat_fee: Option<FeeJson>,
}

#[derive(Serialize)]
struct RowJson {
    model: String,
    input_tokens: u64,
    cached_tokens: u64,
    cache_written_tokens: u64,
    output_tokens: u64,
    official_usd: Amount,
    official_cny: Amount,
    relay_cny: Amount,
    #[serde(flatten)]
    saved: SavingJson,
}

/// Signed, which amounts are not.
#[derive(Serialize)]
struct SavingJson {
    saved_cny: Option<Box<RawValue>>,
    saved_percent: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct FeeJson {
    cny: Amount,
    #[serde(flatten)]
    saved: SavingJson,
    pays_from_official_usd: Option<Amount>,
    pays_from_relay_usd: Option<Amount>,
}

impl RowJson {
    fn of(row: &Row) -> Self {
        Self {
            model: row.model.clone(),
            input_tokens: row.tokens.input,
            cached_tokens: row.tokens.cached,
            cache_written_tokens: row.tokens.cache_written,
            output_tokens: row.tokens.output,
            official_usd: row.usd,
            official_cny: row.official,
            relay_cny: row.relay,
            saved: SavingJson::of(row.saving()),
        }
    }
}

impl SavingJson {
    fn of(saving: Saving) -> Self {
        let number = |amount: Amount| {
            let text = saving.signed(&amount.to_string());
            RawValue::from_string(text).ok()
        };
        Self {
            saved_cny: number(saving.amount),
            saved_percent: saving.percentage().and_then(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::costs::mix::of_article;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    fn article(fee: Option<&str>) -> Comparison {
        let rates = (amount("7.3"), amount("1"));
        let fee = fee.map(amount);
        Comparison::of(&of_article(), &Catalogue::default(), rates, fee).unwrap()
    }

    #[test]
    fn the_articles_month() {
        let comparison = article(None);
        let yuan: Vec<_> = comparison
            .rows
            .iter()
            .map(|row| [row.usd, row.official, row.relay].map(|amount| amount.to_string()))
            .collect();
        assert_eq!(
            yuan,
            [
                ["80", "584", "80"],
                ["150", "1095", "150"],
                ["25", "182.5", "25"],
                ["4.2", "30.66", "4.2"],
            ]
        );
        assert_eq!(comparison.total.official, amount("1892.16"));
        assert_eq!(comparison.total.saving().percent(), "86.3%");
    }

    #[test]
    fn a_flat_fee_may_be_more() {
        let comparison = article(Some("7300"));
        let saving = comparison.fee_saving().unwrap();
        assert_eq!(saving.amount, amount("5407.84"));
        assert_eq!(saving.percent(), "-285.8%");
        let [official, relay] = comparison.fee_pays_from().unwrap();
        assert_eq!((official, relay), (amount("1000"), amount("7300")));
        let json = serde_json::to_string(&comparison.to_json()).unwrap();
        let fee = r#""flat_fee":{"cny":7300,"saved_cny":-5407.84,"saved_percent":-285.8,"pays_from_official_usd":1000,"pays_from_relay_usd":7300}"#;
        assert!(json.contains(fee), "{json}");
    }

    #[test]
    fn nothing_saved_of_nothing_is_no_percentage() {
        let saving = Saving::of(Amount::ZERO, Amount::ZERO);
        assert_eq!(saving.percent(), "–");
        let loss = Saving::of(amount("1"), amount("100"));
        assert_eq!(loss.percent(), "-9,900.0%");
        assert_eq!(loss.signed("99"), "-99");
    }

    #[test]
    fn a_model_without_a_price_is_named() {
        let mix = "nobody=1M:output".parse().unwrap();
        let rates = (amount("7.3"), amount("1"));
        let error = Comparison::of(&[mix], &Catalogue::default(), rates, None).unwrap_err();
        assert_eq!(error, "nobody");
    }
}
