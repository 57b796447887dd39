//! Against a real Redis, given by `TEST_REDIS_URL` (`redis://127.0.0.1:6379/0`). Each test uses keys of its own.

#[cfg(test)]
mod collections;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
