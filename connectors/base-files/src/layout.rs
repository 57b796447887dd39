//! Where a catalog's tables are: folders and files directly below the root, or one folder deeper.
//!
//! A folder with Parquet files or with `key=value` folders is a table of schema `public`; a folder of other folders is
//! a schema; `name.parquet` directly below the root is a table `name`.

use std::collections::BTreeMap;
use std::fmt;

use causeway_spi::{ConnectorError, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ListResult;
use object_store::path::Path;

use crate::error::store_error;
use crate::files::FileStore;
use crate::listing::{is_hidden, is_iceberg_metadata, is_parquet};

/// The schema of the tables directly below the root.
pub(crate) const PUBLIC: &str = "public";
/// Folders below the root beyond which a catalog is refused.
const FOLDERS_MAX: usize = 10_000;
/// Folders looked into at once.
const FOLDERS_AT_ONCE: usize = 16;

/// Where the files of a table are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableRoot {
    /// All Parquet files below a folder.
    Folder(Path),
    /// One file.
    File(Path),
}

impl TableRoot {
    /// The folder or file.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::File(path) => path,
        }
    }
}

impl fmt::Display for TableRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "folder {path}"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// The schemas and tables of one catalog.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    schemas: BTreeMap<String, BTreeMap<String, Vec<TableRoot>>>,
}

/// What a folder below the root is.
enum Folder {
    Table,
    Schema(Vec<Path>),
    Empty,
}

impl Layout {
    /// Lists the root and looks into each folder below it.
    pub(crate) async fn load(files: &FileStore) -> Result<Self> {
        let root = list_folder(files, None).await?;
        let mut layout = Self::default();
        layout.schemas.insert(PUBLIC.to_owned(), BTreeMap::new());
        for file in &root.objects {
            let name = name_of(&file.location);
            if is_parquet(&name) && !is_hidden(&name) {
                let table = name[..name.len() - ".parquet".len()].to_owned();
                layout.add(PUBLIC, table, TableRoot::File(file.location.clone()));
            }
        }
        let folders = visible(&root.common_prefixes);
        if folders.len() > FOLDERS_MAX {
            let message = format!("catalog {} has more than {FOLDERS_MAX} folders", files.catalog());
            return Err(ConnectorError::new(ErrorKind::LimitExceeded, message)
                .hint("Narrow the catalog by its prefix or path."));
        }
        let looked_into: Vec<(Path, Folder)> = stream::iter(folders)
            .map(|folder| async move { classify(files, &folder).await.map(|kind| (folder, kind)) })
            .buffered(FOLDERS_AT_ONCE)
            .try_collect()
            .await?;
        for (folder, kind) in looked_into {
            layout.add_folder(folder, kind);
        }
        Ok(layout)
    }

    fn add_folder(&mut self, folder: Path, kind: Folder) {
        match kind {
            Folder::Empty => {}
            Folder::Table => self.add(PUBLIC, name_of(&folder), TableRoot::Folder(folder)),
            Folder::Schema(children) => {
                let schema = name_of(&folder);
                for child in children {
                    self.add(&schema, name_of(&child), TableRoot::Folder(child));
                }
            }
        }
    }

    fn add(&mut self, schema: &str, table: String, root: TableRoot) {
        let tables = self.schemas.entry(schema.to_owned()).or_default();
        tables.entry(table).or_default().push(root);
    }

    /// The schemas, `public` always among them.
    pub(crate) fn schemas(&self) -> Vec<String> {
        self.schemas.keys().cloned().collect()
    }

    /// The tables of a schema; `None` when there is no such schema.
    pub(crate) fn tables(&self, schema: &str) -> Option<Vec<String>> {
        Some(self.schemas.get(schema)?.keys().cloned().collect())
    }

    /// The places that a table's name stands for: more than one is ambiguous.
    pub(crate) fn roots(&self, schema: &str, table: &str) -> &[TableRoot] {
        self.schemas
            .get(schema)
            .and_then(|tables| tables.get(table))
            .map_or(&[], Vec::as_slice)
    }
}

async fn classify(files: &FileStore, folder: &Path) -> Result<Folder> {
    let content = list_folder(files, Some(folder)).await?;
    let names: Vec<String> = content.common_prefixes.iter().map(name_of).collect();
    let has_parquet = content.objects.iter().any(|file| {
        let name = name_of(&file.location);
        is_parquet(&name) && !is_hidden(&name)
    });
    let has_log = names.iter().any(|name| name == "_delta_log" || name == ".hoodie");
    if has_parquet || has_log || names.iter().any(|name| name.contains('=') && !is_hidden(name)) {
        return Ok(Folder::Table);
    }
    if names.iter().any(|name| name == "metadata") && is_iceberg(files, folder).await? {
        return Ok(Folder::Table);
    }
    let children = visible(&content.common_prefixes);
    Ok(if children.is_empty() {
        Folder::Empty
    } else {
        Folder::Schema(children)
    })
}

async fn is_iceberg(files: &FileStore, folder: &Path) -> Result<bool> {
    let content = list_folder(files, Some(&folder.clone().join("metadata"))).await?;
    Ok(content
        .objects
        .iter()
        .any(|file| is_iceberg_metadata(&name_of(&file.location))))
}

/// The content of one folder, not of those below it.
pub(crate) async fn list_folder(files: &FileStore, folder: Option<&Path>) -> Result<ListResult> {
    files.store().list_with_delimiter(folder).await.map_err(|error| {
        let place = folder.map_or_else(|| "the root".to_owned(), |folder| format!("folder {folder}"));
        store_error(
            format!("could not list {place} of catalog {}", files.catalog()),
            error,
        )
    })
}

fn visible(folders: &[Path]) -> Vec<Path> {
    folders
        .iter()
        .filter(|folder| !is_hidden(&name_of(folder)))
        .cloned()
        .collect()
}

fn name_of(path: &Path) -> String {
    path.filename().unwrap_or_default().to_owned()
}
