//! What can go wrong before the demo's server answers, worded for a terminal.

use std::io;
use std::path::PathBuf;

use causeway_spi::ConnectorError;

use crate::config::ConfigError;

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The scale is out of bounds.
    #[error("the scale {0} is not between 0.01 and 10")]
    Scale(f64),
    /// The folder holds something else.
    #[error("the folder {} is not empty and was not made by the demo; name another one with --dir", .0.display())]
    Foreign(PathBuf),
    /// Another demo runs on the folder.
    #[error("another demo uses the folder {}; name another one with --dir", .0.display())]
    InUse(PathBuf),
    /// A path cannot stand in a configuration.
    #[error("the path {} is not valid UTF-8; name another one with --dir", .0.display())]
    Name(PathBuf),
    /// A folder or file cannot be made, read or removed.
    #[error("could not {what} {}: {}", .path.display(), reason(.source))]
    File {
        /// The verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The Parquet files cannot be written.
    #[error("could not write {}: {source}", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The writer's reason.
        source: datafusion::parquet::errors::ParquetError,
    },
    /// The generator of rows failed.
    #[error("could not generate table {table}: {source}")]
    Rows {
        /// The table.
        table: &'static str,
        /// The reason.
        source: arrow::error::ArrowError,
    },
    /// The SQLite file cannot be written.
    #[error("could not write {}: {source}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The embedded store cannot be written.
    #[error("could not write {}: {}", .path.display(), .source.message())]
    Store {
        /// The file.
        path: PathBuf,
        /// The store's reason.
        source: ConnectorError,
    },
    /// The configuration over the data is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server does not start.
    #[error("could not start the server: {0}")]
    Start(io::Error),
    /// The server refused the query: the lines that psql would show.
    #[error("{0}")]
    Query(String),
    /// The connection to the demo's own server broke.
    #[error("lost the connection to the server: {0}")]
    Connection(tokio_postgres::Error),
    /// The answer cannot be printed.
    #[error("could not print the answer: {0}")]
    Print(io::Error),
    /// The user stopped it.
    #[error("stopped")]
    Stopped,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "no space is left on the device".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
