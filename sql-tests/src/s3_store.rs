//! The objects of [`crate::s3_server`]: the operations of `s3s-fs`, with conditions, ETags and a request log.

use std::io::SeekFrom;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::RwLock;
use tokio_util::io::ReaderStream;

use crate::s3_server::{Operation, RequestLog};

/// Bytes per read of a file: each read is a hop to the blocking pool.
const READ_BYTES: usize = 256 << 10;

/// Objects as files below `<root>/<bucket>/<key>`.
#[derive(Debug)]
pub(crate) struct FolderStore {
    files: FileSystem,
    root: PathBuf,
    /// Held to write while an object is replaced: its file and its ETag change in two steps.
    replacing: RwLock<()>,
    log: RequestLog,
}

impl FolderStore {
    pub(crate) fn open(root: PathBuf, log: RequestLog) -> Result<Self> {
        let files = FileSystem::new(&root)
            .map_err(|error| anyhow!("{error:?}"))
            .with_context(|| format!("could not open folder {}", root.display()))?;
        Ok(Self {
            files,
            root,
            replacing: RwLock::new(()),
            log,
        })
    }

    /// Opens the object's current version with what is known about it, both of one moment.
    async fn open_version(&self, bucket: &str, key: &str) -> S3Result<(File, HeadObjectOutput)> {
        let _unchanged = self.replacing.read().await;
        let head = self.version(bucket, key).await?;
        let file = File::open(self.root.join(bucket).join(key))
            .await
            .map_err(|_| s3_error!(NoSuchKey))?;
        Ok((file, head))
    }

    async fn version(&self, bucket: &str, key: &str) -> S3Result<HeadObjectOutput> {
        let input = HeadObjectInput {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            ..Default::default()
        };
        Ok(self.files.head_object(request(input)).await?.output)
    }
}

/// The conditions of a GET or HEAD against the version that is there.
fn check_conditions(
    current: Option<&ETag>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let current = current.ok_or_else(|| s3_error!(InternalError))?;
    let matches = |condition: &ETagCondition, weak: bool| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) if weak => current.weak_cmp(wanted),
        ETagCondition::ETag(wanted) => current.strong_cmp(wanted),
    };
    if if_match.is_some_and(|condition| !matches(condition, false)) {
        return Err(s3_error!(PreconditionFailed, "the object has another ETag"));
    }
    if if_none_match.is_some_and(|condition| matches(condition, true)) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// A request made here, on behalf of one that was already authenticated.
fn request<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: Default::default(),
        uri: Default::default(),
        headers: Default::default(),
        extensions: Default::default(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

#[async_trait::async_trait]
impl S3 for FolderStore {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let (mut file, head) = self.open_version(&input.bucket, &input.key).await?;
        check_conditions(
            head.e_tag.as_ref(),
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
        )?;
        let size =
            u64::try_from(head.content_length.unwrap_or_default()).map_err(|_| s3_error!(InternalError))?;
        let range = match input.range {
            Some(range) => range.check(size)?,
            None => 0..size,
        };
        let length = range.end - range.start;
        file.seek(SeekFrom::Start(range.start))
            .await
            .map_err(|_| s3_error!(InternalError))?;
        self.log.add(Operation::Get, &input.key, length);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(ReaderStream::with_capacity(
                file.take(length),
                READ_BYTES,
            ))),
            content_length: Some(i64::try_from(length).map_err(|_| s3_error!(InternalError))?),
            content_range: input
                .range
                .map(|_| format!("bytes {}-{}/{size}", range.start, range.end - 1)),
            content_type: head.content_type,
            last_modified: head.last_modified,
            e_tag: head.e_tag,
            metadata: head.metadata,
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let _unchanged = self.replacing.read().await;
        let head = self.version(&input.bucket, &input.key).await?;
        check_conditions(
            head.e_tag.as_ref(),
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
        )?;
        self.log.add(Operation::Head, &input.key, 0);
        Ok(S3Response::new(head))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let bucket = req.input.bucket.clone();
        self.log.add(
            Operation::List,
            req.input.prefix.as_deref().unwrap_or_default(),
            0,
        );
        let _unchanged = self.replacing.read().await;
        let mut response = self.files.list_objects_v2(req).await?;
        for object in response.output.contents.iter_mut().flatten() {
            let Some(key) = object.key.as_deref() else {
                continue;
            };
            object.e_tag = self.version(&bucket, key).await?.e_tag;
        }
        Ok(response)
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.log.add(Operation::Put, &req.input.key, 0);
        let _alone = self.replacing.write().await;
        self.files.put_object(req).await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let _alone = self.replacing.write().await;
        self.files.copy_object(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let _alone = self.replacing.write().await;
        self.files.delete_object(req).await
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let _alone = self.replacing.write().await;
        self.files.delete_objects(req).await
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.files.create_bucket(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.files.upload_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.log.add(Operation::Put, &req.input.key, 0);
        let _alone = self.replacing.write().await;
        self.files.complete_multipart_upload(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(req).await
    }
}
