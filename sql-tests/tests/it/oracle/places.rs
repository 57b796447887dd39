//! Loads the generated tables into PostgreSQL and into every source, each of which holds the columns that it keeps exactly.

use causeway_sql_tests::client::Client;
use causeway_sql_tests::config::{Config, RedisTable};
use causeway_sql_tests::loaders::{parquet_file, put_object};
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::{Services, redis_connection, unique_name};
use tempfile::TempDir;

use super::kind::ColumnKind;
use super::tables::Table;
use crate::mysql::Mysql;

/// Where copies of the tables are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What stands before a table's name.
    pub(super) prefix: String,
    /// What the source does not keep exactly.
    pub(super) left_out: &'static [ColumnKind],
}

/// The server under test with its sources, and PostgreSQL's schema with the same tables.
pub(super) struct Placed {
    pub(super) places: Vec<Place>,
    pub(super) server: Server,
    postgres_url: String,
    schema: String,
    _folder: TempDir,
}

/// MySQL has no NaN, and its truth values are numbers.
const MYSQL_LEFT_OUT: &[ColumnKind] = &[ColumnKind::Float, ColumnKind::Bool];
/// SQLite has no NaN, and keeps decimals as doubles.
const SQLITE_LEFT_OUT: &[ColumnKind] = &[ColumnKind::Float, ColumnKind::Wide];

impl Placed {
    /// Loads `tables` everywhere and starts the server.
    pub(super) async fn load(tables: &[Table], services: &Services, postgres_url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = unique_name("oracle");
        let mysql = Mysql::named(&services.mysql_url, "oracle").await;
        let place = |prefix: &str, left_out| Place {
            prefix: prefix.to_owned(),
            left_out,
        };
        let places = vec![
            place("mem.public", &[]),
            place(&format!("shop.{}", mysql.database), MYSQL_LEFT_OUT),
            place("lite.main", SQLITE_LEFT_OUT),
            place("loose.main", SQLITE_LEFT_OUT),
            place("lake.public", &[]),
            place("files.public", &[]),
            place("kv.public", &[]),
            place("cache.public", &[]),
        ];
        load_mysql(tables, &mysql).await;
        load_sqlite(tables, &folder);
        load_files(tables, services, &name, &folder).await;
        load_redis(tables, services, &name).await;
        load_postgres(tables, postgres_url, &name).await;
        let config = Config::new()
            .memory("mem")
            .mysql("shop", &services.mysql_url)
            .sqlite("lite", &folder.path().join("oracle.db"), "")
            .sqlite("loose", &folder.path().join("oracle.db"), "invalid = \"null\"")
            .s3("lake", &services.s3, &format!("{name}/"))
            .local("files", &folder.path().join("files"))
            .embedded("kv", &folder.path().join("oracle.redb"))
            .redis("cache", &services.redis_url, &redis_tables(tables, &name));
        let server = Server::start(&config).unwrap();
        let placed = Self {
            places,
            server,
            postgres_url: postgres_url.to_owned(),
            schema: name,
            _folder: folder,
        };
        placed.write(tables).await;
        placed
    }

    /// Makes the tables of the catalogs that can be written.
    async fn write(&self, tables: &[Table]) {
        let client = self.server.connect().await.unwrap();
        for catalog in ["mem", "kv"] {
            for table in tables {
                let place = format!("{catalog}.public.{}", table.name);
                let positions = table.positions(&[]);
                client
                    .query(&table.create(&place, &positions, ColumnKind::declared))
                    .await
                    .unwrap();
                if let Some(insert) = table.insert(&place, &positions) {
                    client.query(&insert).await.unwrap();
                }
            }
        }
    }

    /// A connection to PostgreSQL that sees the tables.
    pub(super) async fn postgres(&self) -> Client {
        let client = Client::connect_url(&self.postgres_url).await.unwrap();
        client
            .query(&format!(
                "SET search_path = {}; SET statement_timeout = '30s'",
                self.schema
            ))
            .await
            .unwrap();
        client
    }

    /// A connection to the server, whose session has done `set`.
    pub(super) async fn causeway(&self, set: &str) -> Client {
        let client = self.server.connect().await.unwrap();
        client.query(set).await.unwrap();
        client
    }

    /// Drops PostgreSQL's copy; what is left when a test fails goes with the server.
    pub(super) async fn drop_schema(&self) {
        let client = self.postgres().await;
        client
            .query(&format!("DROP SCHEMA {} CASCADE", self.schema))
            .await
            .unwrap();
    }
}

async fn load_postgres(tables: &[Table], url: &str, schema: &str) {
    let client = Client::connect_url(url).await.unwrap();
    client.query(&format!("CREATE SCHEMA {schema}")).await.unwrap();
    for table in tables {
        let place = format!("{schema}.{}", table.name);
        let positions = table.positions(&[]);
        client
            .query(&table.create(&place, &positions, ColumnKind::declared))
            .await
            .unwrap();
        if let Some(insert) = table.insert(&place, &positions) {
            client.query(&insert).await.unwrap();
        }
    }
    client.query("ANALYZE").await.unwrap();
}

/// Under the usual collation, to which case, accents and trailing blanks are nothing.
async fn load_mysql(tables: &[Table], mysql: &Mysql) {
    for table in tables {
        let place = format!("{}.{}", mysql.database, table.name);
        let positions = table.positions(MYSQL_LEFT_OUT);
        let create = table.create(&place, &positions, |kind| match kind {
            ColumnKind::Text | ColumnKind::Word => "varchar(40)",
            ColumnKind::Timestamp => "datetime(6)",
            other => other.declared(),
        });
        mysql
            .run(&format!(
                "{create} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
            ))
            .await;
        let keys = [ColumnKind::Few, ColumnKind::Word, ColumnKind::Date];
        for key in keys.into_iter().filter(|key| table.columns.contains(key)) {
            mysql
                .run(&format!("ALTER TABLE {place} ADD KEY ({})", key.name()))
                .await;
        }
        if let Some(insert) = table.insert(&place, &positions) {
            mysql.run(&insert.replace('\\', "\\\\")).await;
        }
    }
}

fn load_sqlite(tables: &[Table], folder: &TempDir) {
    let file = rusqlite::Connection::open(folder.path().join("oracle.db")).unwrap();
    for table in tables {
        let positions = table.positions(SQLITE_LEFT_OUT);
        let create = table.create(table.name, &positions, ColumnKind::declared);
        file.execute_batch(&create).unwrap();
        if let Some(insert) = table.insert(table.name, &positions) {
            // Its truth values are 0 and 1.
            let insert = insert.replace("'true'", "1").replace("'false'", "0");
            file.execute_batch(&insert).unwrap();
        }
    }
}

/// Parquet in small row groups: in a bucket, and in a folder of two files.
async fn load_files(tables: &[Table], services: &Services, prefix: &str, folder: &TempDir) {
    const GROUP_ROWS: usize = 8;
    let store = services.s3.store().unwrap();
    for table in tables {
        let batch = table.batch();
        let file = |rows: arrow::array::RecordBatch| {
            parquet_file(rows.schema(), Box::new(std::iter::once(Ok(rows))), GROUP_ROWS).unwrap()
        };
        let key = format!("{prefix}/{}/part-0.parquet", table.name);
        put_object(&store, &key, file(batch.clone())).await.unwrap();
        let place = folder.path().join("files").join(table.name);
        std::fs::create_dir_all(&place).unwrap();
        let half = batch.num_rows() / 2;
        let halves = [batch.slice(0, half), batch.slice(half, batch.num_rows() - half)];
        for (index, rows) in halves.into_iter().enumerate() {
            std::fs::write(place.join(format!("part-{index}.parquet")), file(rows)).unwrap();
        }
    }
}

async fn load_redis(tables: &[Table], services: &Services, prefix: &str) {
    let mut connection = redis_connection(&services.redis_url).await.unwrap();
    let mut pipeline = redis::pipe();
    for table in tables {
        for row in 0..table.rows.len() {
            let fields: Vec<(&str, &str)> = (0..table.columns.len())
                .filter_map(|column| Some((table.columns[column].name(), table.value(row, column)?)))
                .collect();
            let key = format!("{prefix}:{}:{}", table.name, row + 1);
            pipeline.hset_multiple(key, &fields).ignore();
        }
    }
    pipeline.exec_async(&mut connection).await.unwrap();
}

fn redis_tables(tables: &[Table], prefix: &str) -> Vec<RedisTable> {
    tables
        .iter()
        .map(|table| RedisTable {
            name: table.name.to_owned(),
            key: format!("{prefix}:{}:{{id}}", table.name),
            columns: table
                .columns
                .iter()
                .map(|kind| {
                    let word = match kind.declared() {
                        "int4" => "integer",
                        word => word,
                    };
                    format!("{} {word}", kind.name())
                })
                .collect(),
        })
        .collect()
}
