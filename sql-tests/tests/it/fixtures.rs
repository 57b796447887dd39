//! A few rows in each source for `cases/**/*.slt`: customers in MySQL, stock in Redis, orders on S3.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::services::{Services, redis_connection, unique_name};
use mysql_async::prelude::Queryable;
use tempfile::TempDir;

use crate::files;
use crate::mysql::Mysql;
use crate::redis_values;
use crate::slt::Names;
use crate::spellings::Spellings;

/// Customers differ in case, accent and trailing blank where MySQL's collation sees no difference.
const CUSTOMERS: &str = "\
    (1, 'Ann', 'Bern', 10.50, '1990-01-31', '2024-01-31 10:00:00.5'), \
    (2, 'ann', 'Oslo', -3.25, NULL, '2024-02-29 23:59:59'), \
    (3, 'Ann ', 'Bern', 0.00, '1970-01-01', NULL), \
    (4, 'Ánn', '', NULL, '2000-02-29', '2024-03-01 00:00:00'), \
    (5, 'Zoë', 'Rome', 99999999.99, '1969-12-31', '1999-12-31 12:30:00'), \
    (6, NULL, NULL, 7.00, '2024-12-31', '2024-12-31 00:00:01')";
const STOCK: [(&str, Option<&str>, Option<&str>); 4] = [
    ("a-1", Some("5"), Some("1.50")),
    ("b-2", Some("0"), Some("20.00")),
    ("c-3", None, Some("3.33")),
    ("d-4", Some("-7"), None),
];

/// The names that the fixtures got.
#[derive(Clone, Debug)]
pub(crate) struct Fixtures {
    services: Services,
    database: String,
    prefix: String,
    spellings: Option<Arc<Spellings>>,
    /// The local catalog; deleted with the last clone.
    files: Arc<TempDir>,
}

impl Fixtures {
    pub(crate) async fn load(services: &Services) -> Self {
        let mysql = Mysql::new(&services.mysql_url).await;
        let fixtures = Self {
            services: services.clone(),
            database: mysql.database.clone(),
            prefix: unique_name("fixtures"),
            spellings: None,
            files: Arc::new(tempfile::tempdir().unwrap()),
        };
        files::write(fixtures.files.path());
        fixtures.load_customers(&mysql).await;
        fixtures.load_kinds(&mysql).await;
        fixtures.load_visits(&mysql).await;
        fixtures.load_stock().await;
        fixtures.load_orders().await;
        fixtures
    }

    /// With the tables of `cases/names` beside them.
    pub(crate) async fn with_spellings(mut self, services: &Services) -> Self {
        self.spellings = Some(Arc::new(Spellings::load(services).await));
        self
    }

    pub(crate) fn config(&self) -> Config {
        let stock = RedisTable {
            name: "stock".to_owned(),
            key: format!("{}:stock:{{sku}}", self.prefix),
            columns: ["sku text", "quantity integer", "price numeric(8,2)"]
                .map(str::to_owned)
                .to_vec(),
        };
        let config = Config::new()
            // Plans show the number of partitions, which must not depend on the machine.
            .server("target_partitions = 2")
            .mysql("shop", &self.services.mysql_url)
            .redis("cache", &self.services.redis_url, &[stock])
            .catalog_lines(&redis_values::tables(&self.prefix))
            .s3("lake", &self.services.s3, &format!("{}/", self.prefix));
        let config = files::catalog(config, self.files.path());
        match &self.spellings {
            Some(spellings) => spellings.config(config),
            None => config,
        }
    }

    /// `sql` with the names of the schemas filled in.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let sql = match &self.spellings {
            Some(spellings) => spellings.sql(sql),
            None => sql.to_owned(),
        };
        sql.replace("{shop}", &format!("shop.{}", self.database))
            .replace("{db}", &self.database)
            .replace("{cache}", "cache.public")
            .replace("{lake}", "lake.public")
    }

    /// `text` with the names that differ in each run as they stand in the cases.
    pub(crate) fn without_names(&self, text: &str) -> String {
        let text = match &self.spellings {
            Some(spellings) => spellings.without_names(text),
            None => text.to_owned(),
        };
        let text = text
            .replace(&self.database, "{db}")
            .replace(&self.prefix, "{prefix}");
        without_key_count(&text)
    }

    async fn load_customers(&self, mysql: &Mysql) {
        let table = format!("{}.customers", self.database);
        mysql
            .run(&format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, name VARCHAR(20), city VARCHAR(20), \
                 balance DECIMAL(10,2), born DATE, seen DATETIME(6), KEY (name), KEY (city)) \
                 CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
            ))
            .await;
        mysql
            .run(&format!("INSERT INTO {table} VALUES {CUSTOMERS}"))
            .await;
        // Plans go by its number of rows. The server counts them by itself as well, once, and perhaps before all are there.
        mysql.run(&format!("ANALYZE TABLE {table}")).await;
    }

    /// Types that only MySQL has, and values that only it allows.
    async fn load_kinds(&self, mysql: &Mysql) {
        let table = format!("{}.kinds", self.database);
        mysql
            .run(&format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, flag TINYINT(1), big BIGINT UNSIGNED, wide DECIMAL(65,30), \
                 ratio DOUBLE, born YEAR, bits BIT(9), color ENUM('red','GREEN'), tags SET('a','b'), doc JSON, \
                 lasts TIME(3), day DATE NOT NULL, moment TIMESTAMP(3) NULL, code VARCHAR(9) COLLATE utf8mb4_nopad_bin, \
                 latin VARCHAR(9) CHARACTER SET latin1, raw VARBINARY(4), KEY (big), KEY (latin, id))"
            ))
            .await;
        let mut connection = mysql.connect().await;
        for statement in [
            "SET NAMES utf8mb4, sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'".to_owned(),
            format!(
                "INSERT INTO {table} VALUES (1, 2, 18446744073709551615, 0.000000000000000000000000000001, -0.5, 1901, \
                 b'100000001', 'green', 'b,a', '{{\"k\": 1}}', '-838:59:59', '2024-02-31', '2024-03-31 02:30:00.5', \
                 'a ', 'é', 0x00ff), \
                 (2, 0, 0, -12345678901234567890123456789012345.5, 1e300, 0, b'0', 'red', '', '[]', '100:00:00', \
                 '2024-02-29', '1970-01-01 00:00:01', 'A', 'E', ''), \
                 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '0000-00-00', NULL, NULL, NULL, NULL)"
            ),
        ] {
            connection.query_drop(statement).await.unwrap();
        }
        connection.disconnect().await.unwrap();
    }

    /// Days and moments at the edges of years, weeks and the calendar; whole numbers at the edges of their types.
    async fn load_visits(&self, mysql: &Mysql) {
        let table = format!("{}.visits", self.database);
        let mut connection = mysql.connect().await;
        for statement in [
            "SET sql_mode = 'ALLOW_INVALID_DATES'".to_owned(),
            format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, day DATE, at DATETIME(6), tiny SMALLINT, num INT, big BIGINT, \
                 plus INT UNSIGNED)"
            ),
            format!(
                "INSERT INTO {table} VALUES \
                 (1, '2020-12-31', '2020-12-31 23:59:59.999999', 32767, 2147483647, 9223372036854775807, 4294967295), \
                 (2, '2021-01-01', '2021-01-01 00:00:00', -32768, -2147483648, -9223372036854775808, 0), \
                 (3, '2021-01-03', '2021-01-03 12:30:59.5', 1, 2, 3, 1), (4, '2021-01-04', '2021-01-04 12:59:59', 7, 7, 7, 7), \
                 (5, '0001-01-01', '0001-01-01 01:00:00', 0, 0, 0, 0), \
                 (6, '9999-12-31', '9999-12-31 23:59:59.999999', NULL, NULL, NULL, NULL), \
                 (7, '0000-00-00', '2024-02-31 10:00:00', 3, 3, 3, 3), (8, NULL, NULL, 2, 100000, 10000000000, 5), \
                 (9, '2024-02-29', '2024-08-15 10:20:30', 2, 3, 4, 5), (10, '0069-11-30', '1969-11-30 09:08:07', 2, 3, 4, 5)"
            ),
        ] {
            connection.query_drop(statement).await.unwrap();
        }
        connection.disconnect().await.unwrap();
    }

    async fn load_stock(&self) {
        let mut connection = redis_connection(&self.services.redis_url).await.unwrap();
        let mut pipeline = redis::pipe();
        for (sku, quantity, price) in STOCK {
            let fields: Vec<(&str, &str)> = [("sku", Some(sku)), ("quantity", quantity), ("price", price)]
                .into_iter()
                .filter_map(|(field, value)| Some((field, value?)))
                .collect();
            pipeline
                .hset_multiple(format!("{}:stock:{sku}", self.prefix), &fields)
                .ignore();
        }
        // Estimates come from DBSIZE and a sample of keys: in a keyspace of some size lookups are the better plan.
        for filler in 0..10_000 {
            pipeline
                .set(format!("{}:filler:{filler}", self.prefix), filler)
                .ignore();
        }
        pipeline.exec_async(&mut connection).await.unwrap();
        redis_values::load(&mut connection, &self.prefix).await;
    }

    async fn load_orders(&self) {
        let store = self.services.s3.store().unwrap();
        // (id, customer, sku, quantity, price in cents, day since 1970) in two objects.
        let objects: [&[OrderRow]; 2] = [
            &[
                (1, Some(1), Some("a-1"), 2, Some(150), Some(19_753)),
                (2, Some(1), Some("b-2"), 1, Some(2000), Some(19_754)),
                (3, Some(2), Some("a-1"), 10, Some(140), Some(19_782)),
            ],
            &[
                (4, Some(5), Some("c-3"), 3, None, Some(20_088)),
                (5, Some(9), Some("x-9"), 1, Some(1), None),
                (6, None, None, 0, Some(0), Some(-1)),
            ],
        ];
        for (index, rows) in objects.into_iter().enumerate() {
            let batch = order_batch(rows);
            let file = parquet_file(batch.schema(), Box::new(std::iter::once(Ok(batch))), 2).unwrap();
            let key = format!("{}/orders/part-{index}.parquet", self.prefix);
            put_object(&store, &key, file).await.unwrap();
        }
    }
}

impl Names for Fixtures {
    fn fill(&self, sql: &str) -> String {
        self.sql(sql)
    }

    fn hide(&self, text: &str) -> String {
        self.without_names(text)
    }
}

/// `over 12345 keys` without the number, which counts the keys of other tests too.
fn without_key_count(text: &str) -> String {
    let mut parts = text.split(" over ");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|character: char| character.is_ascii_digit());
        let counted = rest.len() < part.len() && rest.starts_with(" keys");
        shown += " over ";
        shown += if counted { "{n}" } else { "" };
        shown += if counted { rest } else { part };
    }
    shown
}

type OrderRow = (
    i64,
    Option<i32>,
    Option<&'static str>,
    i32,
    Option<i128>,
    Option<i32>,
);

fn order_batch(rows: &[OrderRow]) -> RecordBatch {
    let prices = Decimal128Array::from_iter(rows.iter().map(|row| row.4));
    let columns: [(&str, ArrayRef); 6] = [
        (
            "id",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        ),
        (
            "customer_id",
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.1))),
        ),
        (
            "sku",
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2))),
        ),
        (
            "quantity",
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.3))),
        ),
        ("price", Arc::new(prices.with_precision_and_scale(10, 2).unwrap())),
        (
            "ordered",
            Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.5))),
        ),
    ];
    // Nullable everywhere: the objects must have one schema.
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}
