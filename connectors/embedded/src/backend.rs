//! The driver of the tables that the configuration describes: keys that follow a template, in the order of their bytes.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_base_kv::{
    Field, FieldValues, KeyRange, KeyScan, KvBackend, KvSize, OrderedBackend, TableDefinition, printable,
};
use causeway_spi::{ReadContext, Result};
use futures::StreamExt;
use futures::stream;
use redb::TableHandle;

use crate::format::KEYS;
use crate::moment::Moment;
use crate::store::Catalog;
use crate::table::NO_INDEX;

/// Most keys of one page.
const PAGE_KEYS_MAX: usize = 4096;
/// A page is closed at about this many bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Keys that are counted for the size of a table; of larger ones it is a guess.
const COUNTED_KEYS_MAX: u64 = 20_000;

/// The keys of a catalog at one moment.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedBackend {
    catalog: Catalog,
    moment: Moment,
}

impl EmbeddedBackend {
    pub(crate) fn new(catalog: Catalog, moment: Moment) -> Self {
        Self { catalog, moment }
    }

    /// The keys of the next page of `range`, which then begins after them; whether these were all.
    async fn page(&self, mut range: KeyRange) -> Result<(Vec<Vec<u8>>, Option<KeyRange>)> {
        let read = self.moment.read(&self.catalog, move |view| {
            let Some(keys) = view.open(KEYS)? else {
                return Ok((Vec::new(), None));
            };
            let (mut page, mut bytes) = (Vec::new(), 0);
            for entry in keys.range(&range.low, range.high.as_deref())? {
                if page.len() == PAGE_KEYS_MAX || bytes >= PAGE_BYTES_MAX {
                    return Ok((page, Some(range)));
                }
                let key = entry?.0.value().to_vec();
                bytes += key.len();
                range.low.clone_from(&key);
                range.low.push(0);
                page.push(key);
            }
            Ok((page, None))
        });
        read.await
    }
}

#[async_trait]
impl KvBackend for EmbeddedBackend {
    async fn fetch(
        &self,
        _definition: &TableDefinition,
        keys: &[Vec<u8>],
        fields: &[Field],
        cx: &ReadContext,
    ) -> Result<Vec<Option<FieldValues>>> {
        let (keys, fields) = (keys.to_vec(), fields.to_vec());
        let values = self.moment.read(&self.catalog, move |view| {
            let Some(stored) = view.open(KEYS)? else {
                return Ok(vec![None; keys.len()]);
            };
            let mut rows: Vec<Option<FieldValues>> = Vec::with_capacity(keys.len());
            for key in &keys {
                let value = stored.get(key.as_slice())?;
                let row = value.map(|value| {
                    let field = |field: &Field| (*field == Field::Value).then(|| value.value().to_vec());
                    fields.iter().map(field).collect()
                });
                rows.push(row);
            }
            Ok(rows)
        });
        let rows = values.await?;
        cx.metrics.requests.add(1);
        let bytes = rows.iter().flatten().flatten().flatten().map(Vec::len).sum();
        cx.metrics.bytes.add(bytes);
        Ok(rows)
    }

    fn scan(self: Arc<Self>, definition: &TableDefinition, prefix: &[u8], cx: &ReadContext) -> KeyScan {
        self.scan_range(definition, &KeyRange::prefix(prefix), cx)
    }

    async fn size(&self, definition: &TableDefinition) -> Result<KvSize> {
        // Who asks for the size is about to read.
        self.moment.note_scan(KEYS.name());
        let template = definition.template().clone();
        let rows = self.moment.read(&self.catalog, move |view| {
            let Some(keys) = view.open(KEYS)? else {
                return Ok(0);
            };
            let all = keys.len()?;
            let range = KeyRange::prefix(template.prefix());
            let (mut seen, mut rows) = (0, 0_u64);
            for entry in keys.range(&range.low, range.high.as_deref())? {
                // So many have not been counted: as many of them may be rows as of those that have.
                if seen == COUNTED_KEYS_MAX {
                    return Ok(all.saturating_mul(rows.max(1)).div_ceil(seen));
                }
                seen += 1;
                rows += u64::from(template.parse_key(entry?.0.value()).is_some());
            }
            Ok(rows)
        });
        let rows = rows.await?;
        Ok(KvSize {
            keys: Some(rows),
            rows: Some(rows),
            walked: Some(rows),
        })
    }

    fn scan_keys_max(&self) -> usize {
        usize::MAX
    }

    fn value_filter_reason(&self) -> &'static str {
        NO_INDEX
    }

    fn fetch_text(&self, definition: &TableDefinition, _fields: &[Field]) -> String {
        format!("values at {}", definition.template().text())
    }

    fn scan_text(&self, prefix: &[u8], _size: KvSize) -> String {
        format!("all keys {}*", printable(prefix))
    }

    fn snapshot(self: Arc<Self>) -> Arc<Self> {
        Arc::new(Self::new(self.catalog.clone(), self.moment.held()))
    }

    fn ordered(self: Arc<Self>) -> Option<Arc<dyn OrderedBackend>> {
        Some(self)
    }
}

impl OrderedBackend for EmbeddedBackend {
    fn scan_range(
        self: Arc<Self>,
        _definition: &TableDefinition,
        range: &KeyRange,
        cx: &ReadContext,
    ) -> KeyScan {
        let metrics = cx.metrics.clone();
        stream::try_unfold(Some(range.clone()), move |range| {
            let (backend, metrics) = (Arc::clone(&self), metrics.clone());
            async move {
                let Some(range) = range else { return Ok(None) };
                let (page, rest) = backend.page(range).await?;
                metrics.requests.add(1);
                metrics.bytes.add(page.iter().map(Vec::len).sum());
                Ok(Some((page, rest)))
            }
        })
        .boxed()
    }

    fn ranges_text(&self, ranges: &[KeyRange]) -> String {
        match ranges {
            [_] => "1 range of keys".to_owned(),
            ranges => format!("{} ranges of keys", ranges.len()),
        }
    }
}
