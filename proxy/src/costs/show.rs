//! Prints what was computed: as a table for a person, as JSON, or as CSV. Programs get every decimal.

mod bill;

use std::io::{self, Write};

use super::comparison::{Comparison, Row};
use crate::cost::money::grouped;
use crate::cost::price::Rate;
use crate::cost::{Amount, Catalogue, Tokens};
use crate::table::{Format, Side, Table, WIDTH, csv, json, short};
pub(super) use bill::bill;

/// Characters of a model's name in a table.
const MODEL: usize = 28;

/// Tokens as they may have been written: `10M`, `1,500`, `–` for none.
fn tokens(count: u64) -> String {
    let short = |unit: u64, name: &str| {
        let is_whole = count.is_multiple_of(unit) && count >= unit;
        is_whole.then(|| format!("{}{name}", grouped((count / unit).into())))
    };
    match count {
        0 => "–".to_owned(),
        _ => short(1_000_000, "M")
            .or_else(|| short(1_000, "k"))
            .unwrap_or_else(|| grouped(count.into())),
    }
}

/// How tokens are written in tables that would be too wide, whose largest number of tokens this is: in millions.
fn in_millions(largest: u64) -> fn(u64) -> String {
    fn with(count: u64, decimals: usize) -> String {
        let millions = Amount::from_pico(u128::from(count) * 1_000_000);
        format!("{}M", millions.rounded(decimals))
    }
    match largest {
        0..1_000_000_000 => |count| with(count, 2),
        _ => |count| match count {
            1..500_000 => "<1M".to_owned(),
            count => with(count, 0),
        },
    }
}

/// A kind of tokens that a column is about.
type Kind = (&'static str, fn(&Tokens) -> u64);

const KINDS: [Kind; 4] = [
    ("input", |tokens| tokens.input),
    ("cached", |tokens| tokens.cached),
    ("cache write", |tokens| tokens.cache_written),
    ("output", |tokens| tokens.output),
];

/// The kinds there are any of, and those without which a reader would ask.
fn kinds(sum: &Tokens) -> impl Iterator<Item = Kind> {
    let is_shown = move |(title, of): &Kind| of(sum) > 0 || *title == "output";
    KINDS.into_iter().filter(is_shown)
}

/// Official prices against HolySheep's.
pub(super) fn comparison(
    out: &mut impl Write,
    comparison: &Comparison,
    format: Format,
) -> io::Result<()> {
    match format {
        Format::Json => json(out, &comparison.to_json()),
        Format::Csv => comparison_csv(out, comparison),
        Format::Table => comparison_table(out, comparison),
    }
}

fn comparison_table(out: &mut impl Write, of: &Comparison) -> io::Result<()> {
    writeln!(
        out,
        "Official prices at ¥{} for $1 against HolySheep at ¥{} for $1\n",
        of.exchange_rate, of.relay_rate
    )?;
    let shown: Vec<_> = kinds(&of.total.tokens).collect();
    let table = table_of(of, &shown, tokens);
    match table.width() > WIDTH {
        // What has to do with the cache is part of the input.
        true => {
            let fewer = [KINDS[0], KINDS[3]];
            let total = &of.total.tokens;
            let in_tokens = in_millions(total.input.max(total.output));
            table_of(of, &fewer, in_tokens).print(out)?;
        }
        false => table.print(out)?,
    }
    if let Some([official, relay]) = of.fee_pays_from() {
        writeln!(
            out,
            "\nThe flat fee is less than official prices from ${} of usage on, and less than\n\
             HolySheep by use from ${} on.",
            official.rounded(2),
            relay.rounded(2)
        )?;
    }
    Ok(())
}

fn table_of(comparison: &Comparison, shown: &[Kind], in_tokens: fn(u64) -> String) -> Table {
    let titles = shown.iter().map(|(title, _)| (*title, Side::Right));
    let amounts = [
        "official $",
        "official ¥",
        "HolySheep ¥",
        "saved ¥",
        "saved",
    ];
    let mut table = Table::new(
        std::iter::once(("model", Side::Left))
            .chain(titles)
            .chain(amounts.map(|title| (title, Side::Right))),
    );
    let cells = |row: &Row| {
        let saving = row.saving();
        let counts = shown.iter().map(|(_, of)| in_tokens(of(&row.tokens)));
        let amounts = [
            row.usd.rounded(2),
            row.official.rounded(2),
            row.relay.rounded(2),
            saving.signed(&saving.amount.rounded(2)),
            saving.percent(),
        ];
        let name = std::iter::once(short(&row.model, MODEL));
        name.chain(counts).chain(amounts).collect::<Vec<_>>()
    };
    for row in &comparison.rows {
        table.row(cells(row));
    }
    table.rule();
    table.row(cells(&comparison.total));
    if let Some((fee, saving)) = comparison.fee.zip(comparison.fee_saving()) {
        let name = std::iter::once("flat fee instead".to_owned());
        let blank = std::iter::repeat_n(String::new(), shown.len() + 2);
        let amounts = [
            fee.rounded(2),
            saving.signed(&saving.amount.rounded(2)),
            saving.percent(),
        ];
        table.row(name.chain(blank).chain(amounts));
    }
    table
}

fn comparison_csv(out: &mut impl Write, of: &Comparison) -> io::Result<()> {
    csv(
        out,
        &[
            "model",
            "input_tokens",
            "cached_tokens",
            "cache_written_tokens",
            "output_tokens",
            "official_usd",
            "official_cny",
            "relay_cny",
            "saved_cny",
        ],
    )?;
    for row in of.rows.iter().chain([&of.total]) {
        let saving = row.saving();
        let counts = KINDS.map(|(_, of)| of(&row.tokens).to_string());
        let amounts = [row.usd, row.official, row.relay].map(|amount| amount.to_string());
        let saved = saving.signed(&saving.amount.to_string());
        let cells = std::iter::once(row.model.as_str())
            .chain(counts.iter().map(String::as_str))
            .chain(amounts.iter().map(String::as_str))
            .chain([saved.as_str()]);
        csv(out, &cells.collect::<Vec<_>>())?;
    }
    if let Some((fee, saving)) = of.fee.zip(of.fee_saving()) {
        let saved = saving.signed(&saving.amount.to_string());
        let fee = fee.to_string();
        csv(
            out,
            &["flat fee instead", "", "", "", "", "", "", &fee, &saved],
        )?;
    }
    Ok(())
}

/// The catalogue.
pub(super) fn prices(out: &mut impl Write, prices: &Catalogue, format: Format) -> io::Result<()> {
    if format == Format::Json {
        return json(out, prices);
    }
    let optional = |rate: Option<Rate>| rate.map(Rate::dollars);
    let rows = prices.entries().iter().map(|entry| {
        let price = &entry.price;
        let rates = [
            Some(price.input.dollars()),
            optional(price.cached_input),
            optional(price.cache_write),
            optional(price.cache_write_1h),
            Some(price.output.dollars()),
        ];
        (entry, rates)
    });
    if format == Format::Csv {
        csv(
            out,
            &[
                "model",
                "input",
                "cached_input",
                "cache_write",
                "cache_write_1h",
                "output",
                "date",
                "source",
                "aliases",
            ],
        )?;
        for (entry, rates) in rows {
            let rates = rates.map(|rate| rate.map_or_else(String::new, |rate| rate.to_string()));
            let aliases = entry.aliases.join(" ");
            let origin = [&entry.date, &entry.source].map(|text| text.as_deref().unwrap_or(""));
            let cells = std::iter::once(&*entry.name)
                .chain(rates.iter().map(String::as_str))
                .chain(origin)
                .chain([aliases.as_str()]);
            csv(out, &cells.collect::<Vec<_>>())?;
        }
        return Ok(());
    }
    writeln!(out, "US dollars for a million tokens\n")?;
    let titles = ["input", "cached", "cache write", "for 1 h", "output"];
    let mut table = Table::new(
        std::iter::once(("model", Side::Left))
            .chain(titles.map(|title| (title, Side::Right)))
            .chain([("as of", Side::Left)]),
    );
    for (entry, rates) in rows {
        let rates = rates.map(|rate| rate.map_or_else(|| "–".to_owned(), at_least_cents));
        let date = entry.date.as_deref().unwrap_or("–").to_owned();
        let name = std::iter::once(short(&entry.name, MODEL));
        table.row(name.chain(rates).chain([date]));
    }
    table.print(out)?;
    writeln!(
        out,
        "\nWhere a price of the cache is missing, that of input holds. Sources:"
    )?;
    for entry in prices.entries() {
        let source = entry.source.as_deref().unwrap_or("the configuration");
        writeln!(out, "  {}: {source}", short(&entry.name, MODEL))?;
    }
    Ok(())
}

/// All decimals, two at least.
fn at_least_cents(amount: Amount) -> String {
    let text = amount.to_string();
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() > 2 => text,
        _ => amount.rounded(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_short_where_nothing_is_lost() {
        assert_eq!(tokens(0), "–");
        assert_eq!(tokens(10_000_000), "10M");
        assert_eq!(tokens(1_500_000), "1,500k");
        assert_eq!(tokens(1_234_567), "1,234,567");
    }

    #[test]
    fn prices_have_all_of_their_decimals() {
        assert_eq!(at_least_cents("0.028".parse().unwrap()), "0.028");
        assert_eq!(at_least_cents("2.5".parse().unwrap()), "2.50");
        assert_eq!(at_least_cents("8".parse().unwrap()), "8.00");
    }
}
