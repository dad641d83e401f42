//! `POST /v1/embeddings`, as floats or base64.
//!
//! Shape from OpenAI's API reference, "Create embeddings". Vectors depend on the number of dimensions
//! and the position of the input alone.

use serde::Serialize;

use super::Settings;
use super::answer::Answer;
use super::request::Request;

/// Those of OpenAI's `text-embedding-3-small`.
const DEFAULT_DIMENSIONS: usize = 1536;

/// Those of OpenAI's largest model, `text-embedding-3-large`, and then some.
const MAX_DIMENSIONS: usize = 4096;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

pub(super) fn answer(request: &Request<'_>, _: &Settings) -> Answer {
    let tokens = request.prompt_tokens();
    let dimensions = request.dimensions.unwrap_or(DEFAULT_DIMENSIONS);
    let dimensions = dimensions.clamp(1, MAX_DIMENSIONS);
    let embedding = |index| {
        let floats = vector(index, dimensions);
        Embedding {
            object: "embedding",
            index,
            embedding: if request.wants_base64() {
                // Little-endian, as numpy reads them on the client's side.
                let bytes: Vec<u8> = floats.iter().flat_map(|f| f.to_le_bytes()).collect();
                Vector::Base64(base64(&bytes))
            } else {
                Vector::Floats(floats)
            },
        }
    };
    Answer::json(&List {
        object: "list",
        data: (0..request.input.items).map(embedding).collect(),
        model: &request.model,
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    })
}

/// A vector of length 1 with one signed value everywhere, its signs from the position.
fn vector(index: usize, dimensions: usize) -> Vec<f32> {
    let size = 1.0 / (dimensions as f32).sqrt();
    let sign = |n: usize| {
        if (n * (index + 1)).is_multiple_of(3) {
            -size
        } else {
            size
        }
    };
    (0..dimensions).map(sign).collect()
}

/// RFC 4648 section 4.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= group.len() { digit as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn vectors_have_length_one() {
        let length: f32 = vector(3, 1536).iter().map(|f| f * f).sum();
        assert!((length - 1.0).abs() < 1e-4);
    }
}
