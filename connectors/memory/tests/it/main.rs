//! The memory catalog through the contract: laws over its rows, transactions, limits.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod support;
#[cfg(test)]
mod transactions;
