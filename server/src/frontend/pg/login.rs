//! The proof of who a client is: one SCRAM-SHA-256 exchange, bound to the TLS channel where the client asks for that.

use bytes::{Buf, Bytes, BytesMut};
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use pgwire::error::PgWireError;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::Authentication;

use super::error::append;
use super::reader::{ReadError, Reader};
use super::socket::Writer;
use crate::error::QueryError;
use crate::security::{Tls, Users};
use crate::sqlstate::SqlState;

const PLAIN: &str = "SCRAM-SHA-256";
const BOUND_TO_CHANNEL: &str = "SCRAM-SHA-256-PLUS";

/// Runs the exchange for `user`. `tls`: the endpoint's TLS, if this connection is encrypted. `false`: the client has gone.
/// Errors: 28P01 for a wrong password and for an unknown user alike, 08P01 for messages that are none.
pub(super) async fn authenticate(
    reader: &mut Reader,
    writer: &mut Writer,
    user: &str,
    users: &Users,
    tls: Option<&Tls>,
) -> Result<bool, ReadError> {
    let mechanisms = match tls {
        Some(tls) if tls.binds_channel => vec![BOUND_TO_CHANNEL, PLAIN],
        _ => vec![PLAIN],
    };
    let offer = mechanisms.iter().map(|name| (*name).to_owned()).collect();
    send(writer, Authentication::SASL(offer)).await?;
    let Some(body) = reader.password().await? else {
        return Ok(false);
    };
    let (mechanism, first) = initial_response(body)?;
    if !mechanisms.contains(&mechanism.as_str()) {
        return Err(violation(
            "client selected an invalid SASL authentication mechanism",
        ));
    }
    let scram = tls.map_or_else(ScramServerAuth::new, |tls| tls.scram.clone());
    let secret = users.verifier(user).secret();
    let (answer, scram) = scram
        .on_client_first_message_with_secret(&first, secret)
        .map_err(|error| refused(user, &error))?;
    send(writer, Authentication::SASLContinue(Bytes::from(answer))).await?;
    let Some(last) = reader.password().await? else {
        return Ok(false);
    };
    let answer = scram
        .on_client_final_message(&last)
        .map_err(|error| refused(user, &error))?;
    send(writer, Authentication::SASLFinal(Bytes::from(answer))).await?;
    Ok(true)
}

async fn send(writer: &mut Writer, message: Authentication) -> Result<(), ReadError> {
    let mut out = BytesMut::new();
    append(&mut out, &PgWireBackendMessage::Authentication(message));
    Ok(writer.write_all(&out).await?)
}

/// The body of a SASLInitialResponse: a mechanism's name, a zero byte, a length, and as many bytes.
fn initial_response(mut body: BytesMut) -> Result<(String, BytesMut), ReadError> {
    let malformed = || violation("malformed SASL initial response");
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
    let name = body.split_to(end);
    let name = std::str::from_utf8(&name).map_err(|_| malformed())?.to_owned();
    body.advance(1);
    let length = body.try_get_i32().map_err(|_| malformed())?;
    // Without an initial response the client would wait for an empty challenge: no client of PostgreSQL does that.
    if usize::try_from(length) != Ok(body.len()) {
        return Err(malformed());
    }
    Ok((name, body))
}

fn refused(user: &str, error: &PgWireError) -> ReadError {
    match error {
        PgWireError::InvalidPassword(_) => ReadError::Protocol(QueryError::new(
            SqlState::INVALID_PASSWORD,
            format!("password authentication failed for user \"{user}\""),
        )),
        other => {
            tracing::debug!(error = %other, "a SCRAM message was refused");
            violation("malformed SCRAM message")
        }
    }
}

fn violation(message: &str) -> ReadError {
    ReadError::Protocol(QueryError::new(SqlState::PROTOCOL_VIOLATION, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_responses_are_checked_before_they_are_believed() {
        let (name, data) = initial_response(BytesMut::from(&b"SCRAM-SHA-256\0\0\0\0\x03n,,"[..])).unwrap();
        assert_eq!((name.as_str(), &data[..]), ("SCRAM-SHA-256", &b"n,,"[..]));
        for wrong in [
            &b""[..],
            b"SCRAM",
            b"SCRAM\0",
            b"SCRAM\0\0\0\0",
            b"SCRAM\0\0\0\0\x09n,,",
            b"SCRAM\0\xff\xff\xff\xff",
            b"\xff\0\0\0\0\0",
        ] {
            assert!(initial_response(BytesMut::from(wrong)).is_err(), "{wrong:?}");
        }
    }
}
