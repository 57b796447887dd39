//! Turns what a store or the Parquet decoder says into errors that name the file relative to the catalog's root.

use std::error::Error;
use std::io;

use causeway_spi::{ConnectorError, ErrorKind};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;

/// The answer of the store in one kind, one sentence and, where there is something to do, a hint.
struct Explained {
    kind: ErrorKind,
    detail: Option<String>,
    hint: Option<String>,
}

impl Explained {
    fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: Some(detail.into()),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The error of a request to the store; `message` says what could not be done and names the object.
///
/// The text of the store's own error is kept for the log only: it may hold absolute paths and signed headers.
pub(crate) fn store_error(message: impl Into<String>, error: object_store::Error) -> ConnectorError {
    let explained = explain(&error);
    let mut wrapped = ConnectorError::new(explained.kind, message);
    if let Some(detail) = explained.detail {
        wrapped = wrapped.detail(detail);
    }
    if let Some(hint) = explained.hint {
        wrapped = wrapped.hint(hint);
    }
    wrapped.source(error)
}

/// A file that was replaced or deleted after it was listed.
pub(crate) fn changed(location: &Path) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Changed,
        format!("file {location} changed while it was read"),
    )
    .hint("Run the query again.")
}

/// A file that is not the Parquet it should be.
pub(crate) fn invalid_file(location: &Path, detail: impl Into<String>) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!("file {location} is not a readable Parquet file"),
    )
    .detail(detail)
}

/// The [`ConnectorError`] in the chain of sources below `error`, if there is one.
pub(crate) fn connector_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a ConnectorError> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<ConnectorError>() {
            return Some(found);
        }
        current = error.source();
    }
    None
}

/// The same error once more, for a second reader; the source stays with the first.
pub(crate) fn copy_of(error: &ConnectorError) -> ConnectorError {
    let mut copy = ConnectorError::new(error.kind(), error.message());
    if let Some(detail) = error.detail_text() {
        copy = copy.detail(detail);
    }
    if let Some(hint) = error.hint_text() {
        copy = copy.hint(hint);
    }
    copy
}

fn explain(error: &object_store::Error) -> Explained {
    use object_store::Error as Store;
    if let Some(ours) = connector_error(error) {
        return explain_own(ours);
    }
    match error {
        Store::NotFound { .. } => missing(),
        Store::Precondition { .. } | Store::NotModified { .. } => {
            Explained::new(ErrorKind::Changed, "It is not the version that was listed.")
        }
        Store::PermissionDenied { .. } => explain_answer(error)
            .unwrap_or_else(|| Explained::new(ErrorKind::NotPermitted, "The store does not permit it.")),
        Store::Unauthenticated { .. } => Explained::new(
            ErrorKind::LoginRefused,
            "The store refused the catalog's credentials.",
        ),
        _ => explain_sources(error),
    }
}

/// What the catalog's own client says: that there are no credentials, or that the store is silent.
fn explain_own(error: &ConnectorError) -> Explained {
    let mut letters = error.message().chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    let sentence: String = first.chain(letters).chain(['.']).collect();
    let detail = error.detail_text().map(|detail| format!(" {detail}"));
    let explained = Explained::new(error.kind(), sentence + &detail.unwrap_or_default());
    match error.hint_text() {
        Some(hint) => explained.hint(hint),
        None => explained,
    }
}

fn missing() -> Explained {
    Explained::new(ErrorKind::Unavailable, "The store does not have it.")
        .hint("Check the catalog's bucket, prefix or path.")
}

/// What an S3 answer says: by its code, for a listing (whose errors carry no kind) also by its status.
fn explain_answer(error: &object_store::Error) -> Option<Explained> {
    const STATUS: &str = "status code: ";
    let text = chain_text(error);
    let status = text.split_once(STATUS).and_then(|(_, rest)| rest.get(..3));
    let Some(code) = element(&text, "Code") else {
        return Some(match status? {
            "401" => Explained::new(
                ErrorKind::LoginRefused,
                "The store refused the catalog's credentials.",
            ),
            "403" => Explained::new(ErrorKind::NotPermitted, "The store does not permit it."),
            "404" => missing(),
            other => Explained::new(
                ErrorKind::Source,
                format!("The store answered with status {other}."),
            ),
        });
    };
    let kind = match (code.as_str(), status) {
        ("NoSuchBucket" | "NoSuchKey", _) => return Some(missing()),
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "RequestTimeTooSkewed",
            _,
        )
        | (_, Some("401")) => ErrorKind::LoginRefused,
        ("AccessDenied" | "AllAccessDisabled", _) | (_, Some("403")) => ErrorKind::NotPermitted,
        ("SlowDown" | "ServiceUnavailable" | "InternalError", _) => ErrorKind::Unavailable,
        ("RequestTimeout", _) => ErrorKind::Timeout,
        _ => ErrorKind::Source,
    };
    let explained = Explained::new(kind, format!("The store answered {code}."));
    Some(match (kind, code.as_str()) {
        (_, "RequestTimeTooSkewed") => explained.hint("Set the clock of the server's machine."),
        (ErrorKind::NotPermitted, _) => explained.hint(
            "Allow the catalog's credentials s3:ListBucket on the bucket and s3:GetObject below the prefix.",
        ),
        (ErrorKind::LoginRefused, _) => {
            explained.hint("Check the catalog's access_key_id, secret_access_key and session_token.")
        }
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed") => match element(&text, "Region") {
            Some(region) => explained.hint(format!(
                "Set the catalog's region to {region}, where the bucket is."
            )),
            None => explained.hint("Set the catalog's region to the one where the bucket is."),
        },
        _ => explained,
    })
}

fn explain_sources(error: &object_store::Error) -> Explained {
    let mut current: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = current {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return explain_http(http.kind());
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return explain_io(io.kind());
        }
        current = error.source();
    }
    explain_answer(error).unwrap_or(Explained {
        kind: ErrorKind::Source,
        detail: None,
        hint: None,
    })
}

fn explain_http(kind: HttpErrorKind) -> Explained {
    match kind {
        HttpErrorKind::Timeout => Explained::new(ErrorKind::Timeout, "The store did not answer in time."),
        HttpErrorKind::Connect => {
            Explained::new(ErrorKind::Unavailable, "The store cannot be reached.").hint("Check the endpoint.")
        }
        _ => Explained::new(ErrorKind::Unavailable, "The connection to the store broke."),
    }
}

fn explain_io(kind: io::ErrorKind) -> Explained {
    match kind {
        io::ErrorKind::NotFound => Explained::new(ErrorKind::Unavailable, "It does not exist."),
        io::ErrorKind::PermissionDenied => {
            Explained::new(ErrorKind::NotPermitted, "The server's user may not read it.")
        }
        io::ErrorKind::TimedOut => Explained::new(ErrorKind::Timeout, "The store did not answer in time."),
        other => Explained::new(ErrorKind::Unavailable, format!("The system says: {other}.")),
    }
}

/// An element of an S3 error answer: letters, digits, dots and dashes only, so that nothing else of it can slip out.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    (value.len() <= 64 && value.chars().all(plain)).then(|| value.to_owned())
}

fn chain_text(error: &object_store::Error) -> String {
    let mut text = String::new();
    let mut current: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = current {
        text.push_str(&error.to_string());
        text.push('\n');
        current = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied_with(body: &str) -> object_store::Error {
        object_store::Error::PermissionDenied {
            path: "/srv/secret/place".into(),
            source: body.to_owned().into(),
        }
    }

    #[test]
    fn wrong_keys_and_missing_rights_are_told_apart() {
        let keys = store_error(
            "m",
            denied_with("<Error><Code>SignatureDoesNotMatch</Code></Error>"),
        );
        assert_eq!(keys.kind(), ErrorKind::LoginRefused);
        assert!(keys.hint_text().is_some());
        let rights = store_error("m", denied_with("<Error><Code>AccessDenied</Code></Error>"));
        assert_eq!(rights.kind(), ErrorKind::NotPermitted);
        assert_eq!(rights.detail_text(), Some("The store answered AccessDenied."));
    }

    #[test]
    fn a_listing_is_refused_by_its_status() {
        let listing = |said: &str| {
            let source = format!("Server returned non-2xx status code: {said}").into();
            store_error("m", object_store::Error::Generic { store: "S3", source })
        };
        assert_eq!(listing("403 Forbidden: ").kind(), ErrorKind::NotPermitted);
        assert_eq!(
            listing("404 Not Found: <Code>NoSuchBucket</Code>").kind(),
            ErrorKind::Unavailable
        );
        assert_eq!(
            listing("403 Forbidden: <Code>InvalidAccessKeyId</Code>").kind(),
            ErrorKind::LoginRefused
        );
        assert_eq!(
            listing("400 Bad Request: <Code>Odd</Code>").detail_text(),
            Some("The store answered Odd.")
        );
    }

    #[test]
    fn nothing_but_the_code_is_shown() {
        let error = store_error(
            "could not read file a",
            denied_with("<Code>Weird <x> code</Code> AKIASECRET"),
        );
        let shown = format!("{error} {:?} {:?}", error.detail_text(), error.hint_text());
        assert!(!shown.contains("AKIASECRET"), "{shown}");
        assert!(!shown.contains("/srv"), "{shown}");
    }

    #[test]
    fn a_connector_error_is_found_below_others() {
        let inner: Box<dyn Error + Send + Sync> = Box::new(changed(&Path::from("a/b.parquet")));
        let outer = parquet::errors::ParquetError::External(inner);
        let found = connector_error(&outer).expect("it is in the chain");
        assert_eq!(found.kind(), ErrorKind::Changed);
        assert_eq!(found.message(), "file a/b.parquet changed while it was read");
    }
}
