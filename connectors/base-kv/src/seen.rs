//! What a walk has come by already, in bounded memory.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// A set of byte strings that keeps 128 bits of each, whatever its length.
///
/// The bits are two hashes under random keys of their own: that two strings of a million share them has a chance of
/// about one in 10^27, and nobody can choose strings that do.
#[derive(Debug, Default)]
pub struct Seen {
    hashers: [RandomState; 2],
    seen: HashSet<(u64, u64)>,
}

impl Seen {
    /// Adds `bytes`; whether they were not there before.
    pub fn insert(&mut self, bytes: &[u8]) -> bool {
        let [first, second] = &self.hashers;
        self.seen.insert((first.hash_one(bytes), second.hash_one(bytes)))
    }

    /// How many different strings came.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none came yet.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_string_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.is_empty());
        for number in 0..10_000_u32 {
            assert!(seen.insert(&number.to_be_bytes()));
        }
        assert!(seen.insert(b"") && !seen.insert(b""));
        assert!(!seen.insert(&7_u32.to_be_bytes()));
        assert_eq!(seen.len(), 10_001);
    }
}
