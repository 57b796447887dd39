//! `SCAN` over the keyspace, page by page.

use std::sync::Arc;

use causeway_base_kv::{KeyScan, TableDefinition, ValueFormat};
use causeway_spi::{ConnectorError, ErrorKind, ReadMetrics, Result, TableName};
use futures::stream::{self, StreamExt};
use redis::{Pipeline, Value};

use crate::backend::{RedisBackend, all_right, dbsize_command, keyspace_size};
use crate::connections::Session;
use crate::error::{Doing, translate, unexpected_answer};
use crate::replies::reply_bytes;

/// Keys the server looks at per step of a walk.
pub(crate) const SCAN_COUNT: usize = 1000;

/// A walk over the keyspace under way. It stays on one connection: a cursor means nothing to a restarted server.
pub(crate) struct Walk {
    backend: Arc<RedisBackend>,
    table: TableName,
    format: ValueFormat,
    pattern: Vec<u8>,
    metrics: ReadMetrics,
    session: Option<Session>,
    cursor: Vec<u8>,
}

impl Walk {
    pub(crate) fn new(
        backend: Arc<RedisBackend>,
        definition: &TableDefinition,
        prefix: &[u8],
        metrics: &ReadMetrics,
    ) -> Self {
        Self {
            backend,
            table: definition.name().clone(),
            format: definition.format(),
            pattern: scan_pattern(prefix),
            metrics: metrics.clone(),
            session: None,
            cursor: b"0".to_vec(),
        }
    }

    pub(crate) fn pages(self) -> KeyScan {
        stream::try_unfold(Some(self), |walk| async move {
            let Some(mut walk) = walk else {
                return Ok(None);
            };
            let page = walk.next_page().await?;
            let rest = (walk.cursor != b"0").then_some(walk);
            Ok(Some((page, rest)))
        })
        .boxed()
    }

    async fn next_page(&mut self) -> Result<Vec<Vec<u8>>> {
        let doing = Doing::Reading(&self.table);
        let connections = self.backend.connections();
        if self.session.is_none() {
            self.metrics.requests.add(1);
            let (values, session) = connections
                .begin(&dbsize_command())
                .await
                .map_err(|error| translate(error, doing))?;
            self.metrics.bytes.add(reply_bytes(&values));
            self.check_size(keyspace_size(&all_right(values, doing)?, doing)?)?;
            self.session = Some(session);
        }
        let Some(session) = &self.session else {
            return Err(unexpected_answer("DBSIZE", doing));
        };
        self.metrics.requests.add(1);
        let command = scan_command(&self.cursor, &self.pattern, self.format);
        let values = connections
            .send_over(session, &command)
            .await
            .map_err(|error| translate(error, doing))?;
        self.metrics.bytes.add(reply_bytes(&values));
        let (cursor, keys) = scan_page("SCAN", values, doing)?;
        self.cursor = cursor;
        Ok(keys)
    }

    fn check_size(&self, keys: u64) -> Result<()> {
        let keys_max = self.backend.keys_max();
        if usize::try_from(keys).is_ok_and(|keys| keys <= keys_max) {
            return Ok(());
        }
        Err(ConnectorError::new(
            ErrorKind::LimitExceeded,
            format!(
                "cannot walk the keys of table {}: the database holds {keys}, more than scan_keys_max",
                self.table
            ),
        )
        .detail(format!(
            "Redis has no index of key prefixes: a read without keys looks at all keys, at most {keys_max}."
        ))
        .hint("Give the key columns by = or IN, join on them, or raise scan_keys_max."))
    }
}

/// One step of a walk over the keys that match `pattern` and hold a value of `format`.
pub(crate) fn scan_command(cursor: &[u8], pattern: &[u8], format: ValueFormat) -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline
        .cmd("SCAN")
        .arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(SCAN_COUNT)
        .arg("TYPE")
        .arg(stored_type(format));
    pipeline
}

/// What Redis calls the type of a key.
fn stored_type(format: ValueFormat) -> &'static str {
    match format {
        ValueFormat::Hash => "hash",
        ValueFormat::Json | ValueFormat::String => "string",
        ValueFormat::Set => "set",
        ValueFormat::Zset => "zset",
        ValueFormat::List => "list",
    }
}

/// The next cursor and what one step of `SCAN`, `SSCAN` or `ZSCAN` found.
pub(crate) fn scan_page(
    command: &str,
    values: Vec<Value>,
    doing: Doing<'_>,
) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let unexpected = || unexpected_answer(command, doing);
    let Some(Value::Array(answer)) = values.into_iter().next() else {
        return Err(unexpected());
    };
    let Ok([Value::BulkString(cursor), Value::Array(found)]) = <[Value; 2]>::try_from(answer) else {
        return Err(unexpected());
    };
    let found = found.into_iter().map(|found| match found {
        Value::BulkString(found) => Ok(found),
        _ => Err(unexpected()),
    });
    Ok((cursor, found.collect::<Result<_>>()?))
}

/// The glob of all keys that begin with `prefix`, whatever characters it holds.
pub(crate) fn scan_pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for &byte in prefix {
        if b"*?[]\\^".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_characters_of_a_prefix_are_literal() {
        assert_eq!(scan_pattern(b"part:"), b"part:*");
        assert_eq!(scan_pattern(b"a*b?[c]\\^"), br"a\*b\?\[c\]\\\^*");
        assert_eq!(scan_pattern(b""), b"*");
    }
}
