//! Loads the tables into the services, and configures a server that reads them there.

use anyhow::Result;
use arrow::datatypes::DataType;
use mysql_async::prelude::Queryable;

use super::{TABLES, batches, schema};
use crate::config::{Config, RedisTable};
use crate::loaders::{insert_mysql, parquet_file, put_object, write_redis_hashes};
use crate::services::{Services, redis_connection, unique_name};

/// Small row groups, so that pruning has something to prune at small scales.
const ROW_GROUP_ROWS: usize = 8_192;
/// Objects of the large tables; the others have one.
const PARTS_OF_LARGE_TABLES: i32 = 4;

/// The MySQL tables, with the keys and indexes an application would have.
const MYSQL_TABLES: [(&str, &str); 8] = [
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
    (
        "part",
        "p_partkey INT PRIMARY KEY, p_name VARCHAR(55) NOT NULL, p_mfgr CHAR(25) NOT NULL, p_brand CHAR(10) NOT NULL, \
         p_type VARCHAR(25) NOT NULL, p_size INT NOT NULL, p_container CHAR(10) NOT NULL, \
         p_retailprice DECIMAL(15,2) NOT NULL, p_comment VARCHAR(23) NOT NULL",
    ),
    (
        "supplier",
        "s_suppkey INT PRIMARY KEY, s_name CHAR(25) NOT NULL, s_address VARCHAR(40) NOT NULL, \
         s_nationkey INT NOT NULL, s_phone CHAR(15) NOT NULL, s_acctbal DECIMAL(15,2) NOT NULL, \
         s_comment VARCHAR(101) NOT NULL, KEY (s_nationkey)",
    ),
    (
        "orders",
        "o_orderkey BIGINT PRIMARY KEY, o_custkey INT NOT NULL, o_orderstatus CHAR(1) NOT NULL, \
         o_totalprice DECIMAL(15,2) NOT NULL, o_orderdate DATE NOT NULL, o_orderpriority CHAR(15) NOT NULL, \
         o_clerk CHAR(15) NOT NULL, o_shippriority INT NOT NULL, o_comment VARCHAR(79) NOT NULL, \
         KEY (o_custkey), KEY (o_orderdate)",
    ),
    (
        "lineitem",
        "l_orderkey BIGINT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL, l_linenumber INT NOT NULL, \
         l_quantity DECIMAL(15,2) NOT NULL, l_extendedprice DECIMAL(15,2) NOT NULL, l_discount DECIMAL(15,2) NOT NULL, \
         l_tax DECIMAL(15,2) NOT NULL, l_returnflag CHAR(1) NOT NULL, l_linestatus CHAR(1) NOT NULL, \
         l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL, \
         l_shipinstruct CHAR(25) NOT NULL, l_shipmode CHAR(10) NOT NULL, l_comment VARCHAR(44) NOT NULL, \
         PRIMARY KEY (l_orderkey, l_linenumber), KEY (l_partkey), KEY (l_shipdate)",
    ),
];
/// What of them is in MySQL in the mixed placement.
const MYSQL_TABLES_MIXED: [&str; 4] = ["region", "nation", "customer", "partsupp"];
const REDIS_TABLES_MIXED: [&str; 2] = ["part", "supplier"];

/// Which source holds which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// lineitem and orders on S3; customer, nation, region and partsupp in MySQL; part and supplier in Redis.
    Mixed,
    /// Everything on S3.
    AllOnS3,
    /// Everything in MySQL.
    AllInMySql,
    /// Nothing but orders, in MySQL.
    OrdersInMySql,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    S3,
    MySql,
    Redis,
    Nowhere,
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
        for table in TABLES {
            match tpch.source(table) {
                Source::S3 => tpch.load_s3(table, scale).await?,
                Source::Redis => tpch.load_redis(table, scale).await?,
                Source::MySql | Source::Nowhere => {}
            }
        }
        if TABLES.iter().any(|table| tpch.source(table) == Source::MySql) {
            tpch.load_mysql(scale).await?;
        }
        Ok(tpch)
    }

    /// A server's configuration with those of the catalogs `lake`, `shop` and `cache` that hold a table.
    pub fn config(&self) -> Config {
        let holds = |source| TABLES.iter().any(|table| self.source(table) == source);
        let mut config = Config::new();
        if holds(Source::S3) {
            config = config.s3("lake", &self.services.s3, &format!("{}/", self.name));
        }
        if holds(Source::MySql) {
            config = config.mysql("shop", &self.services.mysql_url);
        }
        if holds(Source::Redis) {
            let tables: Vec<RedisTable> = REDIS_TABLES_MIXED
                .iter()
                .filter_map(|table| self.redis_table(table))
                .collect();
            config = config.redis("cache", &self.services.redis_url, &tables);
        }
        config
    }

    /// `sql` with each `{table}` replaced by the table's full name.
    pub fn sql(&self, sql: &str) -> String {
        TABLES.iter().fold(sql.to_owned(), |sql, table| {
            sql.replace(&format!("{{{table}}}"), &self.table(table))
        })
    }

    /// The full name of a table.
    pub fn table(&self, table: &str) -> String {
        match self.source(table) {
            Source::S3 => format!("lake.public.{table}"),
            Source::MySql => format!("shop.{}.{table}", self.name),
            Source::Redis => format!("cache.public.{table}"),
            Source::Nowhere => table.to_owned(),
        }
    }

    /// The folder on S3, the database of MySQL, and what the keys of Redis begin with.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn source(&self, table: &str) -> Source {
        match self.placement {
            Placement::AllOnS3 => Source::S3,
            Placement::AllInMySql => Source::MySql,
            Placement::OrdersInMySql if table == "orders" => Source::MySql,
            Placement::OrdersInMySql => Source::Nowhere,
            Placement::Mixed if MYSQL_TABLES_MIXED.contains(&table) => Source::MySql,
            Placement::Mixed if REDIS_TABLES_MIXED.contains(&table) => Source::Redis,
            Placement::Mixed => Source::S3,
        }
    }

    async fn load_s3(&self, table: &str, scale: f64) -> Result<()> {
        let store = self.services.s3.store()?;
        let parts = if matches!(table, "lineitem" | "orders") {
            PARTS_OF_LARGE_TABLES
        } else {
            1
        };
        for part in 1..=parts {
            let rows = batches(table, scale, part, parts)?;
            let file = parquet_file(schema(table)?, rows, ROW_GROUP_ROWS)?;
            put_object(
                &store,
                &format!("{}/{table}/part-{part}.parquet", self.name),
                file,
            )
            .await?;
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
            if self.source(table) != Source::MySql {
                continue;
            }
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

    async fn load_redis(&self, table: &str, scale: f64) -> Result<()> {
        let mut connection = redis_connection(&self.services.redis_url).await?;
        let prefix = format!("{}:{table}:", self.name);
        write_redis_hashes(&mut connection, &prefix, batches(table, scale, 1, 1)?).await
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
