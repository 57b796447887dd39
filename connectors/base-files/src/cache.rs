//! A cache bounded in bytes that forgets what was used longest ago.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values by key, together at most `bytes_max` bytes large.
#[derive(Debug)]
pub(crate) struct BoundedCache<K, V> {
    entries: Mutex<Entries<K, V>>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    /// The keys by the moment of their last use.
    by_use: BTreeMap<u64, K>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> BoundedCache<K, V> {
    /// An empty cache of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let entries = Entries {
            by_key: HashMap::new(),
            by_use: BTreeMap::new(),
            bytes: 0,
            clock: 0,
        };
        Self {
            entries: Mutex::new(entries),
            bytes_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`, which becomes the most recently used.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut guard = self.lock();
        let entries = &mut *guard;
        entries.clock += 1;
        let entry = entries.by_key.get_mut(key)?;
        if let Some(key) = entries.by_use.remove(&entry.used) {
            entries.by_use.insert(entries.clock, key);
        }
        entry.used = entries.clock;
        Some(entry.value.clone())
    }

    /// Keeps `value`, unless it is larger than the whole cache, and drops the oldest ones beyond the limit.
    pub(crate) fn insert(&self, key: K, value: V, bytes: usize) {
        if bytes > self.bytes_max {
            return;
        }
        let mut guard = self.lock();
        let entries = &mut *guard;
        entries.remove(&key);
        entries.clock += 1;
        let used = entries.clock;
        entries.by_use.insert(used, key.clone());
        entries.by_key.insert(key, Entry { value, bytes, used });
        entries.bytes += bytes;
        while entries.bytes > self.bytes_max {
            let Some((_, oldest)) = entries.by_use.pop_first() else {
                break;
            };
            entries.remove(&oldest);
        }
    }

    /// Forgets every entry for which `keep` is false.
    pub(crate) fn retain(&self, keep: impl Fn(&K) -> bool) {
        let mut entries = self.lock();
        let gone: Vec<K> = entries.by_key.keys().filter(|key| !keep(key)).cloned().collect();
        for key in gone {
            entries.remove(&key);
        }
    }
}

impl<K: Eq + Hash, V> Entries<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.by_key.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = BoundedCache::new(30);
        cache.insert("a", 1, 10);
        cache.insert("b", 2, 10);
        cache.insert("c", 3, 10);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.insert("d", 4, 10);
        assert_eq!(cache.get(&"b"), None);
        assert_eq!(cache.get(&"a"), Some(1));
        assert_eq!(cache.get(&"d"), Some(4));
    }

    #[test]
    fn replacing_and_forgetting_frees_the_bytes() {
        let cache = BoundedCache::new(30);
        cache.insert("a", 1, 20);
        cache.insert("a", 2, 25);
        assert_eq!(cache.get(&"a"), Some(2));
        cache.insert("huge", 3, 31);
        assert_eq!(cache.get(&"huge"), None);
        cache.retain(|key| *key != "a");
        cache.insert("b", 4, 30);
        assert_eq!(cache.get(&"b"), Some(4));
    }
}
