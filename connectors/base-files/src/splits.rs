//! The parts that text files are read in: some files each, of about the same size.
//!
//! A part names its files with the versions that were listed, so that reading it later reads these or fails.

use std::cmp::Reverse;
use std::thread::available_parallelism;

use causeway_spi::{ConnectorError, ErrorKind, Result, Split};
use chrono::DateTime;
use object_store::ObjectMeta;
use object_store::path::Path;

/// Paths and ETags hold no control characters.
const FIELD: char = '\t';
const FILE: char = '\n';

/// Spreads `files` over at most as many parts as there are cores.
pub(crate) fn split(files: Vec<ObjectMeta>) -> Vec<Split> {
    let parts_max = available_parallelism().map_or(1, usize::from);
    let count = parts_max.min(files.len()).max(1);
    let mut parts: Vec<(u64, Vec<ObjectMeta>)> = vec![(0, Vec::new()); count];
    let mut largest_first = files;
    largest_first.sort_by_key(|file| Reverse(file.size));
    for file in largest_first {
        if let Some((bytes, part)) = parts.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += file.size.max(1);
            part.push(file);
        }
    }
    let parts = parts.into_iter().enumerate();
    parts
        .map(|(index, (_, files))| Split {
            index,
            part: files
                .iter()
                .map(written)
                .collect::<Vec<_>>()
                .join(&FILE.to_string()),
        })
        .collect()
}

fn written(file: &ObjectMeta) -> String {
    let etag = file.e_tag.as_deref().unwrap_or_default();
    let micros = file.last_modified.timestamp_micros();
    format!(
        "{}{FIELD}{micros}{FIELD}{etag}{FIELD}{}",
        file.size, file.location
    )
}

/// The files of a part.
pub(crate) fn files_of(split: &Split) -> Result<Vec<ObjectMeta>> {
    let lines = split.part.split(FILE).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            read(line).ok_or_else(|| {
                let message = "a split of a file table cannot be read";
                ConnectorError::new(ErrorKind::Internal, message)
            })
        })
        .collect()
}

fn read(line: &str) -> Option<ObjectMeta> {
    let mut fields = line.splitn(4, FIELD);
    let size = fields.next()?.parse().ok()?;
    let last_modified = DateTime::from_timestamp_micros(fields.next()?.parse().ok()?)?;
    let etag = fields.next()?;
    Some(ObjectMeta {
        location: Path::parse(fields.next()?).ok()?,
        last_modified,
        size,
        e_tag: (!etag.is_empty()).then(|| etag.to_owned()),
        version: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64, etag: Option<&str>) -> ObjectMeta {
        ObjectMeta {
            location: Path::parse(name).unwrap(),
            last_modified: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            size,
            e_tag: etag.map(str::to_owned),
            version: None,
        }
    }

    #[test]
    fn every_file_is_in_one_part_as_it_was_listed() {
        let mut files = vec![
            file("t/city=S%C3%A3o Paulo/a.csv", 10, Some("\"abc\"")),
            file("t/b=1/ü.csv", 0, None),
            file("t/c.csv", 1000, Some("W/\"x y\"")),
        ];
        let splits = split(files.clone());
        assert!(!splits.is_empty());
        let mut found: Vec<ObjectMeta> = Vec::new();
        for part in &splits {
            found.extend(files_of(part).unwrap());
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        found.sort_by(|a, b| a.location.cmp(&b.location));
        assert_eq!(found, files);
    }

    #[test]
    fn no_file_is_one_empty_part() {
        let splits = split(Vec::new());
        assert_eq!(splits.len(), 1);
        assert!(files_of(&splits[0]).unwrap().is_empty());
    }
}
