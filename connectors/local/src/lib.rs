//! Parquet in a folder of the server's machine as a catalog.
//!
//! The options only; tables, partitions and reading live in `causeway-base-files`.

use std::path::PathBuf;
use std::sync::Arc;

use causeway_base_files::FilesConnector;
use causeway_spi::{Connector, ConnectorError, ConnectorOptions, ErrorKind, Result};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use schemars::JsonSchema;
use serde::Deserialize;

/// A folder of the server's machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalOptions {
    /// The folder; a relative one is below the folder the server was started in. It need not exist yet.
    pub path: PathBuf,
}

impl ConnectorOptions for LocalOptions {
    const KIND: &'static str = "local";

    fn open(self, catalog: &str) -> Result<Arc<dyn Connector>> {
        let wrong = |problem: &str| {
            ConnectorError::new(
                ErrorKind::Configuration,
                format!("catalog {catalog}: path {problem}"),
            )
        };
        if self.path.as_os_str().is_empty() {
            return Err(wrong("must not be empty"));
        }
        let root = std::path::absolute(&self.path)
            .map_err(|error| wrong("cannot be made absolute").source(error))?;
        let prefix = Path::from_absolute_path(&root)
            .map_err(|error| wrong("holds a character that cannot stand in a path").source(error))?;
        let store = Arc::new(LocalFileSystem::new());
        let connector = FilesConnector::new(catalog, Self::KIND, store, prefix).with_local_root(root);
        Ok(Arc::new(connector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: impl Into<PathBuf>) -> Result<Arc<dyn Connector>> {
        LocalOptions { path: path.into() }.open("files")
    }

    #[test]
    fn an_empty_path_is_refused() {
        let error = open("").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.message(), "catalog files: path must not be empty");
    }

    #[tokio::test]
    async fn a_missing_folder_is_unavailable_when_used_and_its_place_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let connector = open(folder.path().join("nope")).unwrap();
        for error in [
            connector.ping().await.unwrap_err(),
            connector.schemas().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(error.message(), "the folder of catalog files does not exist");
        }
        std::fs::create_dir(folder.path().join("nope")).unwrap();
        connector.ping().await.unwrap();
        assert_eq!(connector.schemas().await.unwrap(), ["public"]);
        assert!(connector.tables("public").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_name_with_blanks_and_percent_signs_is_a_folder_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a b%20ü");
        std::fs::create_dir_all(odd.join("orders/y=1")).unwrap();
        let connector = open(odd).unwrap();
        assert_eq!(connector.tables("public").await.unwrap(), ["orders"]);
    }
}
