//! A bill by client and model, and an invoice split over clients.

use std::io::{self, Write};

use super::super::bill::{Bill, Charge, in_units};
use super::{MODEL, in_millions};
use crate::cost::Amount;
use crate::cost::money::grouped;
use crate::table::{Format, Side, Table, WIDTH, csv, json, short};

/// Characters of a client's name in a table.
const CLIENT: usize = 18;
/// Models without a price that are named in a table; a program gets all.
const MOST_UNPRICED: usize = 20;

/// An invoice in hundredths, and each client's share in the order of the bill.
type Split = (u64, Vec<u64>);

/// Prints a bill.
pub(in crate::costs) fn bill(
    out: &mut impl Write,
    bill: &Bill,
    split: Option<&Split>,
    format: Format,
) -> io::Result<()> {
    match (format, split) {
        (Format::Json, split) => json(out, &bill.to_json(split)),
        (Format::Csv, None) => bill_csv(out, bill),
        (Format::Csv, Some(split)) => split_csv(out, bill, split),
        (Format::Table, split) => {
            bill_table(out, bill)?;
            if let Some(split) = split {
                split_table(out, bill, split)?;
            }
            notes(out, bill)
        }
    }
}

/// How much of it a table shows.
struct Form {
    /// Characters of a client's name.
    client: usize,
    /// Characters of a model's.
    model: usize,
    /// Whether there is a column of cached tokens.
    has_cached: bool,
}

const FULL: Form = Form {
    client: CLIENT,
    model: MODEL,
    has_cached: true,
};

/// For those that would be too wide.
const COMPACT: Form = Form {
    client: 14,
    model: 22,
    has_cached: false,
};

fn bill_table(out: &mut impl Write, bill: &Bill) -> io::Result<()> {
    let table = table_of(bill, &FULL, |count| grouped(count.into()));
    if table.width() <= WIDTH {
        return table.print(out);
    }
    let tokens = bill.total().tokens;
    let in_tokens = in_millions(tokens.input.max(tokens.output));
    table_of(bill, &COMPACT, in_tokens).print(out)
}

fn table_of(bill: &Bill, form: &Form, in_tokens: fn(u64) -> String) -> Table {
    let total = bill.total();
    let decimals = decimals(total.cost());
    let has_estimates = total.estimated > Amount::ZERO;
    let columns = [
        Some(("client", Side::Left)),
        Some(("model", Side::Left)),
        Some(("requests", Side::Right)),
        Some(("input", Side::Right)),
        form.has_cached.then_some(("cached", Side::Right)),
        Some(("output", Side::Right)),
        Some(("cost $", Side::Right)),
        has_estimates.then_some(("estimated $", Side::Right)),
    ];
    let mut table = Table::new(columns.into_iter().flatten());
    let cells = |client: &str, model: &str, charge: &Charge| {
        let tokens = &charge.tokens;
        let cells = [
            Some(short(client, form.client)),
            Some(short(model, form.model)),
            Some(grouped(charge.requests.into())),
            Some(in_tokens(tokens.input)),
            form.has_cached.then(|| in_tokens(tokens.cached)),
            Some(in_tokens(tokens.output)),
            Some(charge.usd.rounded(decimals)),
            has_estimates.then(|| charge.estimated.rounded(decimals)),
        ];
        cells.into_iter().flatten()
    };
    for (client, models) in &bill.charges {
        let mut name = client.as_str();
        for (model, charge) in models {
            table.row(cells(std::mem::take(&mut name), model, charge));
        }
        if models.len() > 1 {
            table.row(cells("", "all of them", &Bill::of_client(models)));
        }
    }
    table.rule();
    table.row(cells("total", "", &total));
    table
}

/// Small amounts need more of them.
fn decimals(total: Amount) -> usize {
    match total.pico() / 1_000_000_000_000 {
        0 => 6,
        1..100 => 4,
        _ => 2,
    }
}

fn split_table(out: &mut impl Write, bill: &Bill, (cents, shares): &Split) -> io::Result<()> {
    writeln!(
        out,
        "\nAn invoice of {} in proportion to these costs\n",
        in_units(*cents).rounded(2)
    )?;
    let mut table = Table::new([
        ("client", Side::Left),
        ("cost $", Side::Right),
        ("share", Side::Right),
        ("amount", Side::Right),
    ]);
    let total = bill.total().cost();
    let decimals = decimals(total);
    for ((client, models), share) in bill.charges.iter().zip(shares) {
        let cost = Bill::of_client(models).cost();
        table.row([
            short(client, CLIENT),
            cost.rounded(decimals),
            percent(cost, total),
            in_units(*share).rounded(2),
        ]);
    }
    table.rule();
    table.row([
        "total".to_owned(),
        total.rounded(decimals),
        percent(total, total),
        in_units(shares.iter().sum()).rounded(2),
    ]);
    table.print(out)
}

fn percent(part: Amount, whole: Amount) -> String {
    let percent = part.pico().saturating_mul(100_000_000_000_000);
    let percent = percent.checked_div(whole.pico()).unwrap_or(0);
    format!("{}%", Amount::from_pico(percent).rounded(1))
}

/// What the tables leave out.
fn notes(out: &mut impl Write, bill: &Bill) -> io::Result<()> {
    let unpriced = bill.unpriced.iter().flat_map(|(client, models)| {
        let models = models.iter();
        models.map(move |(model, tokens)| (client, model, tokens))
    });
    let unpriced: Vec<_> = unpriced.collect();
    if !unpriced.is_empty() {
        writeln!(
            out,
            "\nNot in these costs, for there is no price (`prices`):"
        )?;
    }
    for (client, model, [input, output]) in unpriced.iter().take(MOST_UNPRICED) {
        writeln!(
            out,
            "  {}, {}: {} tokens of input, {} of output",
            short(client, CLIENT),
            short(model, MODEL),
            grouped((*input).into()),
            grouped((*output).into()),
        )?;
    }
    if let Some(more @ 1..) = unpriced.len().checked_sub(MOST_UNPRICED) {
        writeln!(out, "  and {more} more")?;
    }
    if bill.unknown > 0 {
        writeln!(
            out,
            "\nNot in these costs: {} requests of which nothing is known but that upstream has had them.",
            grouped(bill.unknown.into())
        )?;
    }
    Ok(())
}

fn bill_csv(out: &mut impl Write, bill: &Bill) -> io::Result<()> {
    csv(
        out,
        &[
            "client",
            "model",
            "requests",
            "input_tokens",
            "cached_tokens",
            "cache_written_tokens",
            "output_tokens",
            "usd",
            "estimated_usd",
        ],
    )?;
    for (client, models) in &bill.charges {
        for (model, charge) in models {
            let tokens = &charge.tokens;
            let numbers = [
                charge.requests,
                tokens.input,
                tokens.cached,
                tokens.cache_written,
                tokens.output,
            ];
            let numbers = numbers.map(|number| number.to_string());
            let amounts = [charge.usd, charge.estimated].map(|amount| amount.to_string());
            let cells = [client.as_str(), model].into_iter();
            let cells = cells.chain(numbers.iter().chain(&amounts).map(String::as_str));
            csv(out, &cells.collect::<Vec<_>>())?;
        }
    }
    // Without a price there is no amount, and not one of nothing.
    for (client, models) in &bill.unpriced {
        for (model, counts) in models {
            let [input, output] = counts.map(|count| count.to_string());
            csv(out, &[client, model, "", &input, "", "", &output, "", ""])?;
        }
    }
    Ok(())
}

fn split_csv(out: &mut impl Write, bill: &Bill, (_, shares): &Split) -> io::Result<()> {
    csv(out, &["client", "usd", "estimated_usd", "amount"])?;
    for ((client, models), share) in bill.charges.iter().zip(shares) {
        let charge = Bill::of_client(models);
        let amount = in_units(*share).to_string();
        let [usd, estimated] = [charge.usd, charge.estimated].map(|amount| amount.to_string());
        csv(out, &[client, &usd, &estimated, &amount])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Tokens;

    fn printed(bill: &Bill, split: Option<&Split>, format: Format) -> String {
        let mut out = Vec::new();
        super::bill(&mut out, bill, split, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn large() -> Bill {
        let mut bill = Bill::default();
        let charge = Charge {
            requests: 12_345_678,
            tokens: Tokens {
                input: 123_456_789_012,
                cached: 23_456_789_012,
                output: 34_567_890_123,
                ..Tokens::default()
            },
            usd: "1234567.89".parse().unwrap(),
            estimated: "4567.89".parse().unwrap(),
        };
        for client in ["marketing-of-a-large-company", "x"] {
            for model in ["claude-sonnet-4.5", "some/very-long-name-of-a-model-2026"] {
                bill.charge(client, model, &charge);
            }
        }
        bill.unpriced("x", "mine", [1_000, 2]);
        bill.unknown = 3;
        bill
    }

    #[test]
    fn a_table_fits_a_terminal_and_says_what_it_leaves_out() {
        let bill = large();
        let text = printed(&bill, Some(&(10_000, vec![5_000, 5_000])), Format::Table);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains("123,457M"), "{text}");
        assert!(
            text.contains("  x, mine: 1,000 tokens of input, 2 of output\n"),
            "{text}"
        );
        assert!(
            text.contains("3 requests of which nothing is known"),
            "{text}"
        );
        assert!(text.contains("50.0%   50.00\n"), "{text}");
    }

    #[test]
    fn a_spreadsheet_gets_every_token_and_decimal() {
        let bill = large();
        let text = printed(&bill, None, Format::Csv);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert_eq!(
            lines[1],
            "marketing-of-a-large-company,claude-sonnet-4.5,12345678,123456789012,23456789012,0,34567890123,1234567.89,4567.89"
        );
        assert_eq!(lines[5], "x,mine,,1000,,,2,,");
        let split = printed(&bill, Some(&(9_999, vec![5_000, 4_999])), Format::Csv);
        assert!(split.ends_with("x,2469135.78,9135.78,49.99\n"), "{split}");
    }
}
