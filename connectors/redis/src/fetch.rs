//! Rows by key: `HMGET` of hashes, `MGET` of strings, and what their answers mean.
//!
//! A key is read at one moment, two keys are not. Where one command does not tell a row from none, or does not give all
//! that is asked, the commands of a key stand in one transaction.

use causeway_base_kv::{Field, FieldValues, TableDefinition, ValueFormat};
use causeway_spi::{ConnectorError, ErrorKind, ReadMetrics, Result};
use redis::{Pipeline, Value};

use crate::connections::Connections;
use crate::error::{Doing, translate, translate_answer, unexpected_answer};
use crate::replies::{reply_bytes, transaction_bytes};

/// Keys read in one transaction: the server does nothing else meanwhile.
const TRANSACTION_KEYS_MAX: usize = 250;
/// The code of the answer to a command on a key of another type.
const WRONG_TYPE: &str = "WRONGTYPE";

/// One read of rows of a table.
pub(crate) struct RowFetch<'a> {
    connections: &'a Connections,
    doing: Doing<'a>,
    metrics: &'a ReadMetrics,
    format: ValueFormat,
    /// The fields of a hash.
    names: Vec<&'a str>,
    /// Whether the value of a string is wanted.
    value: bool,
    /// Where among the fields the time to live is wanted.
    ttl_at: Option<usize>,
}

impl<'a> RowFetch<'a> {
    pub(crate) fn new(
        connections: &'a Connections,
        definition: &'a TableDefinition,
        fields: &'a [Field],
        metrics: &'a ReadMetrics,
    ) -> Self {
        let names = fields.iter().filter_map(|field| match field {
            Field::Named(name) => Some(name.as_str()),
            Field::Value | Field::Ttl => None,
        });
        Self {
            connections,
            doing: Doing::Reading(definition.name()),
            metrics,
            format: definition.format(),
            names: names.collect(),
            value: fields.contains(&Field::Value),
            ttl_at: fields.iter().position(|field| *field == Field::Ttl),
        }
    }

    /// The rows at `keys`, in their order; `None` where there is none.
    pub(crate) async fn rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<FieldValues>>> {
        if self.ttl_at.is_some() {
            let keys: Vec<&Vec<u8>> = keys.iter().collect();
            return self.in_transactions(&keys).await;
        }
        match self.format {
            ValueFormat::Hash if self.names.is_empty() => self.existing_hashes(keys).await,
            ValueFormat::Hash => self.hashes(keys).await,
            ValueFormat::Json | ValueFormat::String if self.value => self.strings(keys).await,
            ValueFormat::Json | ValueFormat::String => self.existing_strings(keys).await,
            ValueFormat::Set | ValueFormat::Zset | ValueFormat::List => Err(ConnectorError::new(
                ErrorKind::Internal,
                "the rows of a collection are read by its elements",
            )),
        }
    }

    /// Sends `pipeline` and gives one answer per command.
    async fn answers(&self, pipeline: &Pipeline, commands: usize) -> Result<Vec<Value>> {
        self.metrics.requests.add(commands);
        if pipeline.is_transaction() {
            // MULTI and EXEC.
            self.metrics.requests.add(2);
        }
        let values = self.connections.send(pipeline).await;
        let values = values.map_err(|error| translate(error, self.doing))?;
        self.metrics.bytes.add(reply_bytes(&values));
        if pipeline.is_transaction() {
            self.metrics.bytes.add(transaction_bytes(commands));
        }
        if values.len() == commands {
            return Ok(values);
        }
        let command = if pipeline.is_transaction() {
            "EXEC"
        } else {
            "a pipeline"
        };
        Err(unexpected_answer(command, self.doing))
    }

    /// Whether each key holds a hash.
    async fn existing_hashes(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<FieldValues>>> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("HLEN").arg(key.as_slice());
        }
        let values = self.answers(&pipeline, keys.len()).await?;
        let rows = values
            .into_iter()
            .map(|value| Ok(self.is_hash(value)?.then(FieldValues::new)));
        rows.collect()
    }

    async fn hashes(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<FieldValues>>> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("HMGET").arg(key.as_slice()).arg(&self.names);
        }
        let values = self.answers(&pipeline, keys.len()).await?;
        let mut rows = Vec::with_capacity(keys.len());
        let mut unsure = Vec::new();
        for (position, value) in values.into_iter().enumerate() {
            let row = self.named_fields(value)?;
            // `HMGET` answers with nils for a hash without these fields and for no key at all. Asked for the size alone
            // afterwards, a hash made in between would be a row of NULLs that never was.
            if row.as_ref().is_some_and(|row| row.iter().all(Option::is_none)) {
                unsure.push(position);
            }
            rows.push(row);
        }
        let asked: Vec<_> = unsure.iter().filter_map(|&position| keys.get(position)).collect();
        let confirmed = self.in_transactions(&asked).await?;
        for (position, row) in unsure.into_iter().zip(confirmed) {
            rows[position] = row;
        }
        Ok(rows)
    }

    /// A key that is not there, or holds something else, has no value for `MGET`.
    async fn strings(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<FieldValues>>> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("MGET").arg(keys);
        let values = self.answers(&pipeline, 1).await?;
        let values = match values.into_iter().next() {
            Some(Value::Array(values)) if values.len() == keys.len() => values,
            Some(Value::ServerError(error)) => return Err(translate_answer(error, self.doing)),
            _ => return Err(unexpected_answer("MGET", self.doing)),
        };
        let rows = values
            .into_iter()
            .map(|value| Ok(self.bytes(value, "MGET")?.map(|value| vec![Some(value)])));
        rows.collect()
    }

    /// Whether each key holds a string.
    async fn existing_strings(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<FieldValues>>> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("TYPE").arg(key.as_slice());
        }
        let values = self.answers(&pipeline, keys.len()).await?;
        let rows = values
            .into_iter()
            .map(|value| Ok(self.is_string(value)?.then(FieldValues::new)));
        rows.collect()
    }

    /// Everything that is asked of a key, key by key at one moment.
    async fn in_transactions(&self, keys: &[&Vec<u8>]) -> Result<Vec<Option<FieldValues>>> {
        let mut rows = Vec::with_capacity(keys.len());
        for keys in keys.chunks(TRANSACTION_KEYS_MAX) {
            let mut pipeline = Pipeline::with_capacity(keys.len() * 3);
            pipeline.atomic();
            for key in keys {
                self.add_commands(&mut pipeline, key);
            }
            let commands = keys.len() * self.commands_of_key();
            let mut answers = self.answers(&pipeline, commands).await?.into_iter();
            for _ in keys {
                rows.push(self.row(&mut answers)?);
            }
        }
        Ok(rows)
    }

    fn commands_of_key(&self) -> usize {
        let names = self.format == ValueFormat::Hash && !self.names.is_empty();
        1 + usize::from(names) + usize::from(self.ttl_at.is_some())
    }

    fn add_commands(&self, pipeline: &mut Pipeline, key: &[u8]) {
        match self.format {
            ValueFormat::Hash => {
                pipeline.cmd("HLEN").arg(key);
                if !self.names.is_empty() {
                    pipeline.cmd("HMGET").arg(key).arg(&self.names);
                }
            }
            _ if self.value => {
                pipeline.cmd("GET").arg(key);
            }
            _ => {
                pipeline.cmd("TYPE").arg(key);
            }
        }
        if self.ttl_at.is_some() {
            pipeline.cmd("TTL").arg(key);
        }
    }

    /// The row that the answers to [`RowFetch::add_commands`] tell.
    fn row(&self, answers: &mut impl Iterator<Item = Value>) -> Result<Option<FieldValues>> {
        let mut next = || answers.next().unwrap_or_default();
        let mut row = match self.format {
            ValueFormat::Hash => {
                let exists = self.is_hash(next())?;
                let fields = match self.names.is_empty() {
                    true => Some(FieldValues::new()),
                    false => self.named_fields(next())?,
                };
                fields.filter(|_| exists)
            }
            _ if self.value => match next() {
                Value::ServerError(error) if error.code() == WRONG_TYPE => None,
                value => self.bytes(value, "GET")?.map(|value| vec![Some(value)]),
            },
            _ => self.is_string(next())?.then(FieldValues::new),
        };
        if let Some(ttl_at) = self.ttl_at {
            let ttl = seconds_left(next(), self.doing)?;
            if let Some(row) = &mut row {
                row.insert(ttl_at.min(row.len()), ttl);
            }
        }
        Ok(row)
    }

    /// What `HMGET` answered; `None` for a key of another type.
    fn named_fields(&self, value: Value) -> Result<Option<FieldValues>> {
        let values = match value {
            Value::Array(values) => values,
            Value::ServerError(error) if error.code() == WRONG_TYPE => return Ok(None),
            Value::ServerError(error) => return Err(translate_answer(error, self.doing)),
            _ => return Err(unexpected_answer("HMGET", self.doing)),
        };
        if values.len() != self.names.len() {
            return Err(unexpected_answer("HMGET", self.doing));
        }
        let fields = values.into_iter().map(|value| self.bytes(value, "HMGET"));
        fields.collect::<Result<FieldValues>>().map(Some)
    }

    fn bytes(&self, value: Value, command: &str) -> Result<Option<Vec<u8>>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::ServerError(error) => Err(translate_answer(error, self.doing)),
            _ => Err(unexpected_answer(command, self.doing)),
        }
    }

    /// Whether `HLEN` answered for a hash: Redis keeps no empty ones.
    fn is_hash(&self, value: Value) -> Result<bool> {
        size_of(value, "HLEN", self.doing).map(|size| size > 0)
    }

    fn is_string(&self, value: Value) -> Result<bool> {
        match value {
            Value::SimpleString(name) => Ok(name == "string"),
            Value::ServerError(error) => Err(translate_answer(error, self.doing)),
            _ => Err(unexpected_answer("TYPE", self.doing)),
        }
    }
}

/// The elements of what a key holds, as `HLEN`, `SCARD` and their like answer; 0 for a key of another type.
pub(crate) fn size_of(value: Value, command: &str, doing: Doing<'_>) -> Result<u64> {
    match value {
        Value::Int(size) => u64::try_from(size).map_err(|_| unexpected_answer(command, doing)),
        Value::ServerError(error) if error.code() == WRONG_TYPE => Ok(0),
        Value::ServerError(error) => Err(translate_answer(error, doing)),
        _ => Err(unexpected_answer(command, doing)),
    }
}

/// The seconds that `TTL` answered, as digits; `None` for a key that does not expire.
pub(crate) fn seconds_left(value: Value, doing: Doing<'_>) -> Result<Option<Vec<u8>>> {
    match value {
        Value::Int(seconds) if seconds < 0 => Ok(None),
        Value::Int(seconds) => Ok(Some(seconds.to_string().into_bytes())),
        Value::ServerError(error) => Err(translate_answer(error, doing)),
        _ => Err(unexpected_answer("TTL", doing)),
    }
}

/// Whether an answer says that the key holds another type.
pub(crate) fn is_wrong_type(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == WRONG_TYPE)
}
