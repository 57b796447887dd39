//! What Redis holds besides the hashes of the fixtures, for `cases/connectors/redis.slt`: a table for each format.

use redis::aio::MultiplexedConnection;

/// Makes the values below `prefix`.
pub(crate) async fn load(connection: &mut MultiplexedConnection, prefix: &str) {
    let commands: [&[&str]; 19] = [
        &[
            "SET",
            "doc:1",
            r#"{"name":"Ann","address":{"city":"Bern"},"tags":["a","b"],"paid":12.50}"#,
        ],
        &[
            "SET",
            "doc:2",
            r#"{"name":null,"address":{"city":{"zip":"1000"}},"tags":[],"paid":"7"}"#,
        ],
        &["SET", "doc:3", "[]"],
        &["SET", "doc:04", r#"{"name":"no row"}"#],
        &["SET", "bad:1", r#"{"paid":"dear"}"#],
        &["SET", "bad:2", "{"],
        &["SET", "hits:a", "7"],
        &["SET", "hits:b:c", "-1"],
        &["HSET", "hits:hash", "x", "no row"],
        &["SADD", "tags:1", "red", "blue"],
        &["SADD", "tags:2", ""],
        &["SADD", "tags:02", "no row"],
        &["ZADD", "board:chess", "1500.5", "ann", "1700", "bob"],
        &["ZADD", "board:go", "-inf", "ann"],
        &["RPUSH", "queue:in", "x", "y", "x"],
        &["HSET", "session:s1", "user", "ann"],
        &["EXPIRE", "session:s1", "100000"],
        &["HSET", "session:s2", "user", "bob", "login name", "Bob"],
        &["SET", "session:s3", "no row"],
    ];
    let mut pipeline = redis::pipe();
    for command in commands {
        let (name, arguments) = command.split_first().expect("a command has a name");
        let (key, values) = arguments.split_first().expect("a command has a key");
        pipeline
            .cmd(name)
            .arg(format!("{prefix}:{key}"))
            .arg(values)
            .ignore();
    }
    pipeline.exec_async(connection).await.unwrap();
}

/// The tables over them, as lines of the catalog `cache`.
pub(crate) fn tables(prefix: &str) -> String {
    let tables = [
        (
            "docs",
            "doc:{id}",
            r#"value = "json"
               columns = ["id bigint", "name text", { name = "city", type = "text", path = "$.address.city" },
                          { name = "tag", type = "text", path = "$.tags[0]" }, "tags text[]", "paid numeric(10,2)"]"#,
        ),
        (
            "strict",
            "bad:{id}",
            r#"value = "json"
               columns = ["id bigint", "paid numeric(10,2)"]"#,
        ),
        (
            "lenient",
            "bad:{id}",
            r#"value = "json"
               invalid = "null"
               columns = ["id bigint", "paid numeric(10,2)"]"#,
        ),
        (
            "hits",
            "hits:{page}",
            r#"value = "string"
               columns = ["page text", "hits bigint"]"#,
        ),
        (
            "tags",
            "tags:{id}",
            r#"value = "set"
               columns = ["id bigint", { name = "tag", type = "text", field = "element" }]"#,
        ),
        (
            "board",
            "board:{game}",
            r#"value = "zset"
               columns = ["game text", { name = "player", type = "text", field = "element" }, "score double precision"]"#,
        ),
        (
            "queue",
            "queue:{name}",
            r#"value = "list"
               columns = ["name text", "position bigint", { name = "item", type = "text", field = "element" }]"#,
        ),
        (
            "sessions",
            "session:{id}",
            r#"hidden = ["_key", "_ttl"]
               columns = ["id text", "user text", { name = "login", type = "text", field = "login name" }]"#,
        ),
    ];
    let table = |(name, key, lines)| {
        format!("[[catalogs.cache.tables]]\nname = \"{name}\"\nkey = \"{prefix}:{key}\"\n{lines}\n\n")
    };
    tables.map(table).concat()
}
