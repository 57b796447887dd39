//! Names on every source: `cases/names`, the words of the errors, hints that are pasted, and what psql lists.

use std::sync::Arc;

use causeway_sql_tests::client::{Client, QueryFailure};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::{Services, has_psql};

use crate::catalogs::psql;
use crate::slt::{Names, cases, run_files};
use crate::spellings::{LONG, OwnSpellings, Place, Spellings};

/// The tables as psql lists them, sorted by bytes.
const LISTED: [&str; 7] = ["Items", "Orders", "PARTS", "Parts", LONG, "order", "orders"];

struct Sources {
    server: Server,
    /// Those with the same tables.
    places: Vec<Place>,
    /// SQLite's, which has fewer.
    sqlite: Option<Place>,
    _own: Option<OwnSpellings>,
}

impl Sources {
    async fn own() -> Self {
        let own = OwnSpellings::load();
        let server = Server::start(&own.config()).unwrap();
        own.write(&server.connect().await.unwrap()).await;
        Self {
            server,
            places: OwnSpellings::places().to_vec(),
            sqlite: Some(OwnSpellings::sqlite()),
            _own: Some(own),
        }
    }

    /// `None`, after saying so, where the services are not there.
    async fn services() -> Option<Self> {
        let services = Services::from_env()?;
        let spellings = Spellings::load(&services).await;
        let config = Config::new().mysql("shop", &services.mysql_url);
        Some(Self {
            server: Server::start(&spellings.config(config)).unwrap(),
            places: spellings.places().to_vec(),
            sqlite: None,
            _own: None,
        })
    }

    async fn run_cases(&self) {
        for pushdown in ["on", "off"] {
            for place in &self.places {
                self.run_case("names/every_source.slt", place, pushdown).await;
            }
            if let Some(place) = &self.sqlite {
                self.run_case("names/sqlite.slt", place, pushdown).await;
            }
        }
    }

    async fn run_case(&self, file: &str, place: &Place, pushdown: &'static str) {
        println!("in {}", place.sql());
        let names: Arc<dyn Names> = Arc::new(place.clone());
        run_files(&self.server, &names, &[cases().join(file)], pushdown).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_of_sources_without_a_service() {
    Sources::own().await.run_cases().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_of_services() {
    if let Some(sources) = Sources::services().await {
        sources.run_cases().await;
    }
}

#[tokio::test]
async fn errors_say_which_names_there_are() {
    let own = Sources::own().await;
    let client = own.server.connect().await.unwrap();
    for place in &own.places {
        check_errors(&client, place).await;
    }
    check_columns_of_two_spellings(&client).await;
    let sqlite = own.sqlite.as_ref().unwrap();
    check_near_misses(&client, sqlite, "Orders").await;
    if let Some(services) = Sources::services().await {
        let client = services.server.connect().await.unwrap();
        for place in &services.places {
            check_errors(&client, place).await;
        }
    }
}

async fn check_errors(client: &Client, place: &Place) {
    check_near_misses(client, place, "orders").await;
    let source = place.sql();
    let failure = failure(client, &format!("SELECT * FROM {source}.pArts")).await;
    assert_eq!(
        told(&failure),
        (
            "42P09",
            "name \"parts\" is ambiguous",
            "Quote one of \"PARTS\", \"Parts\"."
        )
    );
    let at = u32::try_from("SELECT * FROM ".len() + source.len() + 2).unwrap();
    assert_eq!(failure.position, Some(at), "{source}");
}

/// Names that are nearly right. `orders`: how the source spells that table.
async fn check_near_misses(client: &Client, place: &Place, orders: &str) {
    let Place { catalog, schema } = place;
    let source = place.sql();
    for (table, meant) in [
        ("ordrs", orders),
        ("\"orderS\"", orders),
        ("itms", "Items"),
        ("\"ordr\"", "order"),
    ] {
        let failure = failure(client, &format!("SELECT count(*) FROM {source}.{table}")).await;
        let pasted = format!("\"{catalog}\".\"{schema}\".\"{meant}\"");
        assert_eq!(failure.sqlstate, "42P01", "{failure:?}");
        assert_eq!(
            failure.hint.as_deref(),
            Some(format!("Perhaps you meant {pasted}.").as_str()),
            "{table}"
        );
        let rows = client.query(&format!("SELECT count(*) FROM {pasted}")).await;
        assert_eq!(rows.unwrap().lines(), ["1"], "{pasted}");
    }
    for (column, meant) in [
        ("customrid", "customerId"),
        ("\"customerid\"", "customerId"),
        ("i", "id"),
    ] {
        let failure = failure(client, &format!("SELECT {column} FROM {source}.\"Orders\"")).await;
        let name = column.trim_matches('"');
        assert_eq!(
            told(&failure),
            (
                "42703",
                format!("column \"{name}\" does not exist").as_str(),
                format!("Perhaps you meant to reference the column \"{meant}\".").as_str()
            ),
            "{source}"
        );
        let pasted = format!("SELECT \"{meant}\" FROM {source}.\"Orders\"");
        assert_eq!(client.query(&pasted).await.unwrap().rows.len(), 1, "{pasted}");
    }
}

/// Two columns that differ in case only, where a source can have that.
async fn check_columns_of_two_spellings(client: &Client) {
    let table = "\"my-mem\".twins";
    client
        .query(&format!(
            "CREATE TABLE {table} AS SELECT 1 AS \"aB\", 2 AS \"Ab\""
        ))
        .await
        .unwrap();
    let failure = failure(client, &format!("SELECT ab FROM {table}")).await;
    assert_eq!(
        told(&failure),
        (
            "42702",
            "column reference \"ab\" is ambiguous",
            "Quote one of \"Ab\", \"aB\"."
        )
    );
    assert_eq!(
        client
            .query(&format!("SELECT \"Ab\" FROM {table}"))
            .await
            .unwrap()
            .lines(),
        ["2"]
    );
}

#[tokio::test]
async fn catalogs_and_schemas_are_found_by_their_names_too() {
    let own = Sources::own().await;
    let client = own.server.connect().await.unwrap();
    for (name, sqlstate, hint) in [
        (
            "\"my-bd\".\"order\"",
            "3F000",
            "Perhaps you meant \"my-db\".\"order\".",
        ),
        ("my_db.orders", "3F000", "Perhaps you meant \"my-db\".orders."),
        (
            "\"my-db\".publik.orders",
            "3F000",
            "Perhaps you meant the schema \"public\".",
        ),
        (
            "\"my-lit\".main.\"Orders\"",
            "3D000",
            "Perhaps you meant the catalog \"my-lite\".",
        ),
    ] {
        let failure = failure(&client, &format!("SELECT * FROM {name}")).await;
        assert_eq!(told(&failure).0, sqlstate, "{failure:?}");
        assert_eq!(failure.hint.as_deref(), Some(hint), "{name}");
    }
    for name in [
        "\"my-db\".\"order\"",
        "\"my-db.public\".\"order\"",
        "\"my-kv\".PUBLIC.\"order\"",
    ] {
        let rows = client.query(&format!("SELECT * FROM {name}")).await.unwrap();
        assert_eq!(rows.text(), "4\tbob", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_shows_the_tables_of_every_database() {
    if !has_psql() {
        return;
    }
    let own = Sources::own().await;
    for place in &own.places {
        check_database(&own.server, place, &LISTED);
    }
    let sqlite = own.sqlite.as_ref().unwrap();
    check_database(&own.server, sqlite, &["Items", "Orders", "Parts", LONG, "order"]);
    let everywhere = psql(&own.server, "causeway", &["\\dt"]);
    for schema in ["my-db.public", "my-kv.public", "my-lite.main", "my-mem.public"] {
        assert!(
            everywhere.contains(&format!("{schema}|Orders|table|causeway\n")),
            "{everywhere}"
        );
    }
    let Some(services) = Sources::services().await else {
        return;
    };
    for place in &services.places {
        if place.catalog == "shop" {
            // Other tests have databases there too.
            let listed = psql(&services.server, "shop", &["\\dt"]);
            for table in LISTED {
                let line = format!("{}|{table}|table|causeway\n", place.schema);
                assert!(listed.contains(&line), "{line} is missing in {listed}");
            }
            let qualified = format!("SELECT \"customerId\" FROM \"{}\".\"Orders\"", place.schema);
            let answer = psql(&services.server, "shop", &["\\t", &qualified]);
            assert_eq!(answer, "Tuples only is on.\n20\n");
        } else {
            check_database(&services.server, place, &LISTED);
        }
    }
}

/// In the database of a catalog with one schema its tables need no prefix.
fn check_database(server: &Server, place: &Place, tables: &[&str]) {
    let Place { catalog, schema } = place;
    let lines: Vec<String> = tables
        .iter()
        .map(|table| format!("{schema}|{table}|table|causeway\n"))
        .collect();
    assert_eq!(
        psql(server, catalog, &["\\dt"]),
        format!(
            "List of relations\nSchema|Name|Type|Owner\n{}({} rows)\n",
            lines.concat(),
            tables.len()
        ),
        "{catalog}"
    );
    let selects = [
        "SELECT customerid FROM \"Orders\"",
        "SELECT \"user\" FROM \"order\"",
        &format!("SELECT {LONG} FROM {LONG}"),
        &format!("SELECT \"customerId\" FROM {schema}.\"Orders\""),
        &format!("SELECT current_database(), id FROM \"{catalog}\".\"order\""),
    ];
    let answers = psql(server, catalog, &[&["\\t"][..], &selects].concat());
    assert!(
        answers.ends_with(&format!("20\nbob\n50\n20\n{catalog}|4\n")),
        "{catalog}: {answers}"
    );
    let described = psql(server, catalog, &["\\d \"Orders\""]);
    assert!(
        described.starts_with(&format!("Table \"{schema}.Orders\"\n")),
        "{described}"
    );
    // An integer of SQLite has eight bytes.
    let number = if schema == "main" { "bigint" } else { "integer" };
    let column = format!("customerId|{number}|||\n");
    assert!(described.contains(&column), "{described}");
}

async fn failure(client: &Client, sql: &str) -> QueryFailure {
    client.failure(sql).await.unwrap()
}

/// SQLSTATE, message and hint.
fn told(failure: &QueryFailure) -> (&str, &str, &str) {
    (
        &failure.sqlstate,
        &failure.message,
        failure.hint.as_deref().unwrap_or_default(),
    )
}
