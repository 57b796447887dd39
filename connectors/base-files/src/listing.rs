//! The files of one table: what a listing shows, without what writers leave beside the data.

use causeway_spi::{ConnectorError, ErrorKind, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::error::store_error;
use crate::files::FileStore;
use crate::layout::TableRoot;

/// Files of one table beyond which it is refused.
const FILES_MAX: usize = 1_000_000;

/// The Parquet files of one table, sorted by path.
#[derive(Debug, PartialEq)]
pub(crate) struct Listing {
    /// Each file as the store listed it: the version that is read.
    pub(crate) files: Vec<ObjectMeta>,
}

impl Listing {
    /// About what it takes in the cache.
    pub(crate) fn memory_bytes(&self) -> usize {
        let file = |file: &ObjectMeta| file.location.as_ref().len() + 192;
        256 + self.files.iter().map(file).sum::<usize>()
    }
}

/// A table format that keeps its own list of files: read as bare Parquet it would return deleted rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFormat {
    Delta,
    Iceberg,
    Hudi,
}

impl TableFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Delta => "a Delta Lake",
            Self::Iceberg => "an Apache Iceberg",
            Self::Hudi => "an Apache Hudi",
        }
    }

    /// The format that a file at `parts` below a folder belongs to.
    fn of(parts: &[&str]) -> Option<Self> {
        let (name, folders) = parts.split_last()?;
        if folders.contains(&"_delta_log") {
            return Some(Self::Delta);
        }
        if folders.contains(&".hoodie") {
            return Some(Self::Hudi);
        }
        let in_metadata = folders.last() == Some(&"metadata");
        (in_metadata && is_iceberg_metadata(name)).then_some(Self::Iceberg)
    }
}

/// Whether a file of this name in a folder `metadata` shows an Iceberg table.
pub(crate) fn is_iceberg_metadata(name: &str) -> bool {
    name.ends_with(".metadata.json") || name == "version-hint.text"
}

/// Whether a file or folder of this name is a writer's own: logs, checksums, temporary and marker files.
///
/// `_date=2024` is a partition all the same: leaving it out would lose rows.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('=')) || name.ends_with("$folder$")
}

/// Whether a file of this name is read.
pub(crate) fn is_parquet(name: &str) -> bool {
    name.len() > ".parquet".len() && name.to_ascii_lowercase().ends_with(".parquet")
}

/// Lists the Parquet files of a table. Errors: `NotSupported` when it is a table of another format.
pub(crate) async fn list(files: &FileStore, root: &TableRoot) -> Result<Listing> {
    let failed = |error| {
        let message = format!("could not list {root} of catalog {}", files.catalog());
        store_error(message, error)
    };
    let mut found = Vec::new();
    match root {
        TableRoot::File(location) => found.push(files.store().head(location).await.map_err(failed)?),
        TableRoot::Folder(folder) => {
            let mut entries = files.store().list(Some(folder));
            while let Some(file) = entries.try_next().await.map_err(failed)? {
                if is_data(files, folder, &file)? {
                    found.push(file);
                }
                if found.len() > FILES_MAX {
                    let message = format!(
                        "{root} of catalog {} has more than {FILES_MAX} files",
                        files.catalog()
                    );
                    return Err(ConnectorError::new(ErrorKind::LimitExceeded, message));
                }
            }
        }
    }
    found.sort_unstable_by(|a, b| a.location.cmp(&b.location));
    Ok(Listing { files: found })
}

fn is_data(files: &FileStore, folder: &Path, file: &ObjectMeta) -> Result<bool> {
    let parts = parts_below(folder, &file.location);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let Some(format) = TableFormat::of(&parts) {
        let message = format!(
            "folder {folder} of catalog {} is {} table",
            files.catalog(),
            format.name()
        );
        return Err(ConnectorError::new(ErrorKind::NotSupported, message)
            .detail("Read as plain Parquet files it could return rows that were deleted."));
    }
    Ok(!parts.iter().any(|part| is_hidden(part)) && parts.last().is_some_and(|name| is_parquet(name)))
}

/// The folders and the name of `location` below `folder`.
pub(crate) fn parts_below(folder: &Path, location: &Path) -> Vec<String> {
    location
        .prefix_match(folder)
        .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writers_leave_behind_is_hidden() {
        for name in [
            "_SUCCESS",
            ".part-0.crc",
            "_temporary",
            "year_$folder$",
            "_metadata",
        ] {
            assert!(is_hidden(name), "{name}");
        }
        for name in ["part-0.parquet", "year=2024", "_year=2024", "a_b"] {
            assert!(!is_hidden(name), "{name}");
        }
    }

    #[test]
    fn table_formats_are_known_by_their_folders() {
        assert_eq!(
            TableFormat::of(&["_delta_log", "0.json"]),
            Some(TableFormat::Delta)
        );
        assert_eq!(
            TableFormat::of(&[".hoodie", "hoodie.properties"]),
            Some(TableFormat::Hudi)
        );
        assert_eq!(
            TableFormat::of(&["metadata", "v1.metadata.json"]),
            Some(TableFormat::Iceberg)
        );
        assert_eq!(TableFormat::of(&["metadata", "part-0.parquet"]), None);
        assert_eq!(TableFormat::of(&["year=2024", "part-0.parquet"]), None);
    }
}
