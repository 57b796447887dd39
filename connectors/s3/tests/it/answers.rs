//! What the store answers, and what is sent to it: each refusal has a kind, a sentence and a hint, a silent store meets
//! the query's deadline, and the headers that a bucket wants are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use causeway_s3::S3Options;
use causeway_spi::{
    Connector, ConnectorError, ConnectorOptions, ErrorKind, ReadContext, Scan, Secret, TableName,
    with_source_timeout,
};
use datafusion::physical_plan::metrics::Count;
use futures::TryStreamExt;

use crate::fake::{Fake, Reply, empty_listing};

fn options(fake: &Fake) -> S3Options {
    let text = format!(
        "bucket = \"lake\"\nallow_http = true\nendpoint = \"{}\"\n",
        fake.url()
    );
    S3Options {
        access_key_id: Some(Secret::new("KEY")),
        secret_access_key: Some(Secret::new("hidden")),
        ..toml::from_str(&text).unwrap()
    }
}

fn open(options: S3Options) -> Arc<dyn Connector> {
    options.open("lake").unwrap()
}

async fn refused(reply: fn() -> Reply) -> ConnectorError {
    let fake = Fake::start(move |_| reply()).await;
    let error = open(options(&fake)).ping().await.unwrap_err();
    assert_eq!(error.message(), "could not list the root of catalog lake");
    error
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_counted_as_a_retry() {
    const FILE: &str = "id,v\n1,2\n3,4\n";
    let failing = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&failing);
    let fake = Fake::start(move |asked| {
        if asked.target.starts_with("/lake?") {
            let object = format!(
                "<Contents><Key>t.csv</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
                 <ETag>\"e\"</ETag><Size>{}</Size></Contents>",
                FILE.len()
            );
            let Reply::Answer(status, headers, body) = empty_listing() else {
                return Reply::Hang;
            };
            let body = body.replace("<KeyCount>0", &format!("{object}<KeyCount>1"));
            return Reply::Answer(status, headers, body);
        }
        let fails = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Reply::status(503);
        }
        let last = FILE.len() - 1;
        let headers = vec![
            ("content-range", format!("bytes 0-{last}/{}", FILE.len())),
            ("etag", "\"e\"".to_owned()),
            ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT".to_owned()),
        ];
        Reply::Answer(206, headers, FILE.to_owned())
    })
    .await;
    // Else the file would not be read again after its types were found.
    let catalog = open(S3Options {
        cache_memory: 0,
        ..options(&fake)
    });
    let table = catalog
        .table(&TableName::new("lake", "public", "t"))
        .await
        .unwrap()
        .unwrap();
    let scan = Scan {
        projection: vec![0, 1],
        schema: table.schema(),
        filters: Vec::new(),
        limit: None,
    };
    let split = table.splits(&scan).await.unwrap().swap_remove(0);
    failing.store(2, Ordering::Relaxed);
    let asked = fake.store_requests().len();
    let cx = ReadContext::detached();
    let batches: Vec<_> = table
        .read(&scan, &split, &cx)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    assert_eq!(fake.store_requests().len() - asked, 3);
    let counted = [&cx.metrics.requests, &cx.metrics.retries, &cx.metrics.bytes].map(Count::value);
    assert_eq!(counted, [3, 2, FILE.len()]);
}

/// An answer, and what is said about it: kind, detail and hint.
type Case = (fn() -> Reply, ErrorKind, &'static str, &'static str);

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let cases: [Case; 8] = [
        (
            || Reply::error(403, "AccessDenied", ""),
            ErrorKind::NotPermitted,
            "The store answered AccessDenied.",
            "Allow the catalog's credentials s3:ListBucket on the bucket and s3:GetObject below the prefix.",
        ),
        (
            || Reply::error(404, "NoSuchBucket", ""),
            ErrorKind::Unavailable,
            "The store does not have it.",
            "Check the catalog's bucket, prefix or path.",
        ),
        (
            || Reply::error(400, "AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>"),
            ErrorKind::Source,
            "The store answered AuthorizationHeaderMalformed.",
            "Set the catalog's region to eu-north-1, where the bucket is.",
        ),
        (
            || {
                let region = ("x-amz-bucket-region", "eu-central-1".to_owned());
                Reply::Answer(301, vec![region], String::new())
            },
            ErrorKind::Source,
            "The store answered PermanentRedirect.",
            "Set the catalog's region to eu-central-1, where the bucket is.",
        ),
        (
            || Reply::error(301, "PermanentRedirect", ""),
            ErrorKind::Source,
            "The store answered PermanentRedirect.",
            "Set the catalog's region to the one where the bucket is.",
        ),
        (
            || Reply::error(403, "RequestTimeTooSkewed", ""),
            ErrorKind::LoginRefused,
            "The store answered RequestTimeTooSkewed.",
            "Set the clock of the server's machine.",
        ),
        (
            || Reply::error(403, "SignatureDoesNotMatch", ""),
            ErrorKind::LoginRefused,
            "The store answered SignatureDoesNotMatch.",
            "Check the catalog's access_key_id, secret_access_key and session_token.",
        ),
        (
            || Reply::error(400, "ExpiredToken", ""),
            ErrorKind::LoginRefused,
            "The store answered ExpiredToken.",
            "Check the catalog's access_key_id, secret_access_key and session_token.",
        ),
    ];
    for (reply, kind, detail, hint) in cases {
        let error = refused(reply).await;
        let said = (error.kind(), error.detail_text(), error.hint_text());
        assert_eq!(said, (kind, Some(detail), Some(hint)));
    }
}

#[tokio::test]
async fn a_silent_store_meets_the_deadline_of_the_query() {
    let fake = Fake::start(|_| Reply::Hang).await;
    let catalog = open(options(&fake));
    let began = Instant::now();
    let error = with_source_timeout(Duration::from_millis(500), catalog.ping())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.detail_text(),
        Some("The store did not answer within 0.5 s.")
    );
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A table of one file that cannot be read: what matters is what each request carries.
#[tokio::test]
async fn requester_pays_and_customer_keys_go_with_every_request() {
    let fake = Fake::start(move |asked| {
        if asked.target.starts_with("/lake?") {
            let object = "<Contents><Key>t.parquet</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
                          <ETag>\"e\"</ETag><Size>1000</Size></Contents>";
            let Reply::Answer(status, headers, body) = empty_listing() else {
                return Reply::Hang;
            };
            return Reply::Answer(
                status,
                headers,
                body.replace("<KeyCount>0", &format!("{object}<KeyCount>1")),
            );
        }
        Reply::error(400, "InvalidRequest", "")
    })
    .await;
    let paying = S3Options {
        requester_pays: true,
        sse_customer_key: Some(Secret::new("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")),
        ..options(&fake)
    };
    let catalog = open(paying);
    let error = catalog
        .table(&TableName::new("lake", "public", "t"))
        .await
        .unwrap_err();
    assert_eq!(error.detail_text(), Some("The store answered with status 400."));
    let (lists, gets): (Vec<_>, Vec<_>) = fake
        .asked()
        .into_iter()
        .partition(|asked| asked.target.starts_with("/lake?"));
    assert!(!lists.is_empty() && !gets.is_empty());
    for asked in lists.iter().chain(&gets) {
        assert_eq!(
            asked.header("x-amz-request-payer"),
            Some("requester"),
            "{asked:?}"
        );
        assert_eq!(asked.signer(), Some("KEY"));
    }
    for asked in gets {
        let key = |name: &str| asked.header(&format!("x-amz-server-side-encryption-customer-{name}"));
        assert_eq!(key("algorithm"), Some("AES256"));
        assert_eq!(key("key"), Some("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="));
        assert!(key("key-md5").is_some());
    }
}
