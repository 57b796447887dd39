//! Tables whose names differ in case, are keywords or as long as names may be, in each kind of source, for `cases/names`.
//!
//! Every source has the same: `orders (id, total)`, `Orders (id, customerId)`, `Items (itemId, user)`, `order (id, user)`,
//! `Parts` and `PARTS (id, size)`, and a table with a name of 64 bytes. SQLite does not tell names apart by their case, and
//! has no `orders` and `PARTS`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use causeway_sql_tests::client::Client;
use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::services::{Services, redis_connection, unique_name};
use tempfile::TempDir;

use crate::mysql::Mysql;
use crate::slt::Names;

/// A table: name, columns, its one row. The second column is a text if it is called `user`.
type Spelled = (&'static str, [&'static str; 2], [&'static str; 2]);

/// 64 bytes, as many as MySQL allows.
pub(crate) const LONG: &str = "a_name_of_64_bytes_which_is_as_long_as_a_name_may_be_in_mysql_64";

const TABLES: [Spelled; 7] = [
    ("orders", ["id", "total"], ["1", "10"]),
    ("Orders", ["id", "customerId"], ["2", "20"]),
    ("Items", ["itemId", "user"], ["3", "ann"]),
    ("order", ["id", "user"], ["4", "bob"]),
    (LONG, ["id", LONG], ["5", "50"]),
    ("Parts", ["id", "size"], ["6", "60"]),
    ("PARTS", ["id", "size"], ["7", "70"]),
];
/// What SQLite does not have.
const OTHER_SPELLINGS: [&str; 2] = ["orders", "PARTS"];

/// The place of the tables in one source.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) catalog: &'static str,
    pub(crate) schema: String,
}

impl Place {
    pub(crate) fn new(catalog: &'static str, schema: &str) -> Self {
        Self {
            catalog,
            schema: schema.to_owned(),
        }
    }

    /// It before a table's name; the schema is named where the catalog has several.
    pub(crate) fn sql(&self) -> String {
        match self.schema.as_str() {
            "public" | "main" => format!("\"{}\"", self.catalog),
            schema => format!("\"{}\".\"{schema}\"", self.catalog),
        }
    }
}

impl Names for Place {
    fn fill(&self, sql: &str) -> String {
        sql.replace("{source}", &self.sql())
            .replace("{schema}", &format!("{}.{}", self.catalog, self.schema))
            .replace("{long}", LONG)
    }

    fn hide(&self, text: &str) -> String {
        text.replace(LONG, "{long}")
    }
}

/// The places in sources that are services.
#[derive(Debug)]
pub(crate) struct Spellings {
    services: Services,
    database: String,
    prefix: String,
}

impl Spellings {
    pub(crate) async fn load(services: &Services) -> Self {
        let mysql = Mysql::named(&services.mysql_url, "my-db").await;
        let spellings = Self {
            services: services.clone(),
            database: mysql.database.clone(),
            prefix: unique_name("spellings"),
        };
        let mut redis = redis_connection(&services.redis_url).await.unwrap();
        let store = services.s3.store().unwrap();
        for (table, columns, values) in TABLES {
            let place = format!("`{}`.`{table}`", spellings.database);
            let [first, second] = columns;
            let sql_type = type_of(second, "VARCHAR(9)");
            mysql
                .run(&format!(
                    "CREATE TABLE {place} (`{first}` INT PRIMARY KEY, `{second}` {sql_type})"
                ))
                .await;
            mysql
                .run(&format!(
                    "INSERT INTO {place} VALUES ({}, '{}')",
                    values[0], values[1]
                ))
                .await;
            let key = format!("{}:{table}:{}", spellings.prefix, values[0]);
            redis::pipe()
                .hset(key, second, values[1])
                .ignore()
                .exec_async(&mut redis)
                .await
                .unwrap();
            let object = format!("{}/{table}/part-0.parquet", spellings.prefix);
            put_object(&store, &object, parquet_of(columns, values))
                .await
                .unwrap();
        }
        spellings
    }

    /// `config` with the catalogs `bucket` (S3) and `pairs` (Redis); MySQL's are in the catalog `shop`.
    pub(crate) fn config(&self, config: Config) -> Config {
        let tables = TABLES.map(|(name, [first, second], _)| RedisTable {
            name: name.to_owned(),
            key: format!("{}:{name}:{{{first}}}", self.prefix),
            columns: vec![
                format!("{first} integer"),
                format!("{second} {}", type_of(second, "text")),
            ],
        });
        config
            .s3("bucket", &self.services.s3, &format!("{}/", self.prefix))
            .redis("pairs", &self.services.redis_url, &tables)
    }

    /// Where they are.
    pub(crate) fn places(&self) -> [Place; 3] {
        [
            Place::new("shop", &self.database),
            Place::new("bucket", "public"),
            Place::new("pairs", "public"),
        ]
    }

    /// `sql` with the schemas filled in.
    pub(crate) fn sql(&self, sql: &str) -> String {
        sql.replace("{names}", &format!("shop.\"{}\"", self.database))
            .replace("{long}", LONG)
    }

    /// `text` as it stands in the cases.
    pub(crate) fn without_names(&self, text: &str) -> String {
        text.replace(&self.database, "{names}").replace(LONG, "{long}")
    }
}

/// The catalogs `my-db` (a folder), `my-lite` (SQLite), `my-kv` (embedded) and `my-mem`, which need no service.
#[derive(Debug)]
pub(crate) struct OwnSpellings {
    folder: TempDir,
}

impl OwnSpellings {
    /// Files only; [`OwnSpellings::write`] makes what is made by SQL.
    pub(crate) fn load() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lite = rusqlite::Connection::open(folder.path().join("names.db")).unwrap();
        for (table, columns, values) in TABLES {
            let place = folder.path().join("files").join(table);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("part-0.parquet"), parquet_of(columns, values)).unwrap();
            if !OTHER_SPELLINGS.contains(&table) {
                lite.execute_batch(&made_by_sql(&format!("\"{table}\""), columns, values))
                    .unwrap();
            }
        }
        Self { folder }
    }

    pub(crate) fn config(&self) -> Config {
        let at = |name: &str| self.folder.path().join(name);
        Config::new()
            .local("my-db", &at("files"))
            .sqlite("my-lite", &at("names.db"), "")
            .embedded("my-kv", &at("names.redb"))
            .memory("my-mem")
    }

    /// Makes the tables of the catalogs that can be written.
    pub(crate) async fn write(&self, client: &Client) {
        for catalog in ["my-kv", "my-mem"] {
            for (table, columns, values) in TABLES {
                let sql = made_by_sql(&format!("\"{catalog}\".\"{table}\""), columns, values);
                client.query(&sql).await.unwrap();
            }
        }
    }

    /// Where they are, but for SQLite.
    pub(crate) fn places() -> [Place; 3] {
        ["my-db", "my-kv", "my-mem"].map(|catalog| Place::new(catalog, "public"))
    }

    pub(crate) fn sqlite() -> Place {
        Place::new("my-lite", "main")
    }
}

fn type_of(column: &str, text: &'static str) -> &'static str {
    if column == "user" { text } else { "int" }
}

fn made_by_sql(place: &str, [first, second]: [&str; 2], values: [&str; 2]) -> String {
    format!(
        "CREATE TABLE {place} (\"{first}\" int PRIMARY KEY, \"{second}\" {}); INSERT INTO {place} VALUES ({}, '{}')",
        type_of(second, "text"),
        values[0],
        values[1]
    )
}

fn parquet_of(columns: [&str; 2], values: [&'static str; 2]) -> bytes::Bytes {
    let number =
        |value: &str| -> ArrayRef { Arc::new(Int32Array::from(vec![value.parse::<i32>().unwrap()])) };
    let second: ArrayRef = match columns[1] {
        "user" => Arc::new(StringArray::from(vec![values[1]])),
        _ => number(values[1]),
    };
    let batch = RecordBatch::try_from_iter([(columns[0], number(values[0])), (columns[1], second)]).unwrap();
    parquet_file(batch.schema(), Box::new(std::iter::once(Ok(batch))), 10).unwrap()
}
