//! The playground of `docker/`: its seed, configuration and start script, run against the services of the tests.
//!
//! The images are not built here; what runs in them is.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use causeway_sql_tests::client::Client;
use causeway_sql_tests::server::binary;
use causeway_sql_tests::services::{Services, unique_name};
use tokio::process::{Child, Command};

const PASSWORD: &str = "pass word'of the \"playground\"";
const DEADLINE: Duration = Duration::from_secs(60);

/// What the compose file calls the services, and where they are here.
struct Places {
    bucket: String,
    mysql: (String, String),
    redis: (String, String),
    port: u16,
    folder: tempfile::TempDir,
}

#[tokio::test]
async fn the_playground_joins_its_three_stores() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let places = Places {
        bucket: unique_name("lake").replace('_', "-"),
        mysql: address(&services.mysql_url),
        redis: address(&services.redis_url),
        port: std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port(),
        folder: tempfile::tempdir().unwrap(),
    };
    // Twice: a playground that is started again is filled again.
    for _ in 0..2 {
        seed(&services, &places).await;
    }
    let mut server = start(&services, &places);
    let client = log_in(&mut server, places.port).await;
    let rows = client
        .query(
            "SELECT l.tier, count(*), sum(o.amount) FROM lake.orders o JOIN shop.app.customers c ON c.id = o.customer_id \
             JOIN cache.loyalty l ON l.customer_id = c.id WHERE c.city = 'Oslo' AND o.ordered >= DATE '2024-07-01' \
             GROUP BY l.tier ORDER BY l.tier",
        )
        .await
        .unwrap();
    assert_eq!(
        rows.lines(),
        [
            "bronze\t144\t36062.05",
            "gold\t73\t18588.97",
            "silver\t45\t11149.41"
        ]
    );
    assert!(log_in_with(places.port, "wrong").await.is_err());
    server.start_kill().unwrap();
    server.wait().await.unwrap();
}

async fn seed(services: &Services, places: &Places) {
    let output = Command::new(docker().join("seed/load.sh"))
        .env("MYSQL_HOST", &places.mysql.0)
        .env("MYSQL_PORT", &places.mysql.1)
        .env("SHOP_PASSWORD", "shop'password")
        .env("REDIS_HOST", &places.redis.0)
        .env("REDIS_PORT", &places.redis.1)
        .env("LAKE_ENDPOINT", &services.s3.endpoint)
        .env("LAKE_BUCKET", &places.bucket)
        .env("LAKE_KEY", &services.s3.access_key)
        .env("LAKE_SECRET", &services.s3.secret_key)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The configuration of the image with the addresses of this machine.
fn configuration(services: &Services, places: &Places) -> PathBuf {
    let mut text = std::fs::read_to_string(docker().join("causeway.toml")).unwrap();
    let run = places.folder.path().display();
    for (there, here) in [
        ("0.0.0.0:5433", format!("127.0.0.1:{}", places.port)),
        ("/run/causeway/verifier", format!("{run}/verifier")),
        ("bucket = \"lake\"", format!("bucket = {:?}", places.bucket)),
        ("http://s3:9000", services.s3.endpoint.clone()),
        ("@mysql:3306", format!("@{}:{}", places.mysql.0, places.mysql.1)),
        ("redis:6379", format!("{}:{}", places.redis.0, places.redis.1)),
    ] {
        assert_eq!(text.matches(there).count(), 1, "{there}");
        text = text.replace(there, &here);
    }
    let file = places.folder.path().join("causeway.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn start(services: &Services, places: &Places) -> Child {
    Command::new(docker().join("start.sh"))
        .arg(configuration(services, places))
        .env("CAUSEWAY_BINARY", binary().unwrap())
        .env("CAUSEWAY_PASSWORD", PASSWORD)
        .env("RUN_FOLDER", places.folder.path())
        .env("SHOP_PASSWORD", "shop'password")
        .env("LAKE_KEY", &services.s3.access_key)
        .env("LAKE_SECRET", &services.s3.secret_key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn log_in(server: &mut Child, port: u16) -> Client {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match log_in_with(port, PASSWORD).await {
            Ok(client) => return client,
            Err(error) => {
                assert!(Instant::now() < deadline, "{error:#}");
                assert_eq!(server.try_wait().unwrap(), None, "the server ended");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn log_in_with(port: u16, password: &str) -> anyhow::Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config.user("causeway").dbname("causeway").password(password);
    Client::connect_with(port, config).await
}

/// Host and port of a URL.
fn address(url: &str) -> (String, String) {
    let rest = url.split_once("://").unwrap().1;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = rest.split('/').next().unwrap();
    let (host, port) = place.split_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker")
}
