//! The object store of a catalog. The client needs the bucket's region, and finding that may mean to ask the machine's
//! metadata service; so it is made when it is first used, and a catalog opens without asking anybody.
//!
//! Each answer, and each part of a long one, is awaited as long as the query allows that it is read for.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use causeway_spi::{ConnectorError, ErrorKind, source_timeout};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::OnceCell;

use crate::client::Settings;

/// The store, shared by its clones.
#[derive(Clone)]
pub(crate) struct S3Store {
    settings: Arc<Settings>,
    client: Arc<OnceCell<AmazonS3>>,
}

impl S3Store {
    /// A store that is reached when it is first used.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            client: Arc::default(),
        }
    }

    async fn client(&self) -> Result<&AmazonS3> {
        self.client
            .get_or_try_init(|| async { self.settings.client(&self.settings.find_region().await) })
            .await
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({})", self.settings.options.bucket)
    }
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.settings.options.bucket)
    }
}

async fn in_time<T>(timeout: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| {
        let message = format!("the store did not answer within {} s", timeout.as_secs_f64());
        let error = ConnectorError::new(ErrorKind::Timeout, message)
            .hint("The store is slow or gone; the setting source_timeout bounds the wait.");
        object_store::Error::Generic {
            store: "S3",
            source: Box::new(error),
        }
    };
    tokio::time::timeout(timeout, answer).await.map_err(late)?
}

/// Ends `parts` with an error when one of them takes too long.
fn each_in_time<T: Send + 'static>(
    timeout: Duration,
    parts: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let next = move |parts: Option<BoxStream<'static, Result<T>>>| async move {
        let mut parts = parts?;
        match in_time(timeout, parts.next().map(Ok)).await {
            Ok(None) => None,
            Ok(Some(part)) => Some((part, Some(parts))),
            Err(late) => Some((Err(late), None)),
        }
    };
    stream::unfold(Some(parts), next).boxed()
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.client().await?.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.client().await?.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let timeout = source_timeout();
        let answer = in_time(timeout, self.client().await?.get_opts(location, options)).await?;
        let payload = match answer.payload {
            GetResultPayload::Stream(parts) => GetResultPayload::Stream(each_in_time(timeout, parts)),
            file @ GetResultPayload::File(..) => file,
        };
        Ok(GetResult { payload, ..answer })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted =
            async move { Ok::<_, object_store::Error>(store.client().await?.delete_stream(locations)) };
        deleted.into_stream().try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let timeout = source_timeout();
        let listed = async move { Ok::<_, object_store::Error>(store.client().await?.list(prefix.as_ref())) };
        each_in_time(timeout, listed.into_stream().try_flatten().boxed())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        in_time(source_timeout(), self.client().await?.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.client().await?.copy_opts(from, to, options).await
    }
}
