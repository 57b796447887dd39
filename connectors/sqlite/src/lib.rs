//! Causeway: SQLite files.
