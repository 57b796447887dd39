//! What clients ask about tables: psql's backslash commands, and the catalogs' relations with their types.

use std::process::Command;

use causeway_sql_tests::client::Client;
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;
use tokio_postgres::NoTls;

use crate::fixtures::Fixtures;

/// What psql prints for `commands` in `database`, unaligned.
pub(crate) fn psql(server: &Server, database: &str, commands: &[&str]) -> String {
    let mut psql = Command::new("psql");
    psql.args([
        "-X",
        "-A",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "127.0.0.1",
        "-U",
        "test",
    ]);
    psql.args(["-p", &server.port().to_string(), "-d", database]);
    for command in commands {
        psql.args(["-c", command]);
    }
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{commands:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_lists_and_describes_the_tables_of_every_source() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let fixtures = Fixtures::load(&services).await;
    let server = Server::start(&fixtures.config()).unwrap();

    assert_eq!(
        psql(&server, "cache", &["\\l", "\\dn", "\\dt", "\\dv public.*"]),
        "List of databases\n\
         Name|Owner|Encoding|Collate|Ctype|ICU Locale|Locale Provider|Access privileges\n\
         cache|causeway|UTF8|C.UTF-8|C.UTF-8||libc|\n\
         causeway|causeway|UTF8|C.UTF-8|C.UTF-8||libc|\n\
         files|causeway|UTF8|C.UTF-8|C.UTF-8||libc|\n\
         lake|causeway|UTF8|C.UTF-8|C.UTF-8||libc|\n\
         shop|causeway|UTF8|C.UTF-8|C.UTF-8||libc|\n\
         (5 rows)\n\
         List of schemas\nName|Owner\npublic|causeway\nsystem|causeway\n(2 rows)\n\
         List of relations\nSchema|Name|Type|Owner\n\
         public|board|table|causeway\n\
         public|docs|table|causeway\n\
         public|hits|table|causeway\n\
         public|lenient|table|causeway\n\
         public|queue|table|causeway\n\
         public|sessions|table|causeway\n\
         public|stock|table|causeway\n\
         public|strict|table|causeway\n\
         public|tags|table|causeway\n\
         (9 rows)\n"
    );
    assert_eq!(
        psql(&server, "cache", &["\\d stock"]),
        "Table \"public.stock\"\n\
         Column|Type|Collation|Nullable|Default\n\
         sku|text||not null|\n\
         quantity|integer|||\n\
         price|numeric(8,2)|||\n"
    );
    let everywhere = psql(&server, "causeway", &["\\dt"]);
    for line in [
        "cache.public|stock|table|causeway".to_owned(),
        "lake.public|orders|table|causeway".to_owned(),
        fixtures.sql("{shop}|customers|table|causeway"),
    ] {
        assert!(everywhere.contains(&line), "{everywhere}");
    }
    let orders = psql(&server, "causeway", &["\\d \"lake.public\".orders"]);
    assert!(orders.starts_with("Table \"lake.public.orders\"\n"), "{orders}");
    assert!(orders.contains("price|numeric(10,2)|||\n"), "{orders}");
    let customers = psql(&server, "shop", &[&fixtures.sql("\\d {db}.customers")]);
    assert!(customers.contains("id|integer||not null|\n"), "{customers}");
}

#[tokio::test]
async fn catalog_columns_have_postgres_types() {
    let server = Server::start(&Config::new()).unwrap();
    let url = format!("host=127.0.0.1 port={} user=ann dbname=causeway", server.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let rows = client
        .query(
            "SELECT c.oid, c.relname, c.relkind, c.relnatts, n.nspname, c.reloptions, c.oid::regclass::text
             FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = $1 AND c.relname = $2",
            &[&1259_u32, &"pg_class"],
        )
        .await
        .unwrap();
    let row = rows.first().unwrap();
    let types: Vec<&str> = row.columns().iter().map(|column| column.type_().name()).collect();
    assert_eq!(types, ["oid", "name", "char", "int2", "name", "_text", "text"]);
    assert_eq!(row.get::<_, u32>(0), 1259);
    assert_eq!(row.get::<_, i8>(2), i8::try_from(b'r').unwrap());
    assert_eq!(row.get::<_, &str>(4), "pg_catalog");
    assert_eq!(row.get::<_, Option<Vec<String>>>(5), None);
    assert_eq!(row.get::<_, &str>(6), "pg_class");
}

#[tokio::test]
async fn drivers_find_out_about_types_and_settings() {
    let server = Server::start(&Config::new()).unwrap();
    let client = Client::connect(server.port(), "causeway").await.unwrap();
    for (sql, expected) in [
        // pgjdbc: the types of a schema on the search path, by a function in FROM and a correlated subquery.
        (
            "SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, pg_type.oid \
             FROM pg_catalog.pg_type LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r \
             from pg_namespace as ns join (select s.r, (current_schemas(false))[s.r] as nspname \
             from generate_series(1, array_upper(current_schemas(false), 1)) as s(r)) as r using (nspname)) as sp \
             ON sp.nspoid = typnamespace WHERE pg_type.oid = 1007 ORDER BY sp.r, pg_type.oid DESC",
            "t\tb\t_int4\t1007",
        ),
        (
            "SELECT count(*) > 50 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON (t.typnamespace = n.oid) \
             WHERE n.nspname != 'pg_toast' AND (t.typrelid = 0 OR \
             (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid))",
            "t",
        ),
        // psycopg: a type that is not there.
        (
            "SELECT t.typname FROM pg_type t WHERE t.oid = to_regtype('hstore')",
            "",
        ),
        (
            "SELECT t.typname FROM pg_type t WHERE t.oid = to_regtype('double precision')",
            "float8",
        ),
        // SQLAlchemy: schemas with an escape of their own, and a table's method.
        (
            "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg/_' || '%' ESCAPE '/' ORDER BY 1 LIMIT 1",
            "information_schema",
        ),
        (
            "SELECT current_setting('default_table_access_method'), current_setting('nothing', true), current_database()",
            "heap\t\\N\tcauseway",
        ),
        // What can have no rows is not asked; an aggregate of it has one.
        (
            "SELECT (information_schema._pg_expandarray(i.indkey)).n FROM pg_index i",
            "",
        ),
        ("SELECT count(*), max(conname) FROM pg_constraint", "0\t\\N"),
        (
            "SELECT relname, (SELECT description FROM pg_description d WHERE d.objoid = c.oid) FROM pg_class c \
             WHERE c.oid = 'pg_type'::regclass AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)",
            "pg_type\t\\N",
        ),
        (
            "SELECT format_type(1700, 786438), format_type(1009, -1), 'int4'::regtype::oid, 23::oid::regtype::text",
            "numeric(12,2)\ttext[]\t23\tinteger",
        ),
    ] {
        let answer = client.query(sql).await.unwrap();
        assert_eq!(answer.text(), expected, "{sql}");
    }
    let missing = client.failure("SELECT 'nothing_here'::regclass").await.unwrap();
    assert_eq!(missing.sqlstate, "42P01");
}

#[tokio::test]
async fn set_config_changes_the_session_when_it_is_run() {
    let server = Server::start(&Config::new()).unwrap();
    let client = Client::connect(server.port(), "causeway").await.unwrap();
    let answer = client
        .query("SELECT set_config('application_name', 'a b', false)")
        .await;
    assert_eq!(answer.unwrap().text(), "a b");
    assert_eq!(client.query("SHOW application_name").await.unwrap().text(), "a b");
    client.query("BEGIN").await.unwrap();
    client
        .query("SELECT set_config('application_name', 'c', true)")
        .await
        .unwrap();
    assert_eq!(client.query("SHOW application_name").await.unwrap().text(), "c");
    client.query("COMMIT").await.unwrap();
    assert_eq!(client.query("SHOW application_name").await.unwrap().text(), "a b");
    let wrong = client
        .failure("SELECT set_config('nothing', 'x', false)")
        .await
        .unwrap();
    assert_eq!(wrong.sqlstate, "42704");
}

#[tokio::test]
async fn a_source_that_is_down_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new()
        .mysql("shop", "mysql://root@127.0.0.1:1")
        .local("files", folder.path());
    let server = Server::start(&config).unwrap();
    let client = Client::connect(server.port(), "causeway").await.unwrap();
    let schemas = client
        .query("SELECT schema_name FROM information_schema.schemata ORDER BY 1")
        .await
        .unwrap();
    assert_eq!(
        schemas.text(),
        "files.public\ninformation_schema\npg_catalog\nsystem"
    );
    let catalogs = client
        .query("SELECT name, connector, status, error IS NULL FROM system.catalogs ORDER BY 1")
        .await
        .unwrap();
    assert_eq!(catalogs.text(), "files\tlocal\tup\tt\nshop\tmysql\tdown\tf");
}
