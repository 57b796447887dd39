//! The options of an embedded catalog and their validation. Nothing here touches the file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_base_kv::{TableDefinition, TableOptions, ValueFormat};
use causeway_spi::{Connector, ConnectorError, ConnectorOptions, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::connector::{EmbeddedConnector, KIND, Shared};
use crate::format::PUBLIC;
use crate::moment::Moment;
use crate::store::{Catalog, Store};

const CACHE_MIB_MAX: usize = 1 << 20;

/// One file as a catalog.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedOptions {
    /// The file; a relative one is below the folder the server was started in. It is made at the first use.
    pub path: PathBuf,
    /// Memory for parts of the file, in MiB, 1 to 1048576.
    #[serde(default = "default_cache_mib")]
    pub cache_mib: usize,
    /// Compare all of the file with its checksums when it is opened. Takes as long as reading it; without it, a
    /// file that was damaged from outside is noticed only where it makes no sense.
    #[serde(default)]
    pub check_on_open: bool,
    /// Tables over keys of the file that follow a template. Others are made by SQL.
    #[serde(default)]
    pub tables: Vec<TableOptions>,
}

fn default_cache_mib() -> usize {
    64
}

impl ConnectorOptions for EmbeddedOptions {
    const KIND: &'static str = KIND;

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push("option path must not be empty".to_owned());
        }
        if !(1..=CACHE_MIB_MAX).contains(&self.cache_mib) {
            problems.push(format!("option cache_mib must be between 1 and {CACHE_MIB_MAX}"));
        }
        let described = self.definitions(catalog, &mut problems);
        let wrong = |problems: &[String]| {
            ConnectorError::new(
                ErrorKind::Configuration,
                format!("cannot open catalog {catalog}: {}", problems.join("; ")),
            )
        };
        if !problems.is_empty() {
            return Err(wrong(&problems));
        }
        let path = std::path::absolute(&self.path)
            .map_err(|error| wrong(&["option path cannot be made absolute".to_owned()]).source(error))?;
        let shared = Shared {
            catalog: Catalog::new(
                catalog,
                Store::at(&path, self.cache_mib << 20, self.check_on_open),
            ),
            described,
        };
        Ok(Arc::new(EmbeddedConnector::new(Arc::new(shared), Moment::Now)))
    }
}

impl EmbeddedOptions {
    /// The tables by name, as far as they are right.
    fn definitions(
        &self,
        catalog: &str,
        problems: &mut Vec<String>,
    ) -> BTreeMap<String, Arc<TableDefinition>> {
        let refused = |options: &TableOptions| {
            let kept = matches!(options.value, ValueFormat::Json | ValueFormat::String);
            (!kept).then(|| {
                format!(
                    "option value is \"{}\", the embedded store has \"json\" and \"string\" only",
                    options.value
                )
            })
        };
        TableOptions::define_all(&self.tables, catalog, PUBLIC, refused, problems)
    }
}
