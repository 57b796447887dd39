//! An S3 store over a folder, for tests and demos on one machine: `s3-server --port 9000 FOLDER`.
//!
//! Buckets are the folder's sub-folders. The keys come from S3_ACCESS_KEY and S3_SECRET_KEY.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use causeway_sql_tests::s3_server::{Keys, S3Server};

const USAGE: &str = "usage: s3-server --port PORT FOLDER";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, port, folder] = arguments.as_slice() else {
        bail!(USAGE);
    };
    if flag != "--port" {
        bail!(USAGE);
    }
    let keys = Keys {
        access: std::env::var("S3_ACCESS_KEY").context("S3_ACCESS_KEY is not set")?,
        secret: std::env::var("S3_SECRET_KEY").context("S3_SECRET_KEY is not set")?,
    };
    let server = S3Server::start(port.parse().context(USAGE)?, PathBuf::from(folder), keys).await?;
    println!("listening on {}", server.endpoint());
    server.wait().await
}
