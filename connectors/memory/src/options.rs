//! The options of a memory catalog.

use std::sync::Arc;

use causeway_spi::{Connector, ConnectorError, ConnectorOptions, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::connector::MemoryConnector;

const MEMORY_LIMIT_MIB: usize = 1024;
const MEMORY_LIMIT_MIB_MAX: usize = 1 << 24;

/// Tables in the server's memory, with the schema `public` to begin with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryOptions {
    /// Most memory of all tables together, in MiB, 1 to 16,777,216. A statement that would need more is refused with
    /// 53200 and changes nothing.
    pub memory_limit_mib: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            memory_limit_mib: MEMORY_LIMIT_MIB,
        }
    }
}

impl ConnectorOptions for MemoryOptions {
    const KIND: &'static str = "memory";

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        if !(1..=MEMORY_LIMIT_MIB_MAX).contains(&self.memory_limit_mib) {
            let message =
                format!("catalog {catalog}: memory_limit_mib must be between 1 and {MEMORY_LIMIT_MIB_MAX}");
            return Err(ConnectorError::new(ErrorKind::Configuration, message));
        }
        Ok(Arc::new(MemoryConnector::new(
            catalog,
            self.memory_limit_mib << 20,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_has_bounds() {
        let options = MemoryOptions { memory_limit_mib: 0 };
        let error = options.open("mem").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(MemoryOptions::default().open("mem").unwrap().kind(), "memory");
    }
}
