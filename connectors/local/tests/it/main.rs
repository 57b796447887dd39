//! The local catalog over folders that each test makes for itself.

#[cfg(test)]
mod conformance;
