//! The text the emulator writes: always the same words, one per token.

use std::sync::LazyLock;

const WORDS: [&str; 16] = [
    "Hello",
    " from",
    " the",
    " emulator",
    ",",
    " which",
    " answers",
    " every",
    " question",
    " with",
    " the",
    " same",
    " words",
    " in",
    " turn",
    ".",
];

/// How often the words are laid out ahead of need.
const TURNS: u64 = 64;

static LAID_OUT: LazyLock<String> = LazyLock::new(|| WORDS.concat().repeat(TURNS as usize));

/// Token number `n` of any answer, from 0. No word needs escaping in JSON.
pub(super) fn token(n: u64) -> &'static str {
    WORDS[(n % WORDS.len() as u64) as usize]
}

/// The first `tokens` tokens in one piece, borrowed when they were laid out ahead.
pub(super) fn tokens(tokens: u64) -> std::borrow::Cow<'static, str> {
    let per_turn = WORDS.len() as u64;
    let (turns, rest) = (tokens / per_turn, tokens % per_turn);
    let turn_length = LAID_OUT.len() / TURNS as usize;
    let rest_length: usize = (0..rest).map(|n| token(n).len()).sum();
    let whole_turns = usize::try_from(turns).unwrap_or_default();
    if turns < TURNS {
        return LAID_OUT[..whole_turns * turn_length + rest_length].into();
    }
    let mut text = LAID_OUT[..turn_length].repeat(whole_turns);
    text.push_str(&LAID_OUT[..rest_length]);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_the_sum_of_its_tokens() {
        for n in [0, 1, 15, 16, 17, 1023, 1024, 1025, 5000] {
            let joined: String = (0..n).map(token).collect();
            assert_eq!(tokens(n), joined, "{n}");
        }
    }
}
