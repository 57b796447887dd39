//! Where a catalog's tables are: folders and files directly below the root, or one folder deeper.
//!
//! A folder with data files or with `key=value` folders is a table of schema `public`; a folder of other folders is
//! a schema; `name.parquet` or `name.csv.gz` directly below the root is a table `name`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use causeway_spi::{ConnectorError, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt, stream};
use glob::Pattern;
use object_store::ListResult;
use object_store::path::{Path, PathPart};

use crate::error::store_error;
use crate::files::FileStore;
use crate::format::{FileFormat, format_of};
use crate::listing::{TableFormat, is_hidden, is_iceberg_metadata};

/// The schema of the tables directly below the root.
pub(crate) const PUBLIC: &str = "public";
/// Folders below the root beyond which a catalog is refused.
const FOLDERS_MAX: usize = 10_000;
/// Folders looked into at once.
const FOLDERS_AT_ONCE: usize = 16;

/// Where the files of a table are, and of which format; the latter only if it was declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TablePlace {
    pub(crate) root: TableRoot,
    pub(crate) format: Option<FileFormat>,
}

/// Where the files of a table are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TableRoot {
    /// All files below a folder.
    Folder(Path),
    /// One file.
    File(Path),
    /// Declared: a folder or a file, whichever is there.
    Place(Path),
    /// Declared: the files below `base` whose paths match.
    Pattern { base: Path, pattern: Pattern },
}

impl TableRoot {
    /// The folder or file that all files are in.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::File(path) | Self::Place(path) => path,
            Self::Pattern { base, .. } => base,
        }
    }

    /// Whether each folder between [`TableRoot::path`] and a file must be a `key=value`: not if a pattern names it.
    pub(crate) fn has_only_partitions(&self) -> bool {
        !matches!(self, Self::Pattern { .. })
    }
}

impl fmt::Display for TableRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "folder {path}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Place(path) if path.as_ref().is_empty() => f.write_str("the root"),
            Self::Place(path) => write!(f, "{path}"),
            Self::Pattern { pattern, .. } => write!(f, "files {pattern}"),
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
        refuse_table_format(files, None, &root).await?;
        for file in &root.objects {
            let name = name_of(&file.location);
            if let Some((_, table)) = format_of(&name).filter(|_| !is_hidden(&name)) {
                layout.add(PUBLIC, table.to_owned(), TableRoot::File(file.location.clone()));
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
    let listed = Instant::now();
    let content = list_folder(files, Some(folder)).await?;
    let names: Vec<String> = content.common_prefixes.iter().map(name_of).collect();
    let has_data = content.objects.iter().any(|file| {
        let name = name_of(&file.location);
        format_of(&name).is_some() && !is_hidden(&name)
    });
    if has_data && names.is_empty() {
        let root = TableRoot::Folder(folder.clone());
        files.remember(TablePlace { root, format: None }, content.objects, listed);
        return Ok(Folder::Table);
    }
    if has_data || names.iter().any(|name| name.contains('=') && !is_hidden(name)) {
        return Ok(Folder::Table);
    }
    if table_format(files, Some(folder), &content).await?.is_some() {
        return Ok(Folder::Table);
    }
    let children = visible(&content.common_prefixes);
    Ok(if children.is_empty() {
        Folder::Empty
    } else {
        Folder::Schema(children)
    })
}

/// The format of the table that a folder with this `content` is, if it keeps its own list of files.
async fn table_format(
    files: &FileStore,
    folder: Option<&Path>,
    content: &ListResult,
) -> Result<Option<TableFormat>> {
    let has = |wanted: &str| {
        content
            .common_prefixes
            .iter()
            .any(|folder| name_of(folder) == wanted)
    };
    if has("_delta_log") {
        return Ok(Some(TableFormat::Delta));
    }
    if has(".hoodie") {
        return Ok(Some(TableFormat::Hudi));
    }
    if has("metadata") && is_iceberg(files, folder).await? {
        return Ok(Some(TableFormat::Iceberg));
    }
    Ok(None)
}

async fn refuse_table_format(files: &FileStore, folder: Option<&Path>, content: &ListResult) -> Result<()> {
    match table_format(files, folder, content).await? {
        Some(format) => Err(format.refused(folder, files.catalog())),
        None => Ok(()),
    }
}

/// Refuses a place inside of a table that keeps its own list of files: below it, the files alone are not the table.
pub(crate) async fn refuse_inside_table_format(files: &FileStore, root: &TableRoot) -> Result<()> {
    let parts: Vec<PathPart<'_>> = root.path().parts().collect();
    for depth in 0..=parts.len() {
        let folder = (depth > 0).then(|| Path::from_iter(parts[..depth].iter().cloned()));
        let content = list_folder(files, folder.as_ref()).await?;
        refuse_table_format(files, folder.as_ref(), &content).await?;
    }
    Ok(())
}

async fn is_iceberg(files: &FileStore, folder: Option<&Path>) -> Result<bool> {
    let metadata = folder.cloned().unwrap_or_default().join("metadata");
    let content = list_folder(files, Some(&metadata)).await?;
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
