//! base-files.
