//! The commands: `HMGET` and `HLEN` by key, `SCAN` over the keyspace, and what their answers mean.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use causeway_base_kv::{FieldValues, KeyScan, KvBackend, TableDefinition, printable};
use causeway_spi::{ConnectorError, ErrorKind, ReadContext, ReadMetrics, Result, TableName};
use futures::stream::{self, StreamExt};
use redis::{Pipeline, Value};
use tokio::time::timeout;

use crate::connections::{Connections, Session};
use crate::error::{Doing, no_answer, translate, translate_answer, unexpected_answer};

/// Keys the server looks at per step of a walk.
const SCAN_COUNT: usize = 1000;
/// Keys confirmed in one transaction: the server does nothing else meanwhile.
const CONFIRM_KEYS_MAX: usize = 250;
/// Longest wait for the answer to a ping, connecting included.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Random keys that tell how much of the keyspace is a table's.
const SAMPLE_KEYS: u64 = 64;

/// One database of a Redis server.
#[derive(Debug)]
pub(crate) struct RedisBackend {
    connections: Connections,
    scan_keys_max: usize,
}

impl RedisBackend {
    pub(crate) fn new(connections: Connections, scan_keys_max: usize) -> Self {
        Self {
            connections,
            scan_keys_max,
        }
    }

    /// Reaches the server and checks the login.
    pub(crate) async fn ping(&self, catalog: &str) -> Result<()> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("PING");
        let doing = Doing::Connecting(catalog);
        match timeout(PING_TIMEOUT, self.send(&pipeline, doing)).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(no_answer(doing)),
        }
    }

    /// Sends commands of which none may fail.
    async fn send(&self, pipeline: &Pipeline, doing: Doing<'_>) -> Result<Vec<Value>> {
        let values = self
            .connections
            .send(pipeline)
            .await
            .map_err(|error| translate(error, doing))?;
        all_right(values, doing)
    }

    /// `HMGET` of `keys`, each on its own: a key may change between two of them.
    async fn read_fields(
        &self,
        table: &TableName,
        keys: &[Vec<u8>],
        fields: &[String],
        metrics: &ReadMetrics,
    ) -> Result<Vec<Answer>> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("HMGET").arg(key.as_slice()).arg(fields);
        }
        metrics.requests.add(keys.len());
        let doing = Doing::Reading(table);
        let values = self
            .connections
            .send(&pipeline)
            .await
            .map_err(|error| translate(error, doing))?;
        values
            .into_iter()
            .map(|value| field_values(value, fields.len(), metrics, doing))
            .collect()
    }

    /// Tells keys without any of `fields` from keys that are not there.
    ///
    /// `HMGET` answers both with nils, so size and fields are asked for again in one transaction: asked one after the
    /// other, a hash made in between would be a row of NULLs that never was.
    async fn confirm(
        &self,
        table: &TableName,
        keys: &[&Vec<u8>],
        fields: &[String],
        metrics: &ReadMetrics,
    ) -> Result<Vec<Option<FieldValues>>> {
        let mut pipeline = Pipeline::with_capacity(keys.len() * 2);
        pipeline.atomic();
        for key in keys {
            pipeline.cmd("HLEN").arg(key.as_slice());
            pipeline.cmd("HMGET").arg(key.as_slice()).arg(fields);
        }
        metrics.requests.add(keys.len() * 2);
        let doing = Doing::Reading(table);
        let values = self
            .connections
            .send(&pipeline)
            .await
            .map_err(|error| translate(error, doing))?;
        if values.len() != keys.len() * 2 {
            return Err(unexpected_answer("EXEC", doing));
        }
        let mut rows = Vec::with_capacity(keys.len());
        let mut values = values.into_iter();
        while let (Some(length), Some(value)) = (values.next(), values.next()) {
            let exists = hash_exists(length, doing)?;
            rows.push(match field_values(value, fields.len(), metrics, doing)? {
                Answer::Row(row) | Answer::NoFields(row) if exists => Some(row),
                _ => None,
            });
        }
        Ok(rows)
    }

    /// Which of `keys` are hashes.
    async fn exist(
        &self,
        table: &TableName,
        keys: &[Vec<u8>],
        metrics: &ReadMetrics,
    ) -> Result<Vec<Option<FieldValues>>> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("HLEN").arg(key.as_slice());
        }
        metrics.requests.add(keys.len());
        let doing = Doing::Reading(table);
        let values = self
            .connections
            .send(&pipeline)
            .await
            .map_err(|error| translate(error, doing))?;
        let rows = values
            .into_iter()
            .map(|value| Ok(hash_exists(value, doing)?.then(FieldValues::new)));
        rows.collect()
    }

    /// The share of the keyspace's `keys` that is the table's, from a sample.
    async fn estimate_share(&self, definition: &TableDefinition, keys: u64) -> Result<u64> {
        let doing = Doing::Reading(definition.name());
        let mut pipeline = Pipeline::new();
        for _ in 0..SAMPLE_KEYS {
            pipeline.cmd("RANDOMKEY");
        }
        let values = match self.send(&pipeline, doing).await {
            // The estimate is then larger than it could be, which only costs speed.
            Err(error) if error.kind() == ErrorKind::NotPermitted => return Ok(keys),
            values => values?,
        };
        let is_row = |value: &Value| match value {
            Value::BulkString(key) => definition.template().parse_key(key).is_some(),
            _ => false,
        };
        let rows = u64::try_from(values.iter().filter(|value| is_row(value)).count()).unwrap_or(SAMPLE_KEYS);
        // None of the sample: there may still be some.
        Ok(keys.saturating_mul(rows.max(1)).div_ceil(SAMPLE_KEYS))
    }

    /// The exact number of rows, when one step of a walk sees the whole keyspace.
    async fn count_at_once(&self, definition: &TableDefinition) -> Result<Option<u64>> {
        let doing = Doing::Reading(definition.name());
        let pattern = scan_pattern(definition.template().prefix());
        let values = self.send(&scan_command(b"0", &pattern), doing).await?;
        let (cursor, mut keys) = scan_page(values, doing)?;
        if cursor != b"0" {
            return Ok(None);
        }
        keys.sort_unstable();
        keys.dedup();
        let rows = keys
            .iter()
            .filter(|key| definition.template().parse_key(key).is_some());
        Ok(u64::try_from(rows.count()).ok())
    }
}

#[async_trait]
impl KvBackend for RedisBackend {
    async fn fetch(
        &self,
        table: &TableName,
        keys: &[Vec<u8>],
        fields: &[String],
        cx: &ReadContext,
    ) -> Result<Vec<Option<FieldValues>>> {
        if fields.is_empty() {
            return self.exist(table, keys, &cx.metrics).await;
        }
        let answers = self.read_fields(table, keys, fields, &cx.metrics).await?;
        let mut rows = Vec::with_capacity(keys.len());
        let mut unsure = Vec::new();
        for (position, answer) in answers.into_iter().enumerate() {
            rows.push(match answer {
                Answer::Row(fields) => Some(fields),
                Answer::NotAHash => None,
                Answer::NoFields(_) => {
                    unsure.push(position);
                    None
                }
            });
        }
        for positions in unsure.chunks(CONFIRM_KEYS_MAX) {
            let asked: Vec<_> = positions
                .iter()
                .filter_map(|&position| keys.get(position))
                .collect();
            let confirmed = self.confirm(table, &asked, fields, &cx.metrics).await?;
            for (&position, row) in positions.iter().zip(confirmed) {
                rows[position] = row;
            }
        }
        Ok(rows)
    }

    fn scan(self: Arc<Self>, table: &TableName, prefix: &[u8], cx: &ReadContext) -> KeyScan {
        let walk = Walk {
            backend: self,
            table: table.clone(),
            pattern: scan_pattern(prefix),
            metrics: cx.metrics.clone(),
            session: None,
            cursor: b"0".to_vec(),
        };
        stream::try_unfold(Some(walk), |walk| async move {
            let Some(mut walk) = walk else {
                return Ok(None);
            };
            let page = walk.next_page().await?;
            let rest = (walk.cursor != b"0").then_some(walk);
            Ok(Some((page, rest)))
        })
        .boxed()
    }

    async fn estimate_rows(&self, definition: &TableDefinition) -> Result<Option<u64>> {
        let doing = Doing::Reading(definition.name());
        let keys = match self.send(&dbsize_command(), doing).await {
            Ok(values) => keyspace_size(&values, doing)?,
            Err(error) if error.kind() == ErrorKind::NotPermitted => return Ok(None),
            Err(error) => return Err(error),
        };
        if usize::try_from(keys).is_ok_and(|keys| keys <= SCAN_COUNT)
            && let Some(rows) = self.count_at_once(definition).await?
        {
            return Ok(Some(rows));
        }
        self.estimate_share(definition, keys).await.map(Some)
    }

    fn scan_keys_max(&self) -> usize {
        self.scan_keys_max
    }

    fn value_filter_reason(&self) -> &'static str {
        "redis has no index on fields"
    }

    fn fetch_text(&self, template: &str, fields: &[String]) -> String {
        if fields.is_empty() {
            format!("HLEN {template}")
        } else {
            format!("HMGET {template} {}", fields.join(", "))
        }
    }

    fn scan_text(&self, prefix: &[u8]) -> String {
        format!("SCAN {}*", printable(prefix))
    }
}

/// A walk over the keyspace under way. It stays on one connection: a cursor means nothing to a restarted server.
struct Walk {
    backend: Arc<RedisBackend>,
    table: TableName,
    pattern: Vec<u8>,
    metrics: ReadMetrics,
    session: Option<Session>,
    cursor: Vec<u8>,
}

impl Walk {
    async fn next_page(&mut self) -> Result<Vec<Vec<u8>>> {
        let doing = Doing::Reading(&self.table);
        let connections = &self.backend.connections;
        if self.session.is_none() {
            self.metrics.requests.add(1);
            let (values, session) = connections
                .begin(&dbsize_command())
                .await
                .map_err(|error| translate(error, doing))?;
            self.check_size(keyspace_size(&all_right(values, doing)?, doing)?)?;
            self.session = Some(session);
        }
        let Some(session) = &self.session else {
            return Err(unexpected_answer("DBSIZE", doing));
        };
        self.metrics.requests.add(1);
        let command = scan_command(&self.cursor, &self.pattern);
        let values = connections
            .send_over(session, &command)
            .await
            .map_err(|error| translate(error, doing))?;
        let (cursor, keys) = scan_page(all_right(values, doing)?, doing)?;
        self.metrics.bytes.add(keys.iter().map(Vec::len).sum());
        self.cursor = cursor;
        Ok(keys)
    }

    fn check_size(&self, keys: u64) -> Result<()> {
        let keys_max = self.backend.scan_keys_max;
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

/// What one `HMGET` says.
enum Answer {
    /// At least one of the fields is there.
    Row(FieldValues),
    /// None is: a hash with other fields, or no key at all.
    NoFields(FieldValues),
    /// The key holds another type: no row.
    NotAHash,
}

fn field_values(value: Value, asked: usize, metrics: &ReadMetrics, doing: Doing<'_>) -> Result<Answer> {
    let values = match value {
        Value::Array(values) => values,
        Value::ServerError(error) if error.code() == WRONG_TYPE => return Ok(Answer::NotAHash),
        Value::ServerError(error) => return Err(translate_answer(error, doing)),
        _ => return Err(unexpected_answer("HMGET", doing)),
    };
    let fields = values.into_iter().map(|value| match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(unexpected_answer("HMGET", doing)),
    });
    let fields: FieldValues = fields.collect::<Result<_>>()?;
    if fields.len() != asked {
        return Err(unexpected_answer("HMGET", doing));
    }
    let bytes = fields.iter().flatten().map(Vec::len).sum();
    metrics.bytes.add(bytes);
    Ok(if fields.iter().all(Option::is_none) {
        Answer::NoFields(fields)
    } else {
        Answer::Row(fields)
    })
}

/// The code of the answer to a hash command on a key of another type.
const WRONG_TYPE: &str = "WRONGTYPE";

/// Whether `HLEN` answered for a hash: Redis keeps no empty ones.
fn hash_exists(value: Value, doing: Doing<'_>) -> Result<bool> {
    match value {
        Value::Int(length) => Ok(length > 0),
        Value::ServerError(error) if error.code() == WRONG_TYPE => Ok(false),
        Value::ServerError(error) => Err(translate_answer(error, doing)),
        _ => Err(unexpected_answer("HLEN", doing)),
    }
}

/// The values, unless one of them is an error.
fn all_right(values: Vec<Value>, doing: Doing<'_>) -> Result<Vec<Value>> {
    let values = values.into_iter().map(|value| match value {
        Value::ServerError(error) => Err(translate_answer(error, doing)),
        value => Ok(value),
    });
    values.collect()
}

fn dbsize_command() -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("DBSIZE");
    pipeline
}

fn keyspace_size(values: &[Value], doing: Doing<'_>) -> Result<u64> {
    match values {
        [Value::Int(keys)] => u64::try_from(*keys).map_err(|_| unexpected_answer("DBSIZE", doing)),
        _ => Err(unexpected_answer("DBSIZE", doing)),
    }
}

fn scan_command(cursor: &[u8], pattern: &[u8]) -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline
        .cmd("SCAN")
        .arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(SCAN_COUNT)
        .arg("TYPE")
        .arg("hash");
    pipeline
}

/// The next cursor and the keys of one step.
fn scan_page(values: Vec<Value>, doing: Doing<'_>) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let unexpected = || unexpected_answer("SCAN", doing);
    let Some(Value::Array(answer)) = values.into_iter().next() else {
        return Err(unexpected());
    };
    let Ok([Value::BulkString(cursor), Value::Array(keys)]) = <[Value; 2]>::try_from(answer) else {
        return Err(unexpected());
    };
    let keys = keys.into_iter().map(|key| match key {
        Value::BulkString(key) => Ok(key),
        _ => Err(unexpected()),
    });
    Ok((cursor, keys.collect::<Result<_>>()?))
}

/// The glob of all keys that begin with `prefix`, whatever characters it holds.
fn scan_pattern(prefix: &[u8]) -> Vec<u8> {
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
