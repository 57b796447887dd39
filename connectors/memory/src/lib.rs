//! Causeway: tables in memory.
