//! A catalog over any object store: finds its tables and loads them, once for as long as their files stay the same.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path as LocalPath, PathBuf};
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
use crate::layout::{Layout, TableRoot, list_folder};
use crate::listing::Listing;
use crate::table::{FilesTable, TableCore};

/// How long listings are believed by default.
const LISTING_TTL: Duration = Duration::from_secs(60);
/// A name that is not there makes the layout be listed again if it is older than this.
const LAYOUT_RETRY: Duration = Duration::from_secs(2);
/// The bit of a folder's mode with which every user may write.
const WRITABLE_BY_EVERYBODY: u32 = 0o002;
/// Tables kept loaded.
const TABLES_MAX: usize = 10_000;

/// A catalog of Parquet folders.
#[derive(Debug)]
pub struct FilesConnector {
    kind: &'static str,
    files: Arc<FileStore>,
    /// The folder of the local file system that must be there, if that is what the store is.
    local_root: Option<PathBuf>,
    /// What the store's login has to be allowed to do.
    needs: Option<String>,
    layout: Mutex<Option<(Instant, Arc<Layout>)>>,
    tables: BoundedCache<TableName, (Arc<Listing>, FilesTable)>,
}

impl FilesConnector {
    /// A catalog named `catalog` of kind `kind` over the part of `store` below `prefix`. Does not reach the store.
    pub fn new(catalog: &str, kind: &'static str, store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self::with_listing_ttl(catalog, kind, store, prefix, LISTING_TTL)
    }

    /// As [`FilesConnector::new`]; listings older than `listing_ttl` are made again.
    pub fn with_listing_ttl(
        catalog: &str,
        kind: &'static str,
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        listing_ttl: Duration,
    ) -> Self {
        // Below this line every path is relative to the catalog's root, so that no message can show another.
        let store: Arc<dyn ObjectStore> = match prefix.as_ref() {
            "" => store,
            _ => Arc::new(PrefixStore::new(store, prefix)),
        };
        Self {
            kind,
            files: Arc::new(FileStore::new(catalog, store, listing_ttl)),
            local_root: None,
            needs: None,
            layout: Mutex::new(None),
            tables: BoundedCache::new(TABLES_MAX),
        }
    }

    /// Says that the store is the local folder `root`: the listing of a missing folder would be empty, not an error.
    #[must_use]
    pub fn with_local_root(mut self, root: impl AsRef<LocalPath>) -> Self {
        self.local_root = Some(root.as_ref().to_path_buf());
        self
    }

    /// Says what the store's login has to be allowed to do.
    #[must_use]
    pub fn with_needs(mut self, needs: String) -> Self {
        self.needs = Some(needs);
        self
    }

    async fn check_root(&self) -> Result<()> {
        let Some(root) = &self.local_root else {
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

    /// Where `name` is; looked up again if it is not where it was a while ago.
    async fn root(&self, name: &TableName) -> Result<Option<TableRoot>> {
        let ttl = self.files.listing_ttl();
        let mut layout = self.layout(ttl).await?;
        if layout.roots(&name.schema, &name.table).is_empty() {
            layout = self.layout(ttl.min(LAYOUT_RETRY)).await?;
        }
        match layout.roots(&name.schema, &name.table) {
            [root] => Ok(Some(root.clone())),
            [] if layout.tables(&name.schema).is_none() => {
                Err(unknown_schema(self.files.catalog(), &name.schema))
            }
            [] => Ok(None),
            roots => Err(ambiguous(name, roots)),
        }
    }
}

fn unknown_schema(catalog: &str, schema: &str) -> ConnectorError {
    let message = format!("schema {catalog}.{schema} does not exist");
    ConnectorError::new(ErrorKind::UnknownSchema, message)
}

fn ambiguous(name: &TableName, roots: &[TableRoot]) -> ConnectorError {
    let places: Vec<String> = roots.iter().map(ToString::to_string).collect();
    let message = format!("table {name} is in more than one place");
    ConnectorError::new(ErrorKind::InvalidData, message).detail(format!("It is {}.", places.join(" and ")))
}

fn no_files(name: &TableName, root: &TableRoot) -> ConnectorError {
    let message = format!("table {name} has no Parquet files");
    ConnectorError::new(ErrorKind::UnknownTable, message).detail(format!(
        "Its place is {root}; only files named *.parquet are read."
    ))
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
        let Some(root) = &self.local_root else {
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
        Ok(self.layout(self.files.listing_ttl()).await?.schemas())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        let layout = self.layout(self.files.listing_ttl()).await?;
        layout
            .tables(schema)
            .ok_or_else(|| unknown_schema(self.files.catalog(), schema))
    }

    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn Table>>> {
        let Some(root) = self.root(name).await? else {
            return Ok(None);
        };
        let listing = self.files.listing(&root).await?;
        if let Some((of, table)) = self.tables.get(name)
            && Arc::ptr_eq(&of, &listing)
        {
            return Ok(Some(Arc::new(table)));
        }
        if listing.files.is_empty() {
            return Err(no_files(name, &root));
        }
        let core = TableCore::load(name.clone(), Arc::clone(&self.files), root, Arc::clone(&listing)).await?;
        let table = FilesTable { core: Arc::new(core) };
        self.tables.insert(name.clone(), (listing, table.clone()), 1);
        Ok(Some(Arc::new(table)))
    }
}
