//! Sets, sorted sets and lists: a row for each element.
//!
//! The collections of a group are sized first. Small ones are read whole, many in one pipeline, each at one moment;
//! a large one is read on its own, page by page: `SSCAN`, `ZSCAN`, or `LRANGE` by position. What a scan repeats is
//! dropped, for which the elements of that one collection are remembered.

use std::sync::Arc;

use causeway_base_kv::{
    ELEMENT, ElementScan, Field, FieldValues, POSITION, SCORE, Seen, TableDefinition, ValueFormat, printable,
};
use causeway_spi::{ConnectorError, ErrorKind, ReadContext, Result};
use futures::stream::{self, StreamExt};
use redis::{Cmd, Pipeline, Value};

use crate::backend::{RedisBackend, all_right};
use crate::connections::Session;
use crate::error::{Doing, translate, translate_answer, unexpected_answer};
use crate::fetch::{is_wrong_type, seconds_left, size_of};
use crate::replies::reply_bytes;
use crate::walk::scan_page;

/// Most elements of one page.
const PAGE_ELEMENTS_MAX: usize = 1000;
/// Most rows of one page of which nothing but their number is asked.
const PAGE_COUNTED_MAX: usize = 8192;
/// Elements of the first page, while the size of an element is unknown.
const FIRST_PAGE_ELEMENTS: usize = 128;

/// The rows of one page.
type Page = Vec<(usize, FieldValues)>;

/// A collection as it was sized.
struct Sized {
    elements: u64,
    ttl: Option<Vec<u8>>,
}

/// A large collection under way.
struct Large {
    position: usize,
    session: Option<Session>,
    /// The cursor of a scan.
    cursor: Vec<u8>,
    seen: Seen,
    /// The next position of a list.
    next: u64,
}

/// One read of the collections of a group of keys.
pub(crate) struct Elements {
    backend: Arc<RedisBackend>,
    definition: Arc<TableDefinition>,
    keys: Arc<Vec<Vec<u8>>>,
    fields: Vec<Field>,
    cx: ReadContext,
    /// Of each key; empty before they were asked for.
    sizes: Vec<Sized>,
    /// The first key of which nothing was read.
    next: usize,
    /// Rows given of the next key, where only their number is asked.
    counted: u64,
    large: Option<Large>,
    /// Bytes per element of the last page; 0 before the first.
    element_bytes: usize,
}

impl Elements {
    pub(crate) fn new(
        backend: Arc<RedisBackend>,
        definition: &Arc<TableDefinition>,
        keys: Arc<Vec<Vec<u8>>>,
        fields: &[Field],
        cx: &ReadContext,
    ) -> Self {
        Self {
            backend,
            definition: Arc::clone(definition),
            keys,
            fields: fields.to_vec(),
            cx: cx.clone(),
            sizes: Vec::new(),
            next: 0,
            counted: 0,
            large: None,
            element_bytes: 0,
        }
    }

    pub(crate) fn pages(self) -> ElementScan {
        stream::try_unfold(self, |mut elements| async move {
            let page = elements.next_page().await?;
            Ok(page.map(|page| (page, elements)))
        })
        .boxed()
    }

    async fn next_page(&mut self) -> Result<Option<Page>> {
        if self.sizes.is_empty() && !self.keys.is_empty() {
            self.sizes = self.ask_sizes().await?;
        }
        if !self.needs_elements() {
            return Ok(self.page_of_counts());
        }
        if let Some(large) = self.large.take() {
            return self.page_of_large(large).await.map(Some);
        }
        let Some(size) = self.sizes.get(self.next) else {
            return Ok(None);
        };
        let page_elements = self.page_elements();
        if size.elements > page_elements {
            self.check_size(self.next, size.elements)?;
            let large = Large {
                position: self.next,
                session: None,
                cursor: b"0".to_vec(),
                seen: Seen::default(),
                next: 0,
            };
            self.next += 1;
            return self.page_of_large(large).await.map(Some);
        }
        let start = self.next;
        let mut elements = 0;
        while let Some(size) = self.sizes.get(self.next)
            && (self.next == start || elements + size.elements <= page_elements)
        {
            elements += size.elements;
            self.next += 1;
        }
        self.page_of_small(start..self.next).await.map(Some)
    }

    /// Whether anything is asked that the size does not tell.
    fn needs_elements(&self) -> bool {
        self.fields.iter().any(|field| *field != Field::Ttl)
    }

    /// How many elements make about one batch of bytes.
    fn page_elements(&self) -> u64 {
        let elements = match self.element_bytes {
            0 => FIRST_PAGE_ELEMENTS,
            bytes => (self.cx.batch_bytes / bytes).clamp(1, PAGE_ELEMENTS_MAX),
        };
        u64::try_from(elements).unwrap_or(1)
    }

    async fn ask_sizes(&self) -> Result<Vec<Sized>> {
        let doing = Doing::Reading(self.definition.name());
        let command = size_command(self.definition.format());
        let with_ttl = self.fields.contains(&Field::Ttl);
        let mut pipeline = Pipeline::with_capacity(self.keys.len() * 2);
        for key in self.keys.iter() {
            pipeline.cmd(command).arg(key.as_slice());
            if with_ttl {
                pipeline.cmd("TTL").arg(key.as_slice());
            }
        }
        self.cx.metrics.requests.add(pipeline.len());
        let answers = self.backend.connections().send(&pipeline).await;
        let answers = answers.map_err(|error| translate(error, doing))?;
        self.cx.metrics.bytes.add(reply_bytes(&answers));
        let mut answers = answers.into_iter();
        let mut sizes = Vec::with_capacity(self.keys.len());
        for _ in self.keys.iter() {
            let elements = size_of(answers.next().unwrap_or_default(), command, doing)?;
            let ttl = match with_ttl {
                true => seconds_left(answers.next().unwrap_or_default(), doing)?,
                false => None,
            };
            sizes.push(Sized { elements, ttl });
        }
        Ok(sizes)
    }

    /// Rows of which nothing is asked but how many there are; `None` when there are no more.
    fn page_of_counts(&mut self) -> Option<Page> {
        let mut page = Page::new();
        while let Some(size) = self.sizes.get(self.next)
            && page.len() < PAGE_COUNTED_MAX
        {
            if self.counted >= size.elements {
                self.next += 1;
                self.counted = 0;
                continue;
            }
            let row: FieldValues = self.fields.iter().map(|_| size.ttl.clone()).collect();
            page.push((self.next, row));
            self.counted += 1;
        }
        (!page.is_empty()).then_some(page)
    }

    /// All elements of small collections.
    async fn page_of_small(&mut self, range: std::ops::Range<usize>) -> Result<Page> {
        let doing = Doing::Reading(self.definition.name());
        let asked: Vec<usize> = range
            .filter(|&position| self.sizes[position].elements > 0)
            .collect();
        if asked.is_empty() {
            return Ok(Page::new());
        }
        let format = self.definition.format();
        let mut pipeline = Pipeline::with_capacity(asked.len());
        for &position in &asked {
            pipeline.add_command(whole_command(format, &self.keys[position]));
        }
        self.cx.metrics.requests.add(asked.len());
        let answers = self.backend.connections().send(&pipeline).await;
        let answers = answers.map_err(|error| translate(error, doing))?;
        self.cx.metrics.bytes.add(reply_bytes(&answers));
        if answers.len() != asked.len() {
            return Err(unexpected_answer("a pipeline", doing));
        }
        let mut page = Page::new();
        let mut bytes = 0;
        for (&position, answer) in asked.iter().zip(answers) {
            let found = found(answer, doing)?;
            bytes += found.iter().map(Vec::len).sum::<usize>();
            self.add_rows(&mut page, position, found, 0);
        }
        self.measure(bytes, page.len());
        Ok(page)
    }

    /// The next page of a large collection, which stays under way while it has more.
    async fn page_of_large(&mut self, mut large: Large) -> Result<Page> {
        let doing = Doing::Reading(self.definition.name());
        let key = &self.keys[large.position];
        let format = self.definition.format();
        let size = self.page_elements();
        let command = match format {
            ValueFormat::List => range_command(key, large.next, large.next + size - 1),
            _ => element_scan_command(format, key, &large.cursor, size),
        };
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command);
        self.cx.metrics.requests.add(1);
        let connections = self.backend.connections();
        let answer = match &large.session {
            Some(session) => connections.send_over(session, &pipeline).await,
            None => connections.begin(&pipeline).await.map(|(values, session)| {
                large.session = Some(session);
                values
            }),
        };
        let answer = answer.map_err(|error| translate(error, doing))?;
        self.cx.metrics.bytes.add(reply_bytes(&answer));
        let mut page = Page::new();
        if answer.first().is_some_and(is_wrong_type) {
            // It became another type meanwhile: no more rows.
            return Ok(page);
        }
        let (found, has_more) = match format {
            ValueFormat::List => {
                let found = found(answer.into_iter().next().unwrap_or_default(), doing)?;
                let next = large.next + u64::try_from(found.len()).unwrap_or(u64::MAX);
                // No further than it reached at first: a list that grows as fast as it is read would never end.
                let has_more = next < self.sizes[large.position].elements && !found.is_empty();
                (found, has_more)
            }
            _ => {
                let (cursor, found) = scan_page(scan_name(format), all_right(answer, doing)?, doing)?;
                large.cursor = cursor;
                (self.unseen(found, &mut large)?, large.cursor != b"0")
            }
        };
        let bytes = found.iter().map(Vec::len).sum();
        let first = large.next;
        large.next += u64::try_from(found.len()).unwrap_or(u64::MAX);
        self.add_rows(&mut page, large.position, found, first);
        self.measure(bytes, page.len());
        if has_more {
            self.large = Some(large);
        }
        Ok(page)
    }

    /// The elements, each followed by its score where it has one, that did not come before.
    fn unseen(&self, found: Vec<Vec<u8>>, large: &mut Large) -> Result<Vec<Vec<u8>>> {
        let width = answer_width(self.definition.format());
        let mut unseen = Vec::with_capacity(found.len());
        let mut found = found.into_iter();
        while let Some(element) = found.next() {
            let is_new = large.seen.insert(&element);
            let rest = found.by_ref().take(width - 1);
            if is_new {
                unseen.push(element);
                unseen.extend(rest);
            } else {
                rest.for_each(drop);
            }
        }
        // It may have grown beyond the limit since it was sized.
        let seen = u64::try_from(large.seen.len()).unwrap_or(u64::MAX);
        self.check_size(large.position, seen)?;
        Ok(unseen)
    }

    /// What a scan keeps in memory is bounded. The positions of a list are not kept.
    fn check_size(&self, position: usize, elements: u64) -> Result<()> {
        let format = self.definition.format();
        let elements_max = self.backend.keys_max();
        if format == ValueFormat::List || usize::try_from(elements).is_ok_and(|size| size <= elements_max) {
            return Ok(());
        }
        Err(ConnectorError::new(
            ErrorKind::LimitExceeded,
            format!(
                "cannot read key \"{}\" of table {}: the {format} holds {elements} elements, more than scan_keys_max",
                printable(&self.keys[position]),
                self.definition.name()
            ),
        )
        .hint("Read other keys, or raise scan_keys_max."))
    }

    fn add_rows(&self, page: &mut Page, position: usize, found: Vec<Vec<u8>>, first: u64) {
        let width = answer_width(self.definition.format());
        let mut found = found.into_iter();
        for at in first.. {
            let Some(element) = found.next() else { break };
            let score = if width > 1 { found.next() } else { None };
            let fields = self.fields.iter().map(|field| match field {
                Field::Named(name) if name == ELEMENT => Some(element.clone()),
                Field::Named(name) if name == SCORE => score.clone(),
                Field::Named(name) if name == POSITION => Some(at.to_string().into_bytes()),
                Field::Ttl => self.sizes[position].ttl.clone(),
                Field::Named(_) | Field::Value => None,
            });
            page.push((position, fields.collect()));
        }
    }

    fn measure(&mut self, bytes: usize, elements: usize) {
        if let Some(element_bytes) = bytes.checked_div(elements) {
            self.element_bytes = element_bytes.max(1);
        }
    }
}

/// The command that sizes a collection.
pub(crate) fn size_command(format: ValueFormat) -> &'static str {
    match format {
        ValueFormat::Zset => "ZCARD",
        ValueFormat::List => "LLEN",
        _ => "SCARD",
    }
}

/// The command that reads a whole collection, as EXPLAIN shows it for the key `key`.
pub(crate) fn whole_text(format: ValueFormat, key: &str) -> String {
    match format {
        ValueFormat::Zset => format!("ZRANGE {key} 0 -1 WITHSCORES"),
        ValueFormat::List => format!("LRANGE {key} 0 -1"),
        _ => format!("SMEMBERS {key}"),
    }
}

fn whole_command(format: ValueFormat, key: &[u8]) -> Cmd {
    match format {
        ValueFormat::Zset => {
            let mut command = redis::cmd("ZRANGE");
            command.arg(key).arg(0).arg(-1).arg("WITHSCORES");
            command
        }
        ValueFormat::List => {
            let mut command = redis::cmd("LRANGE");
            command.arg(key).arg(0).arg(-1);
            command
        }
        _ => {
            let mut command = redis::cmd("SMEMBERS");
            command.arg(key);
            command
        }
    }
}

fn range_command(key: &[u8], first: u64, last: u64) -> Cmd {
    let mut command = redis::cmd("LRANGE");
    command.arg(key).arg(first).arg(last);
    command
}

fn scan_name(format: ValueFormat) -> &'static str {
    if format == ValueFormat::Zset {
        "ZSCAN"
    } else {
        "SSCAN"
    }
}

fn element_scan_command(format: ValueFormat, key: &[u8], cursor: &[u8], count: u64) -> Cmd {
    let mut command = redis::cmd(scan_name(format));
    command.arg(key).arg(cursor).arg("COUNT").arg(count);
    command
}

/// How many values an answer holds for each element.
fn answer_width(format: ValueFormat) -> usize {
    if format == ValueFormat::Zset { 2 } else { 1 }
}

/// The values of an answer; none of a key that holds another type by now.
fn found(answer: Value, doing: Doing<'_>) -> Result<Vec<Vec<u8>>> {
    let values = match answer {
        answer if is_wrong_type(&answer) => return Ok(Vec::new()),
        Value::Array(values) => values,
        Value::ServerError(error) => return Err(translate_answer(error, doing)),
        _ => return Err(unexpected_answer("a read of elements", doing)),
    };
    let values = values.into_iter().map(|value| match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(unexpected_answer("a read of elements", doing)),
    });
    values.collect()
}
