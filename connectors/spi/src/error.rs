//! What can go wrong at a source, by kind. The server maps each kind to one SQLSTATE.

use std::error::Error;
use std::fmt;

use datafusion::common::DataFusionError;

/// The result of a call to a connector.
pub type Result<T, E = ConnectorError> = std::result::Result<T, E>;

/// What kind of failure a [`ConnectorError`] is; decides the SQLSTATE and whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The options of a catalog are wrong: found when it is opened.
    Configuration,
    /// No such catalog on this server (3D000).
    UnknownCatalog,
    /// No such schema in this catalog (3F000).
    UnknownSchema,
    /// The table is not there, or not there any more (42P01).
    UnknownTable,
    /// A column that was there when the query was planned is gone (42703).
    UnknownColumn,
    /// The source cannot be reached, or closed the connection (HV00N). Worth a retry.
    Unavailable,
    /// The source refused the catalog's login (HV00N).
    LoginRefused,
    /// The source did not answer before the deadline (HV00N). Worth a retry.
    Timeout,
    /// No connection of the catalog's pool became free in time (53300).
    TooManyConnections,
    /// The source answered with an error of its own (HV000).
    Source,
    /// A value, file or object cannot be decoded as its declared type (HV000).
    InvalidData,
    /// The object changed while a query was reading it (40001).
    Changed,
    /// A value computed at the source does not fit its type (22003).
    OutOfRange,
    /// A limit of the configuration forbids it (54000).
    LimitExceeded,
    /// The source's owner forbids it (42501).
    NotPermitted,
    /// A statement of the user's own is none that the source can read (42601).
    Syntax,
    /// A statement of the user's own would write, where only reading is allowed (25006).
    ReadOnly,
    /// Another transaction is writing, and did not end in time (55P03).
    LockTimeout,
    /// A row with this primary key is there already (23505).
    DuplicateKey,
    /// The source's limit on memory is reached (53200).
    OutOfMemory,
    /// The source's disk, or its limit on disk space, is full (53100).
    DiskFull,
    /// Causeway does not do this with this source (0A000).
    NotSupported,
    /// A fault of Causeway's own (XX000).
    Internal,
}

/// A failure of a source, worded for the user: lower case, no full stop, naming the object; never a secret.
#[derive(Debug)]
pub struct ConnectorError {
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ConnectorError {
    /// Makes an error of `kind`; `message` names the object and says what cannot be done.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            source: None,
        }
    }

    /// The error of every source for a schema that is not there.
    pub fn unknown_schema(catalog: &str, schema: &str) -> Self {
        let message = format!("schema \"{schema}\" does not exist in catalog \"{catalog}\"");
        Self::new(ErrorKind::UnknownSchema, message)
    }

    /// Adds what the source itself said, or other facts, as a sentence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what the user can do about it, as a sentence.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the error below, for the log.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The detail sentence, if any.
    pub fn detail_text(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The hint sentence, if any.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

impl From<ConnectorError> for DataFusionError {
    fn from(error: ConnectorError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
