//! What the store and its file report, by kind, in words that name the catalog.

use std::io;

use causeway_spi::{ConnectorError, ErrorKind};

/// The result of work on the file.
pub(crate) type StoreResult<T> = Result<T, StoreError>;

/// A failure of work on the file, before the catalog's name is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Open(#[from] redb::DatabaseError),
    #[error(transparent)]
    Begin(#[from] redb::TransactionError),
    #[error(transparent)]
    Table(#[from] redb::TableError),
    #[error(transparent)]
    Storage(#[from] redb::StorageError),
    #[error(transparent)]
    Commit(#[from] redb::CommitError),
    /// Something in the file is not as it was written.
    #[error("{0}")]
    Damaged(String),
    /// Said in full already.
    #[error(transparent)]
    Told(#[from] ConnectorError),
}

impl StoreError {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// Whether the open file is of no use any more and has to be opened again.
    pub(crate) fn ends_the_database(&self) -> bool {
        let storage = match self {
            Self::Storage(error)
            | Self::Open(redb::DatabaseError::Storage(error))
            | Self::Begin(redb::TransactionError::Storage(error))
            | Self::Table(redb::TableError::Storage(error))
            | Self::Commit(redb::CommitError::Storage(error)) => error,
            _ => return false,
        };
        !matches!(storage, redb::StorageError::ValueTooLarge(_))
    }

    /// The error for the user of `catalog`.
    pub(crate) fn translate(self, catalog: &str) -> ConnectorError {
        let source: redb::Error = match self {
            Self::Told(error) => return error,
            Self::Damaged(what) => return damaged(catalog).detail(format!("{}.", capital(&what))),
            Self::Open(error) => error.into(),
            Self::Begin(error) => error.into(),
            Self::Table(error) => error.into(),
            Self::Storage(error) => error.into(),
            Self::Commit(error) => error.into(),
        };
        let translated = match &source {
            redb::Error::DatabaseAlreadyOpen => unavailable(catalog, "is in use by another process")
                .hint("One server at a time can have the file open: stop the other one, or give this catalog a file of its own."),
            redb::Error::UpgradeRequired(_) => {
                ConnectorError::new(ErrorKind::NotSupported, format!("the file of catalog {catalog} has an older format"))
            }
            redb::Error::Io(error) => io_error(error, catalog),
            redb::Error::ValueTooLarge(_) => ConnectorError::new(
                ErrorKind::LimitExceeded,
                format!("a row is too large for catalog {catalog}"),
            ),
            redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::RepairAborted => damaged(catalog).detail(format!("{}.", capital(&source.to_string()))),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_) => {
                unavailable(catalog, "could not be read or written a moment ago and is opened again at the next use")
            }
            _ => ConnectorError::new(ErrorKind::Source, format!("could not use the file of catalog {catalog}"))
                .detail(format!("{}.", capital(&source.to_string()))),
        };
        translated.source(source)
    }
}

/// Work on the file panicked: the store trusts its file, and a damaged one can break what it relies on.
pub(crate) fn panicked(catalog: &str) -> ConnectorError {
    damaged(catalog).detail("Reading it met something that cannot be.")
}

fn damaged(catalog: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!("the file of catalog {catalog} is damaged"),
    )
    .hint("Put back a copy of the file that is whole.")
}

fn unavailable(catalog: &str, what: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Unavailable,
        format!("the file of catalog {catalog} {what}"),
    )
}

fn io_error(error: &io::Error, catalog: &str) -> ConnectorError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            unavailable(catalog, "could not be made: its folder does not exist")
                .hint("Make the folder, or correct the option path.")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => unavailable(
            catalog,
            "could not be opened: the server may not read and write it",
        )
        .hint("Give the server's user the right to read and write the file and its folder."),
        io::ErrorKind::IsADirectory => unavailable(catalog, "could not be opened: it is a folder"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ConnectorError::new(
                ErrorKind::DiskFull,
                format!("the file of catalog {catalog} could not be written: the disk is full"),
            )
            .hint("Nothing of the transaction was kept. Make room on the disk and try again.")
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ConnectorError::new(
            ErrorKind::InvalidData,
            format!("the file of catalog {catalog} is not one of the embedded store, or damaged"),
        )
        .hint("Correct the option path, or put back a copy of the file that is whole."),
        _ => unavailable(catalog, "could not be read or written")
            .detail(format!("{}.", capital(&error.to_string()))),
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    let first: String = first.into_iter().flatten().collect();
    format!("{first}{}", characters.as_str().trim_end_matches('.'))
}
