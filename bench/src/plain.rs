//! Plain DataFusion over the same objects: what Causeway's front end, catalogs and guards are measured against.

use std::sync::Arc;

use anyhow::{Context, Result};
use causeway_sql_tests::services::S3;
use causeway_sql_tests::tpch::TABLES;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use url::Url;

/// A session with the eight tables below `prefix`, and the settings that Causeway uses for Parquet.
pub(crate) async fn session(s3: &S3, prefix: &str) -> Result<SessionContext> {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    let session = SessionContext::new_with_config(config);
    let bucket = format!("s3://{}", s3.bucket);
    session.register_object_store(&Url::parse(&bucket)?, Arc::clone(&s3.store()?));
    for table in TABLES {
        session
            .register_parquet(
                table,
                format!("{bucket}/{prefix}/{table}/"),
                ParquetReadOptions::default(),
            )
            .await
            .with_context(|| table.to_owned())?;
    }
    Ok(session)
}

/// `sql` of the TPC-H texts with the bare names of its tables.
pub(crate) fn sql(text: &str) -> String {
    TABLES.iter().fold(text.to_owned(), |sql, table| {
        sql.replace(&format!("{{{table}}}"), table)
    })
}
