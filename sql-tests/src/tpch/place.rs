//! Loads the tables into the services, and configures a server that reads them there.

use anyhow::Result;
use arrow::datatypes::DataType;
use mysql_async::prelude::Queryable;

use super::{TABLES, batches, schema};
use crate::config::{Config, RedisTable};
use crate::loaders::{insert_mysql, parquet_file, put_object, write_redis_hashes};
use crate::services::{Services, unique_name};

/// Small row groups, so that pruning has something to prune at small scales.
const ROW_GROUP_ROWS: usize = 8_192;
/// Objects of the large tables; the others have one.
const PARTS_OF_LARGE_TABLES: i32 = 4;

/// The MySQL tables, with the keys and indexes an application would have.
const MYSQL_TABLES: [(&str, &str); 4] = [
    (
        "region",
        "r_regionkey INT PRIMARY KEY, r_name CHAR(25) NOT NULL, r_comment VARCHAR(152)",
    ),
    (
        "nation",
        "n_nationkey INT PRIMARY KEY, n_name CHAR(25) NOT NULL, n_regionkey INT NOT NULL, n_comment VARCHAR(152)",
    ),
    (
        "customer",
        "c_custkey INT PRIMARY KEY, c_name VARCHAR(25) NOT NULL, c_address VARCHAR(40) NOT NULL, \
         c_nationkey INT NOT NULL, c_phone CHAR(15) NOT NULL, c_acctbal DECIMAL(15,2) NOT NULL, \
         c_mktsegment CHAR(10) NOT NULL, c_comment VARCHAR(117) NOT NULL, KEY (c_nationkey)",
    ),
    (
        "partsupp",
        "ps_partkey INT NOT NULL, ps_suppkey INT NOT NULL, ps_availqty INT NOT NULL, \
         ps_supplycost DECIMAL(15,2) NOT NULL, ps_comment VARCHAR(199) NOT NULL, \
         PRIMARY KEY (ps_partkey, ps_suppkey), KEY (ps_suppkey)",
    ),
];
const REDIS_TABLES: [&str; 2] = ["part", "supplier"];

/// Which source holds which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// lineitem and orders on S3; customer, nation, region and partsupp in MySQL; part and supplier in Redis.
    Mixed,
    /// Everything on S3.
    AllOnS3,
}

/// Loaded tables under names of their own.
#[derive(Clone, Debug)]
pub struct Tpch {
    services: Services,
    placement: Placement,
    /// The folder on S3, the MySQL database and the prefix of the Redis keys.
    name: String,
}

impl Tpch {
    /// Generates and loads the tables of `placement`.
    pub async fn load(services: &Services, placement: Placement, scale: f64) -> Result<Self> {
        let tpch = Self {
            services: services.clone(),
            placement,
            name: unique_name("tpch"),
        };
        tpch.load_s3(scale).await?;
        if placement == Placement::Mixed {
            tpch.load_mysql(scale).await?;
            tpch.load_redis(scale).await?;
        }
        Ok(tpch)
    }

    /// A server's configuration with the catalogs `lake`, `shop` and `cache`.
    pub fn config(&self) -> Config {
        let config = Config::new().s3("lake", &self.services.s3, &format!("{}/", self.name));
        if self.placement == Placement::AllOnS3 {
            return config;
        }
        let tables: Vec<RedisTable> = REDIS_TABLES
            .iter()
            .filter_map(|table| self.redis_table(table))
            .collect();
        config
            .mysql("shop", &self.services.mysql_url)
            .redis("cache", &self.services.redis_url, &tables)
    }

    /// `sql` with each `{table}` replaced by the table's full name.
    pub fn sql(&self, sql: &str) -> String {
        TABLES.iter().fold(sql.to_owned(), |sql, table| {
            sql.replace(&format!("{{{table}}}"), &self.table(table))
        })
    }

    /// The full name of a table.
    pub fn table(&self, table: &str) -> String {
        if self.is_in(&MYSQL_TABLES.map(|(name, _)| name), table) {
            format!("shop.{}.{table}", self.name)
        } else if self.is_in(&REDIS_TABLES, table) {
            format!("cache.public.{table}")
        } else {
            format!("lake.public.{table}")
        }
    }

    fn is_in(&self, tables: &[&str], table: &str) -> bool {
        self.placement == Placement::Mixed && tables.contains(&table)
    }

    async fn load_s3(&self, scale: f64) -> Result<()> {
        let store = self.services.s3.store()?;
        for table in TABLES {
            if !self.table(table).starts_with("lake.") {
                continue;
            }
            let parts = if matches!(table, "lineitem" | "orders") {
                PARTS_OF_LARGE_TABLES
            } else {
                1
            };
            for part in 1..=parts {
                let file = parquet_file(
                    schema(table)?,
                    batches(table, scale, part, parts)?,
                    ROW_GROUP_ROWS,
                )?;
                put_object(
                    &store,
                    &format!("{}/{table}/part-{part}.parquet", self.name),
                    file,
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn load_mysql(&self, scale: f64) -> Result<()> {
        let pool = mysql_async::Pool::from_url(&self.services.mysql_url)?;
        let mut connection = pool.get_conn().await?;
        connection
            .query_drop(format!("CREATE DATABASE {}", self.name))
            .await?;
        for (table, columns) in MYSQL_TABLES {
            let full_name = format!("{}.{table}", self.name);
            connection
                .query_drop(format!("CREATE TABLE {full_name} ({columns})"))
                .await?;
            insert_mysql(&mut connection, &full_name, batches(table, scale, 1, 1)?).await?;
            connection
                .query_drop(format!("ANALYZE TABLE {full_name}"))
                .await?;
        }
        drop(connection);
        Ok(pool.disconnect().await?)
    }

    async fn load_redis(&self, scale: f64) -> Result<()> {
        let client = redis::Client::open(self.services.redis_url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        for table in REDIS_TABLES {
            let prefix = format!("{}:{table}:", self.name);
            write_redis_hashes(&mut connection, &prefix, batches(table, scale, 1, 1)?).await?;
        }
        Ok(())
    }

    fn redis_table(&self, table: &str) -> Option<RedisTable> {
        let schema = schema(table).ok()?;
        Some(RedisTable {
            name: table.to_owned(),
            key: format!("{}:{table}:{{{}}}", self.name, schema.fields().first()?.name()),
            columns: schema
                .fields()
                .iter()
                .map(|field| format!("{} {}", field.name(), sql_type(field.data_type())))
                .collect(),
        })
    }
}

/// The name in a table definition of the types that the generator uses.
fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "bigint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision},{scale})"),
        _ => "text".to_owned(),
    }
}
