//! Which keys are rows, and what their values become.

use datafusion::logical_expr::lit;
use datafusion::prelude::col;

use crate::support::{lines, lookup, read, scan, server};

#[tokio::test]
async fn only_canonical_keys_are_rows() {
    let Some(server) = server().await else { return };
    let prefix = "it:law:";
    server.clear(prefix).await;
    for key in [
        "7",
        "-7",
        "0",
        "007",
        "+7",
        " 7",
        "7 ",
        "-0",
        "7:8",
        "x",
        "",
        "99999999999999999999",
    ] {
        server.hset(&format!("{prefix}{key}"), &[("name", key)]).await;
    }
    server.hset("it:LAW:8", &[("name", "other prefix")]).await;
    let table = server.people(prefix).await;
    assert_eq!(read(&table, &["id", "name"], &[]).await, ["-7|-7", "0|0", "7|7"]);
    assert_eq!(read(&table, &["id"], &[]).await, ["-7", "0", "7"]);
    assert_eq!(read(&table, &["name"], &[col("id").eq(lit(7_i64))]).await, ["7"]);
    server.clear(prefix).await;
    server.run(&[b"DEL", b"it:LAW:8"]).await;
}

#[tokio::test]
async fn keys_of_other_types_are_no_rows_anywhere() {
    let Some(server) = server().await else { return };
    let prefix = "it:type:";
    server.clear(prefix).await;
    server.fill(prefix, 0..2).await;
    server.run(&[b"SET", b"it:type:2", b"a string"]).await;
    server.run(&[b"RPUSH", b"it:type:3", b"a list"]).await;
    let table = server.people(prefix).await;
    for columns in [&["id"][..], &["id", "name"], &["name"], &[]] {
        let all = scan(&table, columns, &[]);
        assert_eq!(read(&table, columns, &[]).await.len(), 2, "{columns:?}");
        assert_eq!(
            lookup(&table, &all, vec![0, 1, 2, 3, 4]).await.num_rows(),
            2,
            "{columns:?}"
        );
        let list = col("id").in_list((0..5_i64).map(lit).collect(), false);
        assert_eq!(read(&table, columns, &[list]).await.len(), 2, "{columns:?}");
    }
    server.clear(prefix).await;
}

#[tokio::test]
async fn missing_fields_are_null_and_missing_keys_are_no_rows() {
    let Some(server) = server().await else { return };
    let prefix = "it:null:";
    server.clear(prefix).await;
    server.hset("it:null:1", &[("name", "a")]).await;
    server.hset("it:null:2", &[("size", "5")]).await;
    server.hset("it:null:3", &[("unknown", "x")]).await;
    server.hset("it:null:4", &[("name", ""), ("size", "0")]).await;
    let table = server.people(prefix).await;
    let expected = ["1|a|NULL", "2|NULL|5", "3|NULL|NULL", "4||0"];
    assert_eq!(read(&table, &["id", "name", "size"], &[]).await, expected);
    let all = scan(&table, &["id", "name", "size"], &[]);
    assert_eq!(lines(&lookup(&table, &all, vec![1, 2, 3, 4, 5]).await), expected);
    server.clear(prefix).await;
}

#[tokio::test]
async fn composite_keys() {
    let Some(server) = server().await else { return };
    let prefix = "it:user:";
    server.clear(prefix).await;
    for key in ["acme:1", "acme:2", "b:1", ":3", "acme:x", "acme:1:extra", "acme"] {
        server.hset(&format!("{prefix}{key}"), &[("name", key)]).await;
    }
    let table = server
        .table("it:user:{tenant}:{id}", &["id int", "name text", "tenant text"])
        .await;
    assert_eq!(
        read(&table, &["tenant", "id"], &[]).await,
        ["acme|1", "acme|2", "b|1", "|3"]
    );
    let tenant = col("tenant").eq(lit("acme"));
    let one = [tenant.clone(), col("id").eq(lit(2))];
    assert_eq!(read(&table, &["name"], &one).await, ["acme:2"]);
    assert_eq!(
        table.remote_text(&scan(&table, &["name"], &one)),
        "HMGET it:user:{tenant}:{id} name for 1 key"
    );
    assert_eq!(
        read(&table, &["name"], std::slice::from_ref(&tenant)).await,
        ["acme:1", "acme:2"]
    );
    let walk = table.remote_text(&scan(&table, &["name"], &[tenant]));
    assert!(walk.starts_with("SCAN it:user:* over "), "{walk}");
    assert!(
        walk.ends_with(" keys then HMGET it:user:{tenant}:{id} name"),
        "{walk}"
    );
    // A tenant that holds the delimiter has no key, so it has no row.
    let none = [col("tenant").eq(lit("acme:1")), col("id").eq(lit(2))];
    assert!(read(&table, &["name"], &none).await.is_empty());
    server.clear(prefix).await;
}

#[tokio::test]
async fn text_keys_and_prefixes_with_odd_characters() {
    let Some(server) = server().await else { return };
    let prefix = "it:odd[*?]\\^:";
    server.clear("it:odd").await;
    let names = [
        "", " ", "a*b", "[x]", "é", "🦀", "a\nb", "\\", "a:b", "{}", "'; drop", "\"", "*",
    ];
    for name in names {
        server.hset(&format!("{prefix}{name}"), &[("v", name)]).await;
    }
    server
        .hset("it:oddX:a", &[("v", "matched by the glob, not by the prefix")])
        .await;
    server
        .run(&[b"HSET", b"it:odd[*?]\\^:\xff", b"v", b"not UTF-8"])
        .await;
    let table = server
        .table(&format!("{prefix}{{k}}"), &["k text", "v text"])
        .await;
    let mut expected: Vec<String> = names.iter().map(|name| format!("{name}|{name}")).collect();
    expected.sort();
    assert_eq!(read(&table, &["k", "v"], &[]).await, expected);
    for name in names {
        assert_eq!(read(&table, &["v"], &[col("k").eq(lit(name))]).await, [name]);
    }
    server.clear("it:odd").await;
}

#[tokio::test]
async fn values_of_every_type() {
    let Some(server) = server().await else { return };
    let prefix = "it:values:";
    server.clear(prefix).await;
    let fields = [
        ("a", "-32768"),
        ("b", "2.5"),
        ("c", "901.00"),
        ("d", "t"),
        ("e", "2024-02-29"),
        ("f", "2024-02-29 12:00:00.000001"),
        ("g", "2024-02-29T12:00:00+01"),
        ("h", "größe"),
    ];
    server.hset("it:values:1", &fields).await;
    server.run(&[b"HSET", b"it:values:1", b"i", b"\x00\xff"]).await;
    let columns = [
        "id bigint",
        "a smallint",
        "b double precision",
        "c numeric(12,2)",
        "d boolean",
        "e date",
        "f timestamp",
        "g timestamptz",
        "h varchar(10)",
        "i bytea",
    ];
    let table = server.table("it:values:{id}", &columns).await;
    let row = read(&table, &["a", "b", "c", "d", "e", "f", "g", "h", "i"], &[]).await;
    assert_eq!(
        row,
        ["-32768|2.5|901.00|true|2024-02-29|2024-02-29T12:00:00.000001|2024-02-29T11:00:00Z|größe|00ff"]
    );
    server.clear(prefix).await;
}
