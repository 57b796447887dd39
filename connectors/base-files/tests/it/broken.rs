//! Files that change while they are read, that were cut, that are no Parquet: an error that names them, never rows.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use causeway_spi::ErrorKind;
use object_store::memory::InMemory;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::fixture::{Lake, ours, parquet, row_filters, rows};
use crate::store::Swapping;

fn numbered(first: i64) -> RecordBatch {
    let ids: Vec<i64> = (first..first + 1000).collect();
    let names: Vec<String> = ids.iter().map(|id| format!("name {id} of many")).collect();
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    let names: ArrayRef = Arc::new(StringArray::from(names));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

fn file(first: i64) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(250))
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .build();
    parquet(&numbered(first), properties)
}

#[tokio::test]
async fn a_file_replaced_between_two_ranges_is_an_error() {
    for honours_if_match in [true, false] {
        let inner = Arc::new(InMemory::new());
        let swapping = Arc::new(Swapping::new(inner, Some(file(5000)), honours_if_match));
        let lake = Lake::over(Arc::clone(&swapping) as _, Duration::from_secs(60));
        lake.put("t/0.parquet", file(0)).await;
        let session = lake.session(&["t"]).await;
        swapping.swap_after(1);
        let error = rows(&session, "SELECT id, name FROM t").await.unwrap_err();
        assert_eq!(ours(&error).kind(), ErrorKind::Changed);
        assert_eq!(
            ours(&error).message(),
            "file t/0.parquet changed while it was read"
        );
        let again = lake.session(&["t"]).await;
        let found = rows(&again, "SELECT min(id), max(id), count(name) FROM t")
            .await
            .unwrap();
        assert_eq!(found, ["5000|5999|1000"], "the next query reads the new file");
    }
}

#[tokio::test]
async fn a_file_deleted_after_it_was_listed_is_an_error() {
    let inner = Arc::new(InMemory::new());
    let swapping = Arc::new(Swapping::new(inner, None, true));
    let lake = Lake::over(Arc::clone(&swapping) as _, Duration::from_secs(60));
    lake.put("t/0.parquet", file(0)).await;
    let session = lake.session(&["t"]).await;
    swapping.swap_after(0);
    let error = rows(&session, "SELECT id FROM t").await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::Changed);
}

#[tokio::test]
async fn cut_files_and_garbage_name_the_file() {
    let whole = file(0);
    let mut no_magic = whole.clone();
    let end = no_magic.len();
    no_magic[end - 4..].copy_from_slice(b"XXXX");
    let mut huge_footer = whole.clone();
    huge_footer[end - 8..end - 4].copy_from_slice(&[255, 255, 255, 127]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("short", b"PAR1PAR1".to_vec()),
        ("cut at the end", whole[..end - 100].to_vec()),
        ("cut in half", whole[..end / 2].to_vec()),
        ("no magic", no_magic),
        ("huge footer", huge_footer),
        ("text", b"id,name\n1,a\n".repeat(100)),
        ("middle missing", [&whole[..1000], &whole[end / 2..]].concat()),
    ];
    for (what, bytes) in cases {
        let lake = Lake::new();
        lake.put("t/0.parquet", file(0)).await;
        lake.put("t/broken.parquet", bytes).await;
        let error = lake.table("t").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{what}: {error:?}");
        assert_eq!(
            error.message(),
            "file t/broken.parquet is not a readable Parquet file",
            "{what}"
        );
        assert!(
            error.detail_text().is_some_and(|text| text.ends_with('.')),
            "{what}"
        );
    }
}

// Valid footers over damaged pages: whatever the damage does, it is an error that names the file or the right rows.
#[tokio::test]
async fn damaged_pages_are_errors_never_panics() {
    let whole = file(0);
    let mut failed = 0;
    for place in (4..whole.len() * 3 / 4).step_by(997) {
        for damage in [0x00, 0xFF, 0x5A] {
            let mut bytes = whole.clone();
            for byte in &mut bytes[place..place + 24] {
                *byte ^= damage;
            }
            let lake = Lake::new();
            lake.put("t/0.parquet", bytes).await;
            for config in [row_filters(), Default::default()] {
                let session = lake.session_with(&["t"], config).await;
                let sql = "SELECT id, name FROM t WHERE name > 'name 2' AND id % 2 = 0";
                if let Err(error) = rows(&session, sql).await {
                    failed += 1;
                    assert_eq!(ours(&error).kind(), ErrorKind::InvalidData, "{error:?}");
                    assert_eq!(
                        ours(&error).message(),
                        "file t/0.parquet is not a readable Parquet file"
                    );
                }
            }
        }
    }
    assert!(failed > 0, "no damage was noticed");
}

// An error of the query's own expression is not blamed on the file.
#[tokio::test]
async fn an_expression_that_fails_in_the_decoder_keeps_its_own_error() {
    let lake = Lake::new();
    lake.put("t/0.parquet", file(0)).await;
    for config in [row_filters(), Default::default()] {
        let session = lake.session_with(&["t"], config).await;
        let error = rows(&session, "SELECT id FROM t WHERE 10 / (id - id) > 1")
            .await
            .unwrap_err();
        assert!(
            error.to_string().to_lowercase().contains("divide by zero"),
            "{error}"
        );
        assert!(
            !error.to_string().contains("not a readable Parquet file"),
            "{error}"
        );
    }
}
