//! The files of one table: what a listing shows, without what writers leave beside the data.

use causeway_spi::{ConnectorError, ErrorKind, Result};
use futures::TryStreamExt;
use glob::MatchOptions;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::error::store_error;
use crate::files::FileStore;
use crate::format::{FileFormat, format_of};
use crate::layout::{TablePlace, TableRoot};

/// Files of one table beyond which it is refused.
const FILES_MAX: usize = 1_000_000;

/// The data files of one table, sorted by path.
#[derive(Debug, PartialEq)]
pub(crate) struct Listing {
    /// Each file as the store listed it: the version that is read.
    pub(crate) files: Vec<ObjectMeta>,
    /// What all of them hold.
    pub(crate) format: FileFormat,
}

impl Listing {
    /// Of the data files `found` of a table. Errors: their names do not say what they hold, or not the same.
    fn of(files: &FileStore, place: &TablePlace, mut found: Vec<ObjectMeta>) -> Result<Self> {
        found.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        let format = common_format(files, place, &found)?;
        Ok(Self { files: found, format })
    }

    /// Of a table that is a folder without folders, which has `objects`.
    pub(crate) fn of_objects(
        files: &FileStore,
        place: &TablePlace,
        objects: Vec<ObjectMeta>,
    ) -> Result<Self> {
        let mut found = Vec::with_capacity(objects.len());
        for file in objects {
            if is_data(files, place, &file)? {
                found.push(file);
            }
        }
        check_count(files, place, &found)?;
        Self::of(files, place, found)
    }

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

    /// The error for a folder (`None`: the root) that is a table of this format.
    pub(crate) fn refused(self, folder: Option<&Path>, catalog: &str) -> ConnectorError {
        let place = match folder.filter(|folder| !folder.as_ref().is_empty()) {
            Some(folder) => format!("folder {folder}"),
            None => "the root".to_owned(),
        };
        let message = format!("{place} of catalog {catalog} is {} table", self.name());
        ConnectorError::new(ErrorKind::NotSupported, message)
            .detail("Read as plain files it could return rows that were deleted.")
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

/// Lists the data files of a table. Errors: `NotSupported` when it is a table of another format.
pub(crate) async fn list(files: &FileStore, place: &TablePlace) -> Result<Listing> {
    let root = &place.root;
    let failed = |error| {
        let message = format!("could not list {root} of catalog {}", files.catalog());
        store_error(message, error)
    };
    let mut found = Vec::new();
    if let TableRoot::File(location) = root {
        found.push(named(
            location,
            files.store().head(location).await.map_err(failed)?,
        ));
    } else {
        let folder = root.path();
        let mut entries = files.store().list(Some(folder));
        while let Some(file) = entries.try_next().await.map_err(failed)? {
            if is_data(files, place, &file)? {
                found.push(file);
            }
            check_count(files, place, &found)?;
        }
    }
    if let TableRoot::Place(location) = root
        && found.is_empty()
        && !location.as_ref().is_empty()
    {
        match files.store().head(location).await {
            Ok(file) => found.push(named(location, file)),
            // Neither a folder nor a file: a table without files.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Listing::of(files, place, found)
}

fn check_count(files: &FileStore, place: &TablePlace, found: &[ObjectMeta]) -> Result<()> {
    if found.len() <= FILES_MAX {
        return Ok(());
    }
    let (root, catalog) = (&place.root, files.catalog());
    let message = format!("{root} of catalog {catalog} has more than {FILES_MAX} files");
    Err(ConnectorError::new(ErrorKind::LimitExceeded, message))
}

/// `file` under the name it was asked by: a store below a prefix answers with its own.
fn named(location: &Path, file: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        location: location.clone(),
        ..file
    }
}

/// What all files hold: as declared, or as their names say.
fn common_format(files: &FileStore, place: &TablePlace, found: &[ObjectMeta]) -> Result<FileFormat> {
    if let Some(declared) = place.format {
        return Ok(declared);
    }
    let format_named = |file: &ObjectMeta| Some(format_of(file.location.filename()?)?.0);
    let Some(first) = found.first() else {
        return Ok(FileFormat::Parquet);
    };
    let format = format_named(first).ok_or_else(|| {
        let message = format!("the name of file {} does not say what it holds", first.location);
        ConnectorError::new(ErrorKind::InvalidData, message).hint("Declare the table with its format.")
    })?;
    let Some(other) = found.iter().find(|file| format_named(file) != Some(format)) else {
        return Ok(format);
    };
    let message = format!(
        "{} of catalog {} holds files of several formats",
        place.root,
        files.catalog()
    );
    Err(ConnectorError::new(ErrorKind::InvalidData, message)
        .detail(format!(
            "Among them are {} and {}.",
            first.location, other.location
        ))
        .hint("Declare the table with its format: only files of that are read."))
}

/// Whether a file below the place of a table is one of its data files.
fn is_data(files: &FileStore, place: &TablePlace, file: &ObjectMeta) -> Result<bool> {
    let folder = place.root.path();
    let parts = parts_below(folder, &file.location);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let Some(format) = TableFormat::of(&parts) {
        return Err(format.refused(Some(folder), files.catalog()));
    }
    let Some(name) = parts.last().filter(|_| !parts.iter().any(|part| is_hidden(part))) else {
        return Ok(false);
    };
    let named = format_of(name).map(|(format, _)| format);
    Ok(match &place.root {
        TableRoot::Pattern { pattern, .. } => {
            const MATCH: MatchOptions = MatchOptions {
                case_sensitive: true,
                require_literal_separator: true,
                require_literal_leading_dot: false,
            };
            // A pattern that is declared with its format need not say it.
            pattern.matches_with(file.location.as_ref(), MATCH) && (place.format.is_some() || named.is_some())
        }
        _ => named.is_some() && (place.format.is_none() || place.format == named),
    })
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
