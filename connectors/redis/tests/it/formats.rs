//! JSON and string values, renamed fields, hidden columns, and values that are none.

use causeway_spi::ErrorKind;
use datafusion::logical_expr::lit;
use datafusion::prelude::col;

use crate::support::{described, lines, load, lookup, read, scan, server, server_alone, try_read};

const DOCUMENTS: &str = r#"
    key = "it:json:{id}"
    value = "json"
    columns = [
        "id bigint",
        "name text",
        { name = "city", type = "text", path = "$.address.city" },
        { name = "tag", type = "text", path = "$.tags[0]" },
        "price numeric(20,4)",
        "tags text[]",
    ]
"#;

#[tokio::test]
async fn places_in_json_documents() {
    let Some(server) = server().await else { return };
    server.clear("it:json:").await;
    for (id, document) in [
        (
            "1",
            r#"{"name":"Ann","address":{"city":"Bern"},"tags":["a","b"],"price":1234567890123456.7891}"#,
        ),
        (
            "2",
            r#"{"name":null,"address":{"city":["x", 1]},"tags":[],"price":"2.5"}"#,
        ),
        ("3", "{}"),
        ("4", "[1, 2]"),
        ("007", r#"{"name":"impostor"}"#),
    ] {
        server
            .run(&[b"SET", format!("it:json:{id}").as_bytes(), document.as_bytes()])
            .await;
    }
    server.hset("it:json:5", &[("name", "a hash")]).await;
    let table = server.described(DOCUMENTS).await;
    let all = ["id", "name", "city", "tag", "price", "tags"];
    let expected = [
        "1|Ann|Bern|a|1234567890123456.7891|[a, b]",
        "2|NULL|[\"x\", 1]|NULL|2.5000|[]",
        "3|NULL|NULL|NULL|NULL|NULL",
        "4|NULL|NULL|NULL|NULL|NULL",
    ];
    assert_eq!(read(&table, &all, &[]).await, expected);
    let every = scan(&table, &all, &[]);
    assert_eq!(lines(&lookup(&table, &every, (0..8).collect()).await), expected);
    for columns in [&["id"][..], &[], &["city"]] {
        assert_eq!(read(&table, columns, &[]).await.len(), 4, "{columns:?}");
        let list = col("id").in_list((0..8_i64).map(lit).collect(), false);
        assert_eq!(read(&table, columns, &[list]).await.len(), 4, "{columns:?}");
    }
    let one = [col("id").eq(lit(1_i64))];
    assert_eq!(
        table.remote_text(&scan(&table, &["city"], &one)),
        "MGET it:json:{id} for 1 key"
    );
    assert_eq!(
        table.remote_text(&scan(&table, &["id"], &one)),
        "TYPE it:json:{id} for 1 key"
    );
    server.clear("it:json:").await;
}

#[tokio::test]
async fn strings_are_one_column() {
    let Some(server) = server().await else { return };
    server.clear("it:hits:").await;
    for (page, hits) in [("a", "7"), ("b:c", "-1"), ("", "0")] {
        server
            .run(&[b"SET", format!("it:hits:{page}").as_bytes(), hits.as_bytes()])
            .await;
    }
    server.run(&[b"RPUSH", b"it:hits:list", b"1"]).await;
    let lines = "key = \"it:hits:{page}\"\nvalue = \"string\"\ncolumns = [\"page text\", \"hits bigint\"]";
    let table = server.described(lines).await;
    assert_eq!(
        read(&table, &["page", "hits"], &[]).await,
        ["a|7", "b:c|-1", "|0"]
    );
    assert_eq!(
        read(&table, &["hits"], &[col("page").eq(lit("b:c"))]).await,
        ["-1"]
    );
    assert!(
        read(&table, &["hits"], &[col("page").eq(lit("list"))])
            .await
            .is_empty()
    );
    server.clear("it:hits:").await;
}

#[tokio::test]
async fn a_string_that_is_empty_is_a_row() {
    let Some(server) = server().await else { return };
    server.clear("it:empty:").await;
    server.run(&[b"SET", b"it:empty:1", b""]).await;
    let table = server
        .described("key = \"it:empty:{id}\"\nvalue = \"string\"\ncolumns = [\"id bigint\", \"v text\"]")
        .await;
    let one = [col("id").eq(lit(1_i64))];
    assert_eq!(read(&table, &["v"], &one).await, [""]);
    assert_eq!(read(&table, &["id"], &one).await, ["1"]);
    assert_eq!(read(&table, &["id", "v"], &[]).await, ["1|"]);
    server.clear("it:empty:").await;
}

#[tokio::test]
async fn what_does_not_decode_is_an_error_or_null() {
    let Some(server) = server().await else { return };
    server.clear("it:json-bad:").await;
    server
        .run(&[b"SET", b"it:json-bad:1", b"{\"name\":\"a\",\"price\":\"dear\"}"])
        .await;
    server.run(&[b"SET", b"it:json-bad:2", b"not json"]).await;
    let strict = DOCUMENTS.replace("it:json:", "it:json-bad:");
    let table = server.described(&strict).await;
    let price = [col("id").eq(lit(1_i64))];
    let error = try_read(&table, &scan(&table, &["price"], &price))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "value of column \"price\" of table cache.public.t at key \"it:json-bad:1\" cannot be read as numeric(20,4)"
    );
    assert_eq!(
        error.detail_text(),
        Some("The value \"\"dear\"\" is not a decimal number.")
    );
    let name = [col("id").eq(lit(2_i64))];
    let error = try_read(&table, &scan(&table, &["name"], &name))
        .await
        .unwrap_err();
    assert_eq!(error.detail_text(), Some("The value \"not json\" is not JSON."));
    // What is not read cannot be wrong.
    assert_eq!(read(&table, &["id"], &[]).await, ["1", "2"]);
    let lenient = server.described(&format!("{strict}\ninvalid = \"null\"")).await;
    assert_eq!(
        read(&lenient, &["id", "name", "price"], &[]).await,
        ["1|a|NULL", "2|NULL|NULL"]
    );
    server.clear("it:json-bad:").await;
}

#[tokio::test]
async fn hidden_columns_are_at_the_end() {
    let Some(server) = server().await else { return };
    server.clear("it:hidden:").await;
    server.hset("it:hidden:h:1", &[("name", "a")]).await;
    server.hset("it:hidden:h:2", &[("other", "b")]).await;
    server.run(&[b"EXPIRE", b"it:hidden:h:2", b"1000"]).await;
    server.run(&[b"SET", b"it:hidden:h:3", b"a string"]).await;
    server
        .run(&[b"SET", b"it:hidden:s:1", b"{ }", b"EX", b"1000"])
        .await;
    server.run(&[b"SET", b"it:hidden:s:2", b"{\"a\":1}"]).await;
    let hash = server
        .described("key = \"it:hidden:h:{id}\"\nhidden = [\"_key\", \"_ttl\"]\ncolumns = [\"id bigint\", \"name text\"]")
        .await;
    let names: Vec<String> = hash
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["id", "name", "_key", "_ttl"]);
    for filters in [
        &[][..],
        &[col("id").in_list((0..5_i64).map(lit).collect(), false)],
    ] {
        assert_eq!(
            whole_ttl(read(&hash, &["_ttl", "name", "_key", "id"], filters).await),
            ["1000|NULL|it:hidden:h:2|2", "NULL|a|it:hidden:h:1|1"]
        );
        assert_eq!(whole_ttl(read(&hash, &["_ttl"], filters).await), ["1000", "NULL"]);
        assert_eq!(
            read(&hash, &["_key"], filters).await,
            ["it:hidden:h:1", "it:hidden:h:2"]
        );
    }
    assert_eq!(
        hash.remote_text(&scan(&hash, &["_ttl", "name"], &[col("id").eq(lit(1_i64))])),
        "HMGET it:hidden:h:{id} name, TTL it:hidden:h:{id} for 1 key"
    );
    let json = server
        .described(
            "key = \"it:hidden:s:{id}\"\nvalue = \"json\"\nhidden = [\"_value\", \"_ttl\"]\n\
             columns = [\"id bigint\", \"a int\"]",
        )
        .await;
    assert_eq!(
        whole_ttl(read(&json, &["id", "a", "_value", "_ttl"], &[]).await),
        ["1|NULL|7b207d|1000", "2|1|7b2261223a317d|NULL"]
    );
    assert_eq!(whole_ttl(read(&json, &["_ttl"], &[]).await), ["1000", "NULL"]);
    server.clear("it:hidden:").await;
}

/// Rows with a time to live as it was set: the seconds that the test itself has taken are put back.
fn whole_ttl(rows: Vec<String>) -> Vec<String> {
    let whole = |value: &str| match value.parse() {
        Ok(900..=1000) => "1000".to_owned(),
        _ => value.to_owned(),
    };
    let row = |row: String| row.split('|').map(whole).collect::<Vec<_>>().join("|");
    rows.into_iter().map(row).collect()
}

#[tokio::test]
async fn a_field_may_have_another_name() {
    let Some(server) = server().await else { return };
    server.clear("it:field:").await;
    server
        .hset("it:field:1", &[("first name", "Ann"), ("name", "wrong")])
        .await;
    let table = server
        .described(
            "key = \"it:field:{id}\"\n\
             columns = [\"id bigint\", { name = \"name\", type = \"text\", field = \"first name\" }]",
        )
        .await;
    assert_eq!(read(&table, &["id", "name"], &[]).await, ["1|Ann"]);
    server.clear("it:field:").await;
}

/// Keys that are found by a walk and are gone, or something else, when their value is asked for.
#[tokio::test]
async fn a_key_that_goes_or_changes_its_type_is_no_row() {
    let Some(server) = server_alone().await else {
        return;
    };
    for (format, make) in [
        ("hash", &[&b"HSET"[..], b"KEY", b"v", b"1"][..]),
        ("json", &[b"SET", b"KEY", b"{\"v\":1}"]),
        ("string", &[b"SET", b"KEY", b"1"]),
        ("set", &[b"SADD", b"KEY", b"1"]),
        ("zset", &[b"ZADD", b"KEY", b"1", b"1"]),
        ("list", &[b"RPUSH", b"KEY", b"1"]),
    ] {
        server.clear("it:gone:").await;
        let count = 3_000;
        for id in 0..count {
            let key = format!("it:gone:{id}");
            let command: Vec<&[u8]> = make
                .iter()
                .map(|&part| if part == b"KEY" { key.as_bytes() } else { part })
                .collect();
            server.run(&command).await;
        }
        let column = match format {
            "hash" | "json" | "string" => "\"v bigint\"",
            _ => "{ name = \"v\", type = \"bigint\", field = \"element\" }",
        };
        let table = server
            .described(&format!(
                "key = \"it:gone:{{id}}\"\nvalue = \"{format}\"\ncolumns = [\"id bigint\", {column}]"
            ))
            .await;
        let scan = scan(&table, &["id", "v"], &[]);
        let mut rows = table
            .read(
                &scan,
                &causeway_spi::Split::whole(),
                &causeway_spi::ReadContext::detached(),
            )
            .await
            .unwrap();
        let first = futures::StreamExt::next(&mut rows).await.unwrap().unwrap();
        assert!(first.num_rows() > 0, "{format}");
        let other: &[&[u8]] = if format == "string" || format == "json" {
            &[b"RPUSH", b"KEY", b"x"]
        } else {
            &[b"SET", b"KEY", b"x"]
        };
        server.clear("it:gone:").await;
        for id in 0..count / 2 {
            let key = format!("it:gone:{id}");
            let command: Vec<&[u8]> = other
                .iter()
                .map(|&part| if part == b"KEY" { key.as_bytes() } else { part })
                .collect();
            server.run(&command).await;
        }
        let rest: Vec<_> = futures::TryStreamExt::try_collect(rows).await.unwrap();
        let rest: Vec<arrow::array::RecordBatch> = rest;
        let found: usize = rest.iter().map(arrow::array::RecordBatch::num_rows).sum();
        assert!(found + first.num_rows() < count, "{format}: {found}");
        assert!(
            !rest.iter().flat_map(lines).any(|line| line.contains("NULL")),
            "{format}"
        );
    }
    server.clear("it:gone:").await;
}

#[tokio::test]
async fn connections_have_the_catalogs_name() {
    let Some(server) = server().await else { return };
    let catalog = described(
        &server.url,
        "",
        "key = \"it:name:{id}\"\ncolumns = [\"id bigint\"]",
    );
    load(&catalog).await.unwrap();
    let redis::Value::BulkString(clients) = server.run(&[b"CLIENT", b"LIST"]).await else {
        panic!("CLIENT LIST gives text")
    };
    let clients = String::from_utf8(clients).unwrap();
    assert!(clients.contains(" name=causeway:cache "), "{clients}");
}
