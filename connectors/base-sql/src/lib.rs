//! base-sql.
