//! Tables whose names differ in case, are keywords or as long as names may be, in each kind of source, for `cases/names`.
//!
//! Every source has the same: `orders (id, total)`, `Orders (id, customerId)`, `Items (itemId, user)`, `order (id, user)`
//! and a table with a name of 64 bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::services::{Services, unique_name};
use tempfile::TempDir;

use crate::mysql::Mysql;

/// A table: name, columns, its one row. The second column is a text if it is called `user`.
type Spelled = (&'static str, [&'static str; 2], [&'static str; 2]);

/// 64 bytes, as many as MySQL allows.
const LONG: &str = "a_name_of_64_bytes_which_is_as_long_as_a_name_may_be_in_mysql_64";

const TABLES: [Spelled; 5] = [
    ("orders", ["id", "total"], ["1", "10"]),
    ("Orders", ["id", "customerId"], ["2", "20"]),
    ("Items", ["itemId", "user"], ["3", "ann"]),
    ("order", ["id", "user"], ["4", "bob"]),
    (LONG, ["id", LONG], ["5", "50"]),
];

/// The places that the tables got.
#[derive(Debug)]
pub(crate) struct Spellings {
    services: Services,
    database: String,
    prefix: String,
    folder: TempDir,
}

impl Spellings {
    pub(crate) async fn load(services: &Services) -> Self {
        let mysql = Mysql::new(&services.mysql_url).await;
        let spellings = Self {
            services: services.clone(),
            database: mysql.database.clone(),
            prefix: unique_name("spellings"),
            folder: tempfile::tempdir().unwrap(),
        };
        let redis = redis::Client::open(services.redis_url.as_str()).unwrap();
        let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
        let store = services.s3.store().unwrap();
        for (table, columns, values) in TABLES {
            let sql_type = if columns[1] == "user" { "VARCHAR(9)" } else { "INT" };
            let place = format!("`{}`.`{table}`", spellings.database);
            let [first, second] = columns;
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
            let file = parquet_of(columns, values);
            let object = format!("{}/{table}/part-0.parquet", spellings.prefix);
            put_object(&store, &object, file.clone()).await.unwrap();
            let folder = spellings.folder.path().join(table);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("part-0.parquet"), file).unwrap();
        }
        spellings
    }

    /// `config` with the catalogs `my-db` (a folder), `bucket` and `pairs` (Redis); MySQL's are in the catalog `shop`.
    pub(crate) fn config(&self, config: Config) -> Config {
        let tables = TABLES.map(|(name, [first, second], _)| RedisTable {
            name: name.to_owned(),
            key: format!("{}:{name}:{{{first}}}", self.prefix),
            columns: vec![
                format!("{first} integer"),
                format!("{second} {}", if second == "user" { "text" } else { "integer" }),
            ],
        });
        config
            .local("my-db", self.folder.path())
            .s3("bucket", &self.services.s3, &format!("{}/", self.prefix))
            .redis("pairs", &self.services.redis_url, &tables)
    }

    /// `sql` with the schemas filled in.
    pub(crate) fn sql(&self, sql: &str) -> String {
        sql.replace("{names}", &format!("shop.{}", self.database))
            .replace("{long}", LONG)
    }

    /// `text` as it stands in the cases.
    pub(crate) fn without_names(&self, text: &str) -> String {
        text.replace(&self.database, "{names}").replace(LONG, "{long}")
    }
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
