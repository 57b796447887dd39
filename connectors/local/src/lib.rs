//! Parquet, CSV and JSON in a folder of the server's machine as a catalog.
//!
//! The options only; tables, partitions and reading live in `causeway-base-files`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_base_files::{
    CACHE_TTL_DEFAULT, DeclaredTables, FileTableOptions, FilesConnector, FilesSettings, check_cache_ttl,
    wrong_options,
};
use causeway_spi::{Connector, ConnectorError, ConnectorOptions, ErrorKind, Result, deserialize_duration};
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
    /// How long listings are believed, up to 24h; `REFRESH` forgets them at once.
    #[serde(default = "default_cache_ttl", deserialize_with = "deserialize_duration")]
    pub cache_ttl: Duration,
    /// Tables that are described instead of found.
    #[serde(default)]
    pub tables: Vec<FileTableOptions>,
}

fn default_cache_ttl() -> Duration {
    CACHE_TTL_DEFAULT
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
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push("path must not be empty".to_owned());
        }
        problems.extend(check_cache_ttl(self.cache_ttl).err());
        let tables = DeclaredTables::check(&self.tables).map_err(|wrong| problems.extend(wrong));
        let (Ok(tables), true) = (tables, problems.is_empty()) else {
            return Err(wrong_options(catalog, &problems));
        };
        let root = std::path::absolute(&self.path)
            .map_err(|error| wrong("cannot be made absolute").source(error))?;
        let prefix = Path::from_absolute_path(&root)
            .map_err(|error| wrong("holds a character that cannot stand in a path").source(error))?;
        let store = Arc::new(LocalFileSystem::new());
        let settings = FilesSettings {
            cache_ttl: self.cache_ttl,
            tables,
            local_root: Some(root),
            // The system keeps what is read of them.
            kept_bytes: 0,
        };
        Ok(Arc::new(FilesConnector::new(
            catalog,
            Self::KIND,
            store,
            prefix,
            settings,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(path: impl Into<PathBuf>) -> LocalOptions {
        LocalOptions {
            path: path.into(),
            cache_ttl: CACHE_TTL_DEFAULT,
            tables: Vec::new(),
        }
    }

    fn open(path: impl Into<PathBuf>) -> Result<Arc<dyn Connector>> {
        options(path).open("files")
    }

    #[test]
    fn an_empty_path_is_refused() {
        let error = open("").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.message(), "catalog files: path must not be empty");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong = LocalOptions {
            cache_ttl: Duration::from_secs(100_000),
            tables: vec![FileTableOptions {
                name: "t".into(),
                path: "../etc".into(),
                ..FileTableOptions::default()
            }],
            ..options("")
        };
        assert_eq!(
            wrong.open("files").unwrap_err().message(),
            "catalog files: path must not be empty; cache_ttl must be at most \"24h\"; tables[0].path must lie below \
             the catalog's root, without empty, \".\" and \"..\" parts; it is \"../etc\""
        );
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
