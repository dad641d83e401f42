//! The prices that come with the program: those of the article's models.
//!
//! The output prices are the article's and the providers'; input and cache are the providers'. They were compared with copies
//! and reports of the providers' pages; a date is that of the latest one that agrees. Whoever corrects a price changes its date. What cannot be confirmed is not here: `deepseek-chat` has meant several models in turn, and `gemini-flash-latest`
//! does by design, so neither is another name of one of these.

use super::price::{Price, Rate};

/// A model and its price.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) price: Price,
    /// Where the provider says so.
    pub(super) source: &'static str,
    /// The day for which that was found confirmed.
    pub(super) date: &'static str,
}

const fn usd(thousandths: u64) -> Rate {
    Rate::thousandths(thousandths)
}

/// In thousandths of a dollar for a million tokens.
pub(super) const MODELS: [BuiltIn; 4] = [
    BuiltIn {
        name: "gpt-4.1",
        aliases: &["gpt-4.1-2025-04-14"],
        price: Price {
            input: usd(2_000),
            cached_input: Some(usd(500)),
            cache_write: None,
            cache_write_1h: None,
            output: usd(8_000),
        },
        source: "https://platform.openai.com/docs/pricing",
        date: "2026-06-21",
    },
    BuiltIn {
        name: "claude-sonnet-4.5",
        aliases: &["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"],
        price: Price {
            input: usd(3_000),
            cached_input: Some(usd(300)),
            cache_write: Some(usd(3_750)),
            cache_write_1h: Some(usd(6_000)),
            output: usd(15_000),
        },
        source: "https://platform.claude.com/docs/en/about-claude/pricing",
        date: "2026-04-27",
    },
    BuiltIn {
        name: "gemini-2.5-flash",
        aliases: &[],
        price: Price {
            input: usd(300),
            cached_input: Some(usd(30)),
            cache_write: None,
            cache_write_1h: None,
            output: usd(2_500),
        },
        source: "https://ai.google.dev/gemini-api/docs/pricing",
        date: "2026-03-01",
    },
    BuiltIn {
        name: "deepseek-v3.2",
        aliases: &["deepseek-v3.2-exp", "deepseek-ai/DeepSeek-V3.2"],
        price: Price {
            input: usd(280),
            cached_input: Some(usd(28)),
            cache_write: None,
            cache_write_1h: None,
            output: usd(420),
        },
        source: "https://api-docs.deepseek.com/quick_start/pricing",
        date: "2025-12-09",
    },
];
