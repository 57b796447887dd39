//! Against a real Redis, given by `TEST_REDIS_URL` (`redis://127.0.0.1:6379/0`). Each test uses keys of its own.

mod errors;
mod keys;
mod laws;
mod reads;
mod support;
