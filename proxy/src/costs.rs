//! `holysheep-proxy costs`: official prices against HolySheep's for a mix of models, and bills by client and model.
//!
//! A bill is made from the access logs of any number of proxies, or from what running ones have counted since their start.

mod admin;
mod bill;
mod comparison;
mod log;
mod mix;
mod moment;
mod show;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{ConfigError, ConfigFile, document, prices};
use crate::cost::{Amount, Catalogue};
use crate::table::Format;
use bill::Bill;
use comparison::Comparison;
use mix::Mix;
use moment::Moment;

/// What to compute, and from what.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Tokens of a model, as gpt-4.1=30M:input,5M:cached,10M:output; repeatable [default: the article's, 10M:output of each]
    #[arg(long, value_name = "MODEL=TOKENS:KIND,…", num_args = 1.., group = "comparison")]
    mix: Vec<Mix>,
    /// Yuan for a dollar where the official price is paid
    #[arg(long, value_name = "YUAN", default_value = "7.3", value_parser = rate)]
    exchange_rate: Amount,
    /// Yuan for a dollar at HolySheep
    #[arg(long, value_name = "YUAN", default_value = "1", value_parser = rate)]
    relay_rate: Amount,
    /// A flat fee in yuan, to be held against paying by use
    #[arg(long, value_name = "YUAN")]
    fee: Option<Amount>,
    /// Make a bill from access logs in JSON; - is standard input
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["comparison", "fee", "admin"])]
    from: Vec<PathBuf>,
    /// Make a bill from what running proxies have counted, by the URLs of their admin ports
    #[arg(long, value_name = "URL", num_args = 1.., conflicts_with_all = ["comparison", "fee"])]
    admin: Vec<String>,
    /// Only requests from this moment on, as 2026-11-01 or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", requires = "from")]
    since: Option<Moment>,
    /// Only requests before this moment
    #[arg(long, value_name = "TIME", requires = "from")]
    until: Option<Moment>,
    /// Compute with the prices of now what the log has computed already
    #[arg(long, requires = "from")]
    reprice: bool,
    /// Split this amount over clients in proportion to what they cost
    #[arg(long, value_name = "AMOUNT", value_parser = mix::cents)]
    invoice: Option<u64>,
    /// Show the prices
    #[arg(long, conflicts_with_all = ["comparison", "fee", "from", "admin", "invoice"])]
    prices: bool,
    /// Configuration file with `prices` besides the built-in ones
    #[arg(long, value_name = "FILE", env = "HOLYSHEEP_CONFIG")]
    config: Option<PathBuf>,
    /// Form of what is printed
    #[arg(long, value_name = "table|json|csv", default_value = "table")]
    format: Format,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum CostsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("--mix {model}: it has no price; known are {known}. `prices` of --config adds others")]
    NoPrice { model: String, known: String },
    #[error("--invoice needs --from or --admin: there is nobody to split it over")]
    NobodyToSplitOver,
    #[error("--invoice: nothing was charged, so there is nothing to split it by")]
    NothingToSplitBy,
    #[error("{path}: {reason}")]
    Read { path: PathBuf, reason: io::Error },
    #[error("no line of the access log was found; it has to be in JSON (log.format: json){}", .0.as_deref().map(|first| format!("; {first}")).unwrap_or_default())]
    NoLine(Option<String>),
    #[error(
        "{sampled} of {lines} lines stand for others that were not written (log.sample): a bill from them would be too small; make it with --admin, or from a log with all lines"
    )]
    Sampled { sampled: u64, lines: u64 },
    #[error("{url}: {reason}")]
    Admin { url: String, reason: String },
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl CostsError {
    /// Whether it is about what was asked for, and not about what was found.
    const fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) | Self::NoPrice { .. } | Self::NobodyToSplitOver => true,
            Self::NothingToSplitBy
            | Self::Read { .. }
            | Self::NoLine(_)
            | Self::Sampled { .. }
            | Self::Admin { .. }
            | Self::Write(_) => false,
        }
    }
}

/// Computes and prints; `bad_usage` is the exit code for what cannot be asked for.
pub fn run(arguments: &Arguments, bad_usage: u8) -> ExitCode {
    match print(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(CostsError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            note(&format!("holysheep-proxy: {error}"));
            match error.is_usage() {
                true => ExitCode::from(bad_usage),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// Tells the person beside what is printed, if there is anybody.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn print(arguments: &Arguments) -> Result<(), CostsError> {
    let prices = catalogue(arguments)?;
    let format = arguments.format;
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.prices {
        show::prices(&mut out, &prices, format)?;
    } else if arguments.from.is_empty() && arguments.admin.is_empty() {
        if arguments.invoice.is_some() {
            return Err(CostsError::NobodyToSplitOver);
        }
        show::comparison(&mut out, &comparison(arguments, &prices)?, format)?;
    } else {
        let bill = match arguments.admin.is_empty() {
            true => from_logs(arguments, &prices)?,
            false => admin::bill(&arguments.admin)?,
        };
        let split = match arguments.invoice {
            Some(cents) => {
                let split = bill.split(cents);
                Some((cents, split.ok_or(CostsError::NothingToSplitBy)?))
            }
            None => None,
        };
        show::bill(&mut out, &bill, split.as_ref(), format)?;
    }
    out.flush()?;
    Ok(())
}

fn catalogue(arguments: &Arguments) -> Result<Catalogue, CostsError> {
    let Some(path) = &arguments.config else {
        return Ok(Catalogue::default());
    };
    let text = ConfigFile::text(path)?;
    let built = document::build(path, &text, |file: ConfigFile| {
        let mut problems = Vec::new();
        let prices = prices::checked(&file.prices, &mut problems);
        match problems.is_empty() {
            true => Ok(prices),
            false => Err(ConfigError::invalid(problems)),
        }
    });
    Ok(built?)
}

fn comparison(arguments: &Arguments, prices: &Catalogue) -> Result<Comparison, CostsError> {
    let article;
    let mixes = match arguments.mix.is_empty() {
        true => {
            article = mix::of_article();
            &article
        }
        false => &arguments.mix,
    };
    let rates = (arguments.exchange_rate, arguments.relay_rate);
    Comparison::of(mixes, prices, rates, arguments.fee).map_err(|model| {
        let known = prices.entries().iter().map(|entry| &*entry.name);
        CostsError::NoPrice {
            model,
            known: known.collect::<Vec<_>>().join(", "),
        }
    })
}

fn from_logs(arguments: &Arguments, prices: &Catalogue) -> Result<Bill, CostsError> {
    let reader = log::Reader {
        since: arguments.since.as_ref(),
        until: arguments.until.as_ref(),
        reprices: arguments.reprice,
        prices,
    };
    let mut bill = Bill::default();
    let mut read = log::Read::default();
    for path in &arguments.from {
        reader
            .file(path, &mut bill, &mut read)
            .map_err(|reason| CostsError::Read {
                path: path.clone(),
                reason,
            })?;
    }
    if read.good == 0 {
        return Err(CostsError::NoLine(read.first_bad));
    }
    if read.sampled > 0 {
        return Err(CostsError::Sampled {
            sampled: read.sampled,
            lines: read.good,
        });
    }
    if let Some(told) = read.in_words() {
        note(&told);
    }
    bill.lines = Some((read.good, read.bad));
    Ok(bill)
}

/// A million yuan for a dollar.
const HIGHEST_RATE: u128 = 1_000_000_000_000_000_000;

fn rate(text: &str) -> Result<Amount, String> {
    match text.parse::<Amount>() {
        Ok(Amount::ZERO) => Err("0 yuan make no dollar; expected such as 7.3".to_owned()),
        Ok(rate) if rate < Amount::from_pico(HIGHEST_RATE) => Ok(rate),
        Ok(_) => Err("expected less than a million yuan for a dollar, such as 7.3".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
