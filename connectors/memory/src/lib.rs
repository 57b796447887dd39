//! Tables in the server's memory: made, filled and changed by SQL, lost when the server stops.
//!
//! The state of a catalog never changes in place. A transaction copies what it changes and shares the rest, so that those
//! who read keep the state they began with, and ROLLBACK is to forget.

mod chunk;
mod connector;
mod keys;
mod options;
mod read;
mod state;
mod stored;
mod transaction;

pub use options::MemoryOptions;
