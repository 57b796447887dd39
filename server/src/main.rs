//! causeway.
fn main() {}
