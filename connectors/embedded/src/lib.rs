//! Causeway: the embedded key-value store.
