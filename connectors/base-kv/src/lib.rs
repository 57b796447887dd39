//! base-kv.
