//! What a request used, as upstream reports it, whatever the dialect.

/// Tokens of one request. What upstream has not said is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// `prompt_tokens`, `input_tokens`: those of the prompt, as upstream counts them. OpenAI's include `cached`,
    /// Anthropic's leave out `cached` and `cache_written` ([`Usage::input_in_all`]).
    pub input: Option<u64>,
    /// `completion_tokens`, `output_tokens`: those of the answer, reasoning included.
    pub output: Option<u64>,
    /// `cached_tokens`, `cache_read_input_tokens`: those of the prompt that upstream had in its cache.
    pub cached: Option<u64>,
    /// `cache_creation_input_tokens`: those of the prompt that upstream has put there.
    pub cache_written: Option<u64>,
    /// `cache_creation.ephemeral_1h_input_tokens`: of the latter, those it keeps for an hour, which cost more.
    pub cache_written_1h: Option<u64>,
    /// `reasoning_tokens`: those of the answer that are not shown.
    pub reasoning: Option<u64>,
    /// `input` leaves out what has to do with the cache.
    pub is_cache_apart: bool,
}

impl Usage {
    /// Whether upstream has said anything.
    pub const fn is_known(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        Self {
            input: sum(self.input, other.input),
            output: sum(self.output, other.output),
            cached: sum(self.cached, other.cached),
            cache_written: sum(self.cache_written, other.cache_written),
            cache_written_1h: sum(self.cache_written_1h, other.cache_written_1h),
            reasoning: sum(self.reasoning, other.reasoning),
            is_cache_apart: self.is_cache_apart || other.is_cache_apart,
        }
    }

    /// All tokens of the prompt, those of the cache included, in both dialects.
    pub fn input_in_all(&self) -> Option<u64> {
        let apart = match self.is_cache_apart {
            true => self.cached.unwrap_or(0) + self.cache_written.unwrap_or(0),
            false => 0,
        };
        Some(self.input?.saturating_add(apart))
    }
}
