//! The embedded store over files in temporary folders.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod described;
#[cfg(test)]
mod files;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod savepoints;
#[cfg(test)]
mod support;
#[cfg(test)]
mod writes;
