//! A catalog over any object store: finds its tables and loads them, once for as long as their files stay the same.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use causeway_spi::{Connector, ConnectorError, ErrorKind, Result, Table, TableName};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use tokio::sync::Mutex;

use crate::cache::BoundedCache;
use crate::files::FileStore;
use crate::layout::{Layout, TablePlace, TableRoot, list_folder, refuse_inside_table_format};
use crate::listing::Listing;
use crate::options::{DeclaredTable, DeclaredTables};
use crate::table::{FilesTable, TableCore};

/// How long listings are believed by default.
pub const CACHE_TTL_DEFAULT: Duration = Duration::from_secs(60);
/// A name that is not there makes the layout be listed again if it is older than this.
const LAYOUT_RETRY: Duration = Duration::from_secs(2);
/// The bit of a folder's mode with which every user may write.
const WRITABLE_BY_EVERYBODY: u32 = 0o002;
/// Tables kept loaded.
const TABLES_MAX: usize = 10_000;

/// What the options of a source say about its files.
#[derive(Debug, Clone)]
pub struct FilesSettings {
    /// How long listings are believed; older ones are made again.
    pub cache_ttl: Duration,
    /// The tables that are declared.
    pub tables: DeclaredTables,
    /// The local folder that the store is, if it is one: a missing folder is an error, since its listing would be empty,
    /// and links must not lead out of it.
    pub local_root: Option<PathBuf>,
    /// Most bytes of files that are kept once they have been read; 0 keeps none.
    pub kept_bytes: usize,
}

impl Default for FilesSettings {
    fn default() -> Self {
        Self {
            cache_ttl: CACHE_TTL_DEFAULT,
            tables: DeclaredTables::default(),
            local_root: None,
            kept_bytes: 0,
        }
    }
}

/// A catalog of folders of files.
#[derive(Debug)]
pub struct FilesConnector {
    kind: &'static str,
    files: Arc<FileStore>,
    /// What the store's login has to be allowed to do.
    needs: Option<String>,
    declared: DeclaredTables,
    layout: Mutex<Option<(Instant, Arc<Layout>)>>,
    tables: BoundedCache<TableName, (Arc<Listing>, FilesTable)>,
}

impl FilesConnector {
    /// A catalog named `catalog` of kind `kind` over the part of `store` below `prefix`. Does not reach the store.
    pub fn new(
        catalog: &str,
        kind: &'static str,
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        settings: FilesSettings,
    ) -> Self {
        // Below this line every path is relative to the catalog's root, so that no message can show another.
        let store: Arc<dyn ObjectStore> = match prefix.as_ref() {
            "" => store,
            _ => Arc::new(PrefixStore::new(store, prefix)),
        };
        let FilesSettings {
            cache_ttl,
            tables,
            local_root,
            kept_bytes,
        } = settings;
        Self {
            kind,
            files: Arc::new(FileStore::new(catalog, store, cache_ttl, local_root, kept_bytes)),
            declared: tables,
            needs: None,
            layout: Mutex::new(None),
            tables: BoundedCache::new(TABLES_MAX),
        }
    }

    /// Says what the store's login has to be allowed to do.
    #[must_use]
    pub fn with_needs(mut self, needs: String) -> Self {
        self.needs = Some(needs);
        self
    }

    async fn check_root(&self) -> Result<()> {
        let Some(root) = self.files.local_root() else {
            return Ok(());
        };
        let problem = match tokio::fs::metadata(root).await {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => "is not a folder".to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            Err(error) => format!("could not be opened: {}", error.kind()),
        };
        let message = format!("the folder of catalog {} {problem}", self.files.catalog());
        Err(ConnectorError::new(ErrorKind::Unavailable, message).hint("Check the catalog's path."))
    }

    /// The layout, not older than `age_max`.
    async fn layout(&self, age_max: Duration) -> Result<Arc<Layout>> {
        // Held while listing: others who ask meanwhile want the same answer.
        let mut known = self.layout.lock().await;
        if let Some((listed, layout)) = known.as_ref()
            && listed.elapsed() < age_max
        {
            return Ok(Arc::clone(layout));
        }
        self.check_root().await?;
        let layout = Arc::new(Layout::load(&self.files).await?);
        *known = Some((Instant::now(), Arc::clone(&layout)));
        Ok(layout)
    }

    /// Where `name` is, as declared or found; looked up again if it is not where it was a while ago.
    async fn place(&self, name: &TableName) -> Result<Option<(TablePlace, Option<Arc<DeclaredTable>>)>> {
        if let Some(declared) = self.declared(name) {
            self.check_root().await?;
            return Ok(Some((declared.place.clone(), Some(Arc::clone(declared)))));
        }
        let ttl = self.files.listing_ttl();
        let mut layout = self.layout(ttl).await?;
        if layout.roots(&name.schema, &name.table).is_empty() {
            layout = self.layout(ttl.min(LAYOUT_RETRY)).await?;
        }
        match layout.roots(&name.schema, &name.table) {
            [root] => {
                let root = root.clone();
                Ok(Some((TablePlace { root, format: None }, None)))
            }
            [] if layout.tables(&name.schema).is_none() && !self.declares_schema(&name.schema) => {
                Err(ConnectorError::unknown_schema(self.files.catalog(), &name.schema))
            }
            [] => Ok(None),
            roots => Err(ambiguous(name, roots)),
        }
    }

    fn declared(&self, name: &TableName) -> Option<&Arc<DeclaredTable>> {
        self.declared.0.get(&(name.schema.clone(), name.table.clone()))
    }

    fn declares_schema(&self, schema: &str) -> bool {
        self.declared.0.keys().any(|(known, _)| known == schema)
    }
}

fn ambiguous(name: &TableName, roots: &[TableRoot]) -> ConnectorError {
    let places: Vec<String> = roots.iter().map(ToString::to_string).collect();
    let message = format!("table {name} is in more than one place");
    ConnectorError::new(ErrorKind::InvalidData, message).detail(format!("It is {}.", places.join(" and ")))
}

fn no_files(name: &TableName, place: &TablePlace) -> ConnectorError {
    let message = format!("table {name} has no files");
    let read = match place.format {
        Some(format) => format!("only {format} files are read"),
        None => "files named *.parquet, *.csv, *.json, *.jsonl and *.ndjson are read".to_owned(),
    };
    ConnectorError::new(ErrorKind::UnknownTable, message)
        .detail(format!("Its place is {}; {read}.", place.root))
}

#[async_trait]
impl Connector for FilesConnector {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn ping(&self) -> Result<()> {
        self.check_root().await?;
        list_folder(&self.files, None).await.map(|_| ())
    }

    async fn needs(&self) -> Result<Option<String>> {
        Ok(self.needs.clone())
    }

    async fn excess(&self) -> Result<Vec<String>> {
        let Some(root) = self.files.local_root() else {
            return Ok(vec![
                "The store cannot be asked what its login may do.".to_owned(),
            ]);
        };
        self.check_root().await?;
        let found = tokio::fs::metadata(root).await;
        let everybody = found.is_ok_and(|found| found.permissions().mode() & WRITABLE_BY_EVERYBODY != 0);
        let told = everybody.then(|| "Every user of this machine may change the folder.".to_owned());
        Ok(told.into_iter().collect())
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        let found = self.layout(self.files.listing_ttl()).await?.schemas();
        let declared = self.declared.0.keys().map(|(schema, _)| schema.clone());
        let all: BTreeSet<String> = found.into_iter().chain(declared).collect();
        Ok(all.into_iter().collect())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        let layout = self.layout(self.files.listing_ttl()).await?;
        let found = layout.tables(schema);
        if found.is_none() && !self.declares_schema(schema) {
            return Err(ConnectorError::unknown_schema(self.files.catalog(), schema));
        }
        let declared = self.declared.0.keys().filter(|(known, _)| known == schema);
        let declared = declared.map(|(_, table)| table.clone());
        let all: BTreeSet<String> = found.unwrap_or_default().into_iter().chain(declared).collect();
        Ok(all.into_iter().collect())
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        let Some((place, declared)) = self.place(name).await? else {
            return Ok(None);
        };
        let listing = self.files.listing(&place).await?;
        if let Some((of, table)) = self.tables.get(name)
            && Arc::ptr_eq(&of, &listing)
        {
            return Ok(Some(Arc::new(table)));
        }
        if declared.is_some() {
            refuse_inside_table_format(&self.files, &place.root).await?;
        }
        if listing.files.is_empty() && declared.as_ref().is_none_or(|table| table.columns.is_empty()) {
            return Err(no_files(name, &place));
        }
        let core = TableCore::load(
            name.clone(),
            Arc::clone(&self.files),
            place,
            declared.as_deref(),
            Arc::clone(&listing),
        )
        .await?;
        let table = FilesTable { core: Arc::new(core) };
        self.tables.insert(name.clone(), (listing, table.clone()), 1);
        Ok(Some(Arc::new(table)))
    }

    async fn refresh(&self, table: Option<&TableName>) -> Result<()> {
        // New tables, too, are to be seen.
        *self.layout.lock().await = None;
        let Some(name) = table else {
            self.files.refresh(None);
            self.tables.retain(|_| false);
            return Ok(());
        };
        if let Some((place, _)) = self.place(name).await? {
            self.files.refresh(Some(&place));
        }
        self.tables.retain(|known| known != name);
        Ok(())
    }
}
