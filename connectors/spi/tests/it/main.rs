//! Tests of the contract's own machinery: the law harness against a source with planted faults, and the leaf.

mod codec;
mod collation;
mod conformance;
mod conforming;
mod faults;
mod join_order;
mod laws;
mod leaf;
mod lookup_join;
mod mutation;
mod operators;
mod predicate;
mod scripted;
mod source;
