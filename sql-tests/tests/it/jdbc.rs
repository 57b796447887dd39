//! pgjdbc, as an application uses it: `clients/Jdbc.java` run by the machine's Java against the real server.

use std::io::Write;
use std::path::{Path, PathBuf};

use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::Services;

use crate::fixtures::Fixtures;

/// Where Debian's package libpostgresql-jdbc-java puts the driver, unless `TEST_PGJDBC_JAR` says otherwise.
const DRIVER: &str = "/usr/share/java/postgresql.jar";

const EXPECTED: &str = "\
product: PostgreSQL
join: Ann 2 1.50
join: Ann 1 20.00
join: ann 10 1.50
join: Zoë 3 3.33
parameters: 1 4 5
parameters: 2 4 5
parameters: 1 4 5
array parameter: 2
values: 2024-03-01T10:00:00Z 42 true
types: int2 int4 int8 numeric float4 float8 bool text bytea date timestamp timestamptz time _int4 text
numbers: 1 2 3 1.50 0.1 0.1 true
others: text [0, -1] 2024-02-29 2024-02-29T12:34:56.789 2024-02-29T10:34:56Z 01:02:03 [1, null, 3] null
types: int2 int4 int8 numeric float4 float8 bool text bytea date timestamp timestamptz time _int4 text
numbers: 1 2 3 1.50 0.1 0.1 true
others: text [0, -1] 2024-02-29 2024-02-29T12:34:56.789 2024-02-29T10:34:56Z 01:02:03 [1, null, 3] null
fetch size: 25000 312512500
half read: 1
column: sku text 2147483647 0
column: quantity int4 10 0
column: price numeric 8 2
table: cache.public stock
error: 22012
error: 42703
error: 3F000
error: 42601
error: 22003
in transaction: 22012
after the error: 25P02
after rollback: 1
timeout: 57014
valid: true
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_pgjdbc() {
    let (Some(services), Some(driver)) = (Services::from_env(), driver()) else {
        return;
    };
    let fixtures = Fixtures::load(&services).await;
    let server = Server::start(&fixtures.config()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/Jdbc.java");
    let output = tokio::process::Command::new("java")
        .arg("-Dfile.encoding=UTF-8")
        .arg("-Duser.timezone=UTC")
        .arg("-cp")
        .arg(driver)
        .arg(program)
        .arg(format!("jdbc:postgresql://127.0.0.1:{}/causeway", server.port()))
        .args(["{shop}.customers", "{cache}.stock", "{lake}.orders"].map(|table| fixtures.sql(table)))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(120), output)
        .await
        .expect("the program ends")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(said, EXPECTED);
}

/// The driver, or `None` after saying that the test is skipped.
fn driver() -> Option<PathBuf> {
    let path = std::env::var_os("TEST_PGJDBC_JAR").map_or_else(|| PathBuf::from(DRIVER), PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    let _ = writeln!(
        std::io::stderr(),
        "a_program_with_pgjdbc ... SKIPPED: {} is missing",
        path.display()
    );
    None
}
