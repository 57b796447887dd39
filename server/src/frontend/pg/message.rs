//! The messages of a session, from bytes whose lengths nobody vouches for.

use bytes::Buf;

use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// A message of a session; what a malformed one says instead is the error to answer with.
#[derive(Debug)]
pub(super) enum Message {
    /// Query, with its text.
    Query(Result<String>),
    /// Parse, Bind, Describe, Execute or Close.
    Extended(Result<Extended>),
    /// Sync.
    Sync,
    /// Flush; also the messages of COPY, which mean nothing outside of it.
    Flush,
    /// A function call, which is not supported.
    FunctionCall,
    /// Terminate.
    Terminate,
}

/// A message of the extended protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extended {
    /// A text becomes a statement.
    Parse {
        name: String,
        sql: String,
        /// OIDs of the parameters' types; 0 is for the server to say.
        types: Vec<u32>,
    },
    /// A statement with values becomes a portal.
    Bind(Bind),
    /// What a statement or portal takes and gives.
    Describe(Target),
    /// Runs a portal for at most so many rows; 0 is all.
    Execute { portal: String, rows_max: usize },
    /// Forgets a statement or portal.
    Close(Target),
}

/// The body of Bind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    /// The format of each value: none is text for all, one is for all.
    pub(super) value_formats: Vec<i16>,
    /// The values; `None` is NULL.
    pub(super) values: Vec<Option<Vec<u8>>>,
    /// The format of each column: none is text for all, one is for all.
    pub(super) result_formats: Vec<i16>,
}

/// What Describe and Close name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Statement(String),
    Portal(String),
}

impl Message {
    /// Decodes the body of a message whose `kind` is a frontend's.
    pub(super) fn decode(kind: u8, body: &[u8]) -> Self {
        let mut rest = Body(body);
        match kind {
            b'Q' => Self::Query(rest.text().and_then(|text| rest.end().map(|()| text))),
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'F' => Self::FunctionCall,
            b'P' | b'B' | b'D' | b'E' | b'C' => {
                let message = rest.extended(kind);
                Self::Extended(message.and_then(|message| rest.end().map(|()| message)))
            }
            _ => Self::Flush,
        }
    }
}

/// What is left of a message's body.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn extended(&mut self, kind: u8) -> Result<Extended> {
        Ok(match kind {
            b'P' => Extended::Parse {
                name: self.text()?,
                sql: self.text()?,
                types: self.list(Self::u32)?,
            },
            b'B' => Extended::Bind(Bind {
                portal: self.text()?,
                statement: self.text()?,
                value_formats: self.list(Self::format)?,
                values: self.list(Self::value)?,
                result_formats: self.list(Self::format)?,
            }),
            b'D' => Extended::Describe(self.target()?),
            b'E' => Extended::Execute {
                portal: self.text()?,
                // A negative number is no limit, as in PostgreSQL.
                rows_max: usize::try_from(self.0.try_get_i32().map_err(|_| too_short())?).unwrap_or(0),
            },
            _ => Extended::Close(self.target()?),
        })
    }

    /// A text up to its zero byte.
    fn text(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (text, rest) = end
            .and_then(|end| Some((self.0.get(..end)?, self.0.get(end + 1..)?)))
            .ok_or_else(|| violation("invalid string in message"))?;
        self.0 = rest;
        text_of(text).map(str::to_owned)
    }

    /// A count of 16 bits, and as many items.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.0.try_get_u16().map_err(|_| too_short())?;
        (0..count).map(|_| item(self)).collect()
    }

    fn u32(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(|_| too_short())
    }

    fn format(&mut self) -> Result<i16> {
        match self.0.try_get_i16().map_err(|_| too_short())? {
            format @ 0..=1 => Ok(format),
            other => Err(violation(&format!("unsupported format code: {other}"))),
        }
    }

    fn value(&mut self) -> Result<Option<Vec<u8>>> {
        let length = match self.0.try_get_i32().map_err(|_| too_short())? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| too_short())?,
        };
        let (value, rest) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(Some(value.to_vec()))
    }

    fn target(&mut self) -> Result<Target> {
        match self.0.try_get_u8().map_err(|_| too_short())? {
            b'S' => Ok(Target::Statement(self.text()?)),
            b'P' => Ok(Target::Portal(self.text()?)),
            other => Err(violation(&format!("invalid message subtype {other}"))),
        }
    }

    fn end(&self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(violation("invalid message format"))
        }
    }
}

/// `bytes` as text. Errors: 22021 with the first byte that is none; a zero byte is none either.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str> {
    let zero = bytes.iter().position(|byte| *byte == 0);
    let wrong = match (std::str::from_utf8(bytes), zero) {
        (Ok(text), None) => return Ok(text),
        (Err(error), None) => error.valid_up_to(),
        (Ok(_), Some(zero)) => zero,
        (Err(error), Some(zero)) => zero.min(error.valid_up_to()),
    };
    let byte = bytes.get(wrong).copied().unwrap_or_default();
    let message = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
    Err(QueryError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message))
}

fn too_short() -> QueryError {
    violation("insufficient data left in message")
}

fn violation(message: &str) -> QueryError {
    QueryError::new(SqlState::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(body: &[u8]) -> Result<String> {
        match Message::decode(b'Q', body) {
            Message::Query(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn extended(kind: u8, body: &[u8]) -> Result<Extended> {
        match Message::decode(kind, body) {
            Message::Extended(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_is_text_up_to_its_only_zero_byte() {
        assert_eq!(query(b"SELECT 1\0").unwrap(), "SELECT 1");
        assert_eq!(query(b"\0").unwrap(), "");
        for wrong in [b"SELECT 1".as_slice(), b"", b"SELECT\0 1\0"] {
            assert_eq!(query(wrong).unwrap_err().state, SqlState::PROTOCOL_VIOLATION);
        }
        let error = query(b"SELECT '\xff'\0").unwrap_err();
        assert_eq!(error.state, SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert!(error.message.ends_with("0xff"), "{}", error.message);
    }

    #[test]
    fn bodies_are_decoded_and_every_cut_is_noticed() {
        let parse = b"s\0SELECT $1\0\0\x01\0\0\0\x17".as_slice();
        let bind = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x01\0\0".as_slice();
        let execute = b"p\0\0\0\0\x05".as_slice();
        assert_eq!(
            extended(b'P', parse).unwrap(),
            Extended::Parse {
                name: "s".into(),
                sql: "SELECT $1".into(),
                types: vec![23],
            }
        );
        assert_eq!(
            extended(b'B', bind).unwrap(),
            Extended::Bind(Bind {
                portal: "p".into(),
                statement: "s".into(),
                value_formats: vec![1],
                values: vec![Some(b"ab".to_vec()), None],
                result_formats: vec![0],
            })
        );
        let expected = Extended::Execute {
            portal: "p".into(),
            rows_max: 5,
        };
        assert_eq!(extended(b'E', execute).unwrap(), expected);
        for (kind, body) in [
            (b'P', parse),
            (b'B', bind),
            (b'E', execute),
            (b'D', b"Ss\0"),
            (b'C', b"Pp\0"),
        ] {
            for cut in 0..body.len() {
                assert!(extended(kind, &body[..cut]).is_err(), "{kind} cut at {cut}");
            }
            let longer = [body, b"x"].concat();
            assert!(extended(kind, &longer).is_err(), "{kind} too long");
        }
        assert!(extended(b'D', b"Xs\0").is_err());
        assert!(extended(b'B', b"\0\0\0\x01\0\x02\0\0\0\0").is_err());
        // A length that no message could have must not be believed.
        assert!(extended(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff").is_err());
    }
}
