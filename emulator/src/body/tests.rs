//! Tests of `body.rs`.

use super::*;

#[test]
fn padding_is_json_of_exactly_the_length_asked_for() {
    for length in [16, 17, 16 << 10, (64 << 10) + 3] {
        let mut remaining = length;
        let mut whole = Vec::new();
        while remaining > 0 {
            let piece = padding(remaining, !whole.is_empty());
            remaining -= piece.len() as u64;
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole.len() as u64, length);
        assert!(serde_json::from_slice::<serde_json::Value>(&whole).is_ok());
    }
}
