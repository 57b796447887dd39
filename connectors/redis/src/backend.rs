//! The commands that a table needs: rows by key, walks, and how much there is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use causeway_base_kv::{
    ElementScan, Field, FieldValues, KeyScan, KvBackend, KvSize, TableDefinition, ValueFormat, printable,
};
use causeway_spi::{ErrorKind, ReadContext, Result};
use redis::{Pipeline, Value};
use tokio::time::timeout;

use crate::collection::{Elements, size_command, whole_text};
use crate::connections::Connections;
use crate::error::{Doing, translate, translate_answer, unexpected_answer};
use crate::fetch::{RowFetch, size_of};
use crate::walk::{SCAN_COUNT, Walk, scan_command, scan_page, scan_pattern};

/// Longest wait for the answer to a ping, connecting included.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Random keys that tell how much of the keyspace is a table's, and how large its collections are.
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

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Most keys of a walk, and most elements of a set that are remembered.
    pub(crate) fn keys_max(&self) -> usize {
        self.scan_keys_max
    }

    /// Reaches the server and checks the login.
    pub(crate) async fn ping(&self, catalog: &str) -> Result<()> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("PING");
        let doing = Doing::Connecting(catalog);
        match timeout(PING_TIMEOUT, self.send(&pipeline, doing)).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(translate(self.connections.timed_out(), doing)),
        }
    }

    /// The rules of the login: the answer to ACL GETUSER for itself. Errors: the login may not ask that.
    pub(crate) async fn acl(&self, catalog: &str) -> Result<Value> {
        let doing = Doing::Connecting(catalog);
        let mut whoami = Pipeline::new();
        whoami.cmd("ACL").arg("WHOAMI");
        let name = self.send(&whoami, doing).await?.into_iter().next();
        let mut rules = Pipeline::new();
        rules.cmd("ACL").arg("GETUSER").arg(match name {
            Some(Value::BulkString(name)) => name,
            _ => return Err(unexpected_answer("ACL WHOAMI", doing)),
        });
        let mut answers = self.send(&rules, doing).await?.into_iter();
        answers
            .next()
            .ok_or_else(|| unexpected_answer("ACL GETUSER", doing))
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

    /// The table's keys among random ones, and how many of those there were; `None` when they may not be asked for.
    async fn sample(&self, definition: &TableDefinition) -> Result<Option<Vec<Vec<u8>>>> {
        let mut pipeline = Pipeline::new();
        for _ in 0..SAMPLE_KEYS {
            pipeline.cmd("RANDOMKEY");
        }
        let values = match self.send(&pipeline, Doing::Reading(definition.name())).await {
            Err(error) if error.kind() == ErrorKind::NotPermitted => return Ok(None),
            values => values?,
        };
        let keys = values.into_iter().filter_map(|value| match value {
            Value::BulkString(key) if definition.template().parse_key(&key).is_some() => Some(key),
            _ => None,
        });
        Ok(Some(keys.collect()))
    }

    /// All keys of the table, when one step of a walk sees the whole keyspace.
    async fn keys_at_once(&self, definition: &TableDefinition) -> Result<Option<Vec<Vec<u8>>>> {
        let doing = Doing::Reading(definition.name());
        let pattern = scan_pattern(definition.template().prefix());
        let command = scan_command(b"0", &pattern, definition.format());
        let values = self.send(&command, doing).await?;
        let (cursor, mut keys) = scan_page("SCAN", values, doing)?;
        if cursor != b"0" {
            return Ok(None);
        }
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| definition.template().parse_key(key).is_some());
        Ok(Some(keys))
    }

    /// How many rows the table's `keys` have, of which some are `known`.
    async fn rows_of(&self, definition: &TableDefinition, keys: u64, known: &[Vec<u8>]) -> Result<u64> {
        if !definition.format().is_collection() || known.is_empty() {
            return Ok(keys);
        }
        let doing = Doing::Reading(definition.name());
        let command = size_command(definition.format());
        let mut pipeline = Pipeline::new();
        for key in known {
            pipeline.cmd(command).arg(key.as_slice());
        }
        let values = self.connections.send(&pipeline).await;
        let values = values.map_err(|error| translate(error, doing))?;
        let mut elements = 0_u64;
        for value in values {
            match size_of(value, command, doing) {
                Err(error) if error.kind() == ErrorKind::NotPermitted => return Ok(keys),
                size => elements = elements.saturating_add(size?),
            }
        }
        let known = u64::try_from(known.len()).unwrap_or(u64::MAX);
        Ok(keys.saturating_mul(elements).div_ceil(known))
    }
}

#[async_trait]
impl KvBackend for RedisBackend {
    async fn fetch(
        &self,
        definition: &TableDefinition,
        keys: &[Vec<u8>],
        fields: &[Field],
        cx: &ReadContext,
    ) -> Result<Vec<Option<FieldValues>>> {
        RowFetch::new(&self.connections, definition, fields, &cx.metrics)
            .rows(keys)
            .await
    }

    fn elements(
        self: Arc<Self>,
        definition: &Arc<TableDefinition>,
        keys: Arc<Vec<Vec<u8>>>,
        fields: &[Field],
        cx: &ReadContext,
    ) -> ElementScan {
        Elements::new(self, definition, keys, fields, cx).pages()
    }

    fn scan(self: Arc<Self>, definition: &TableDefinition, prefix: &[u8], cx: &ReadContext) -> KeyScan {
        Walk::new(self, definition, prefix, &cx.metrics).pages()
    }

    async fn size(&self, definition: &TableDefinition) -> Result<KvSize> {
        let doing = Doing::Reading(definition.name());
        let walked = match self.send(&dbsize_command(), doing).await {
            Ok(values) => keyspace_size(&values, doing)?,
            Err(error) if error.kind() == ErrorKind::NotPermitted => return Ok(KvSize::default()),
            Err(error) => return Err(error),
        };
        let at_once = match usize::try_from(walked) {
            Ok(keys) if keys <= SCAN_COUNT => self.keys_at_once(definition).await?,
            _ => None,
        };
        let (keys, known) = match at_once {
            Some(known) => (u64::try_from(known.len()).unwrap_or(walked), known),
            None => match self.sample(definition).await? {
                // The estimate is then larger than it could be, which only costs speed.
                None => (walked, Vec::new()),
                Some(known) => {
                    let share = u64::try_from(known.len()).unwrap_or(SAMPLE_KEYS);
                    // None of the sample: there may still be some.
                    (walked.saturating_mul(share.max(1)).div_ceil(SAMPLE_KEYS), known)
                }
            },
        };
        Ok(KvSize {
            keys: Some(keys),
            rows: Some(self.rows_of(definition, keys, &known).await?),
            walked: Some(walked),
        })
    }

    fn scan_keys_max(&self) -> usize {
        self.scan_keys_max
    }

    fn value_filter_reason(&self) -> &'static str {
        "redis has no index on values"
    }

    fn fetch_text(&self, definition: &TableDefinition, fields: &[Field]) -> String {
        let key = definition.template().text();
        let named: Vec<String> = fields
            .iter()
            .filter(|field| matches!(field, Field::Named(_)))
            .map(ToString::to_string)
            .collect();
        let format = definition.format();
        let read = match format {
            ValueFormat::Hash if named.is_empty() => format!("HLEN {key}"),
            ValueFormat::Hash => format!("HMGET {key} {}", named.join(", ")),
            ValueFormat::Json | ValueFormat::String if fields.contains(&Field::Value) => {
                format!("MGET {key}")
            }
            ValueFormat::Json | ValueFormat::String => format!("TYPE {key}"),
            _ if named.is_empty() => format!("{} {key}", size_command(format)),
            _ => whole_text(format, key),
        };
        if fields.contains(&Field::Ttl) {
            format!("{read}, TTL {key}")
        } else {
            read
        }
    }

    fn scan_text(&self, prefix: &[u8], size: KvSize) -> String {
        let pattern = printable(prefix);
        match size.walked {
            Some(keys) => format!("SCAN {pattern}* over {keys} keys"),
            None => format!("SCAN {pattern}*"),
        }
    }
}

/// The values, unless one of them is an error.
pub(crate) fn all_right(values: Vec<Value>, doing: Doing<'_>) -> Result<Vec<Value>> {
    let values = values.into_iter().map(|value| match value {
        Value::ServerError(error) => Err(translate_answer(error, doing)),
        value => Ok(value),
    });
    values.collect()
}

pub(crate) fn dbsize_command() -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("DBSIZE");
    pipeline
}

pub(crate) fn keyspace_size(values: &[Value], doing: Doing<'_>) -> Result<u64> {
    match values {
        [Value::Int(keys)] => u64::try_from(*keys).map_err(|_| unexpected_answer("DBSIZE", doing)),
        _ => Err(unexpected_answer("DBSIZE", doing)),
    }
}
