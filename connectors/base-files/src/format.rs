//! What a file holds, as its name says: Parquet, CSV or JSON lines, the latter two perhaps compressed.

use std::fmt;
use std::io;

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZstdDecoder};
use bytes::Bytes;
use causeway_spi::{ConnectorError, ErrorKind, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::error::{connector_error, copy_of};

/// Bytes handed on at once by a decompressor.
const DECOMPRESSED_BYTES: usize = 256 << 10;

/// What the files of a table hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FileFormat {
    Parquet,
    Csv,
    Json,
}

impl FileFormat {
    /// The format that `text` names in a configuration.
    pub(crate) fn named(text: &str) -> Option<Self> {
        match text {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Json => "JSON",
        })
    }
}

/// How a file is compressed as a whole. Parquet compresses its pages itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }

    /// How a file of this name is compressed, and the name of what is in it.
    pub(crate) fn of(name: &str) -> (Self, &str) {
        const ENDINGS: [(&str, Compression); 4] = [
            (".gz", Compression::Gzip),
            (".zst", Compression::Zstd),
            (".bz2", Compression::Bzip2),
            (".xz", Compression::Xz),
        ];
        for (ending, compression) in ENDINGS {
            if let Some(inner) = without_ending(name, ending) {
                return (compression, inner);
            }
        }
        (Self::None, name)
    }
}

/// The format of a file of this name, and the name without what says so; `None` when it is no data file.
pub(crate) fn format_of(name: &str) -> Option<(FileFormat, &str)> {
    const TEXT_ENDINGS: [(&str, FileFormat); 4] = [
        (".csv", FileFormat::Csv),
        (".json", FileFormat::Json),
        (".jsonl", FileFormat::Json),
        (".ndjson", FileFormat::Json),
    ];
    if let Some(stem) = without_ending(name, ".parquet") {
        return Some((FileFormat::Parquet, stem));
    }
    let (_, inner) = Compression::of(name);
    TEXT_ENDINGS
        .iter()
        .find_map(|(ending, format)| Some((*format, without_ending(inner, ending)?)))
}

/// `name` without `ending` in any case, if something is left.
fn without_ending<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(ending.len()).filter(|&at| at > 0)?;
    let (stem, tail) = name.split_at_checked(at)?;
    tail.eq_ignore_ascii_case(ending).then_some(stem)
}

/// The content of the file at `location`, whose bytes as stored are `stored`. Errors name the file.
pub(crate) fn decompressed(
    stored: BoxStream<'static, Result<Bytes>>,
    location: &Path,
) -> BoxStream<'static, Result<Bytes>> {
    let (compression, _) = Compression::of(location.filename().unwrap_or_default());
    if compression == Compression::None {
        return stored;
    }
    let stored = StreamReader::new(stored.map_err(io::Error::other));
    // Writers that append or compress in parallel make files of several members: all of them are the file.
    let content: Box<dyn AsyncRead + Send + Unpin> = match compression {
        Compression::Zstd => {
            let mut decoder = ZstdDecoder::new(stored);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Compression::Bzip2 => {
            let mut decoder = BzDecoder::new(stored);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Compression::Xz => {
            let mut decoder = XzDecoder::new(stored);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Compression::Gzip | Compression::None => {
            let mut decoder = GzipDecoder::new(stored);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
    };
    let location = location.clone();
    ReaderStream::with_capacity(content, DECOMPRESSED_BYTES)
        .map_err(move |error| broken(&location, compression, error))
        .boxed()
}

/// Our own errors pass through the decompressor; the rest is what it found wrong.
fn broken(location: &Path, compression: Compression, error: io::Error) -> ConnectorError {
    if let Some(ours) = error.get_ref().and_then(|inner| connector_error(inner)) {
        return copy_of(ours).source(error);
    }
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!("file {location} cannot be decompressed"),
    )
    .detail(format!("Its {} data is damaged or cut off.", compression.name()))
    .source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_in_them() {
        let cases = [
            ("a.parquet", Some((FileFormat::Parquet, "a"))),
            ("A.PARQUET", Some((FileFormat::Parquet, "A"))),
            ("a.csv", Some((FileFormat::Csv, "a"))),
            ("a.b.csv.gz", Some((FileFormat::Csv, "a.b"))),
            ("a.json.ZST", Some((FileFormat::Json, "a"))),
            ("a.jsonl", Some((FileFormat::Json, "a"))),
            ("a.ndjson.bz2", Some((FileFormat::Json, "a"))),
            ("a.parquet.gz", None),
            ("a.gz", None),
            (".csv", None),
            ("csv", None),
            ("notes.txt", None),
        ];
        for (name, expected) in cases {
            assert_eq!(format_of(name), expected, "{name}");
        }
    }

    #[test]
    fn compression_is_the_last_ending() {
        assert_eq!(Compression::of("part-0.gz"), (Compression::Gzip, "part-0"));
        assert_eq!(
            Compression::of("part-0.xz.csv"),
            (Compression::None, "part-0.xz.csv")
        );
    }
}
