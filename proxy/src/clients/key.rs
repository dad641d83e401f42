//! What a client's key is: how it is made, what is kept of it, and how one that is presented is compared with that.
//!
//! `hs-<id>-<secret>`: twelve characters that name the key in the file and wherever people talk of it, and 43 of the
//! same kind that nobody but the client has. The file keeps 16 random bytes and the SHA-256 of these and the whole key.
//!
//! One round of SHA-256 is enough. What makes hashes of passwords slow is that passwords can be guessed; this secret
//! is one of 62⁴³, more than 2²⁵⁶, and whoever has the file would have to try as many.

use std::fmt;

use aws_lc_rs::{constant_time, digest, rand};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

/// What every key begins with.
pub const PREFIX: &[u8] = b"hs-";
/// Characters of the part that is not secret.
pub const ID: usize = 12;
/// Characters of the part that is.
const SECRET: usize = 43;
/// Bytes of a whole key.
pub const LENGTH: usize = PREFIX.len() + ID + 1 + SECRET;
/// Bytes of a salt.
const SALT: usize = 16;
/// Bytes of a hash.
const HASH: usize = 32;

/// Letters and digits: a double click marks the whole part.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The part of a key that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID]);

impl KeyId {
    /// Reads an id.
    pub fn new(text: &[u8]) -> Option<Self> {
        let bytes: [u8; ID] = text.try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(bytes))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        // Nothing but ASCII gets in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that has the form of a key.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    whole: &'a [u8; LENGTH],
    id: KeyId,
}

impl<'a> Presented<'a> {
    /// Reads a key. How far a text that is none was read says nothing: the form is no secret.
    pub fn new(text: &'a [u8]) -> Option<Self> {
        let whole: &[u8; LENGTH] = text.try_into().ok()?;
        let rest = whole.strip_prefix(PREFIX)?;
        let (id, rest) = rest.split_at_checked(ID)?;
        let secret = rest.strip_prefix(b"-")?;
        let is_secret = secret.iter().all(u8::is_ascii_alphanumeric);
        let id = KeyId::new(id).filter(|_| is_secret)?;
        Some(Self { whole, id })
    }

    /// Which key it says it is.
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

/// What is kept of a key.
#[derive(Clone)]
pub struct Salted {
    salt: [u8; SALT],
    hash: [u8; HASH],
}

impl Salted {
    /// What to keep of a key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn of(key: &Presented<'_>) -> Result<Self, NoRandomness> {
        let mut salt = [0; SALT];
        random(&mut salt)?;
        let hash = hash(&salt, key.whole);
        Ok(Self { salt, hash })
    }

    /// What no key belongs to: it stands in for one that is not known.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn decoy() -> Result<Self, NoRandomness> {
        let (mut salt, mut hash) = ([0; SALT], [0; HASH]);
        random(&mut salt)?;
        random(&mut hash)?;
        Ok(Self { salt, hash })
    }

    /// Whether a key is this one. Two blocks of SHA-256 whichever key it is, and a comparison of all bytes however few are
    /// equal.
    pub fn matches(&self, key: &Presented<'_>) -> bool {
        let hash = hash(&self.salt, key.whole);
        constant_time::verify_slices_are_equal(&hash, &self.hash).is_ok()
    }

    /// Reads what a file has; nothing if it is not that many hexadecimal digits.
    pub fn from_hex(salt: &str, hash: &str) -> (Option<[u8; SALT]>, Option<[u8; HASH]>) {
        (bytes(salt), bytes(hash))
    }

    /// From its parts.
    pub const fn new(salt: [u8; SALT], hash: [u8; HASH]) -> Self {
        Self { salt, hash }
    }

    /// Salt and hash as a file has them.
    pub fn to_hex(&self) -> (String, String) {
        (HEXLOWER.encode(&self.salt), HEXLOWER.encode(&self.hash))
    }
}

impl fmt::Debug for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salted(redacted)")
    }
}

/// A new key, which is shown once.
///
/// # Errors
/// If the system has no random numbers.
pub fn make() -> Result<Zeroizing<String>, NoRandomness> {
    let mut key = Zeroizing::new(String::with_capacity(LENGTH));
    key.push_str("hs-");
    characters(&mut key, ID)?;
    key.push('-');
    characters(&mut key, SECRET)?;
    Ok(key)
}

/// Adds random characters, each as likely as any other.
fn characters(text: &mut String, count: usize) -> Result<(), NoRandomness> {
    /// The largest multiple of their number that a byte can be: what is above would favour the first of them.
    const FAIR: u8 = 248;
    let end = text.len() + count;
    while text.len() < end {
        let mut bytes = Zeroizing::new([0; 64]);
        random(bytes.as_mut())?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        let chosen = fair.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()));
        text.extend(chosen.take(end - text.len()).map(|byte| char::from(*byte)));
    }
    Ok(())
}

/// The system has no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

fn random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    rand::fill(bytes).map_err(|_| NoRandomness)
}

fn hash(salt: &[u8; SALT], key: &[u8; LENGTH]) -> [u8; HASH] {
    let mut input = Zeroizing::new([0; SALT + LENGTH]);
    let (first, second) = input.split_at_mut(SALT);
    first.copy_from_slice(salt);
    second.copy_from_slice(key);
    let digest = digest::digest(&digest::SHA256, input.as_ref());
    let mut hash = [0; HASH];
    hash.copy_from_slice(digest.as_ref());
    hash
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_key_is_told_by_what_is_kept_of_it_and_by_nothing_else() {
        let (key, other) = (make().unwrap(), make().unwrap());
        let key = Presented::new(key.as_bytes()).unwrap();
        let other = Presented::new(other.as_bytes()).unwrap();
        let kept = Salted::of(&key).unwrap();
        assert!(kept.matches(&key) && !kept.matches(&other));
        assert!(!Salted::decoy().unwrap().matches(&key));
        let (salt, hash) = kept.to_hex();
        let (salt, hash) = Salted::from_hex(&salt, &hash);
        assert!(Salted::new(salt.unwrap(), hash.unwrap()).matches(&key));
        // The same key is kept in two ways.
        let again = Salted::of(&key).unwrap();
        assert_ne!(again.to_hex(), kept.to_hex());
        assert!(!Salted::new(salt.unwrap(), again.hash).matches(&key));
    }

    #[test]
    fn what_is_kept_can_be_checked_with_other_tools() {
        // printf '\0\1…\15hs-…' | sha256sum
        let key = format!("hs-{}-{}", "a".repeat(ID), "b".repeat(SECRET));
        let salt: [u8; SALT] = std::array::from_fn(|index| index as u8);
        let input = [&salt[..], key.as_bytes()].concat();
        let expected = digest::digest(&digest::SHA256, &input);
        let presented = Presented::new(key.as_bytes()).unwrap();
        assert_eq!(hash(&salt, presented.whole), expected.as_ref());
        assert_eq!(
            (key.len(), input.len()),
            (LENGTH, 75),
            "with padding two blocks"
        );
    }

    #[test]
    fn keys_are_random_in_every_character() {
        let keys: Vec<_> = (0..400).map(|_| make().unwrap()).collect();
        for at in (3..LENGTH).filter(|at| *at != 3 + ID) {
            let seen: BTreeSet<u8> = keys.iter().map(|key| key.as_bytes()[at]).collect();
            assert!(seen.len() > 50, "{at}: {}", seen.len());
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        let key = make().unwrap();
        assert!(Presented::new(key.as_bytes()).is_some());
        for wrong in [
            key[1..].to_owned(),
            format!("{}x", *key),
            key.replacen("hs-", "sk-", 1),
            format!("{}!", &key[..LENGTH - 1]),
            format!("{}_{}", &key[..3 + ID], &key[4 + ID..]),
            String::new(),
        ] {
            assert!(Presented::new(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_digits_are_read_or_refused() {
        assert_eq!(bytes("0aFF"), Some([10, 255]));
        for wrong in ["0a", "0aFF0", "0aFF00", "0aFg", "", "é23"] {
            assert_eq!(bytes::<2>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_kept_never_shows_itself() {
        assert_eq!(
            format!("{:?}", Salted::decoy().unwrap()),
            "Salted(redacted)"
        );
    }
}
