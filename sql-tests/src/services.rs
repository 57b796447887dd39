//! Where the real services are: `TEST_*` variables, set by `./test` or by hand after `./test services`.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

/// The longest wait for Redis while tables are loaded.
const REDIS_PATIENCE: Duration = Duration::from_secs(60);

/// One S3 bucket and the keys to it.
#[derive(Clone, Debug)]
pub struct S3 {
    /// The store's URL.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The access key's id.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl S3 {
    /// A client for the bucket, for loading objects.
    pub fn store(&self) -> Result<Arc<dyn ObjectStore>> {
        let store = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(&self.bucket)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .build()?;
        Ok(Arc::new(store))
    }
}

/// A connection to the Redis at `url`. The driver's own wait of half a second is too short for a busy machine.
pub async fn redis_connection(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REDIS_PATIENCE))
        .set_response_timeout(Some(REDIS_PATIENCE));
    let client = redis::Client::open(url)?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// All services of the tests.
#[derive(Clone, Debug)]
pub struct Services {
    /// URL of MySQL or MariaDB with a user that may create databases and users.
    pub mysql_url: String,
    /// URL of Redis with a database number.
    pub redis_url: String,
    /// The S3 bucket.
    pub s3: S3,
}

impl Services {
    /// The services, or `None` after saying on stderr which variable is missing: the test is then skipped.
    pub fn from_env() -> Option<Self> {
        Some(Self {
            mysql_url: mysql_url()?,
            redis_url: redis_url()?,
            s3: s3()?,
        })
    }
}

/// The URL of MySQL, or `None` after saying that the test is skipped.
pub fn mysql_url() -> Option<String> {
    variable("TEST_MYSQL_URL")
}

/// The URL of Redis, or `None` after saying that the test is skipped.
pub fn redis_url() -> Option<String> {
    variable("TEST_REDIS_URL")
}

/// The URL of PostgreSQL with a user that may create schemas, or `None` after saying that the test is skipped.
pub fn postgres_url() -> Option<String> {
    variable("TEST_POSTGRES_URL")
}

/// The S3 bucket, or `None` after saying that the test is skipped.
pub fn s3() -> Option<S3> {
    Some(S3 {
        endpoint: variable("TEST_S3_ENDPOINT")?,
        bucket: variable("TEST_S3_BUCKET")?,
        access_key: variable("TEST_S3_ACCESS_KEY")?,
        secret_key: variable("TEST_S3_SECRET_KEY")?,
    })
}

/// Whether psql is there; says that the test is skipped if it is not.
pub fn has_psql() -> bool {
    let found = Command::new("psql").arg("--version").output().is_ok();
    if !found {
        skipped("psql is not installed");
    }
    found
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        skipped(&format!("{name} is not set"));
    }
    value
}

fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    // Not println!: the harness hides what a passing test prints.
    let _ = writeln!(std::io::stderr(), "{test} ... SKIPPED: {why}");
}

/// A name no other test uses, fit for a database, a key prefix and a folder.
pub fn unique_name(subject: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{}_{number}_{subject}", std::process::id())
}
