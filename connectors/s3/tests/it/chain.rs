//! The credential chain, each link in a process of its own, since the chain reads the environment. Its metadata and token
//! services are played by one fake on loopback, and so is the store, which shows whose key signed each request.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use causeway_s3::S3Options;
use causeway_spi::{ConnectorOptions, with_source_timeout};
use tokio::process::Command;

use crate::fake::{Asked, Fake, Reply, empty_listing};

/// What [`child`] is told by.
const OPTIONS: &str = "CHAIN_TEST_OPTIONS";
const PINGS: &str = "CHAIN_TEST_PINGS";
const PAUSE_MS: &str = "CHAIN_TEST_PAUSE_MS";
const TIMEOUT_MS: &str = "CHAIN_TEST_TIMEOUT_MS";

/// Longer than any of the processes takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Not a test: what the tests below run in a process of its own, with an environment of its own.
#[tokio::test]
async fn child() {
    let Ok(options) = std::env::var(OPTIONS) else {
        return;
    };
    let number = |name: &str, otherwise: u64| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    };
    let catalog = toml::from_str::<S3Options>(&options)
        .unwrap()
        .open("lake")
        .unwrap();
    for ping in 0..number(PINGS, 1) {
        if ping > 0 {
            tokio::time::sleep(Duration::from_millis(number(PAUSE_MS, 0))).await;
        }
        let timeout = Duration::from_millis(number(TIMEOUT_MS, 60_000));
        match with_source_timeout(timeout, catalog.ping()).await {
            Ok(()) => println!("ping: well"),
            Err(error) => println!(
                "ping: {:?}: {}: {} ({})",
                error.kind(),
                error.message(),
                error.detail_text().unwrap_or_default(),
                error.hint_text().unwrap_or_default()
            ),
        }
    }
    println!("debug: {catalog:?}");
}

/// A process to be: the options of its catalog and its environment.
struct Process {
    command: Command,
    options: String,
}

impl Process {
    fn new(store: &Fake) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["chain::child", "--exact", "--nocapture"])
            .env_clear()
            .env("AWS_CONFIG_FILE", "/nonexistent/config")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let options = format!(
            "bucket = \"lake\"\nallow_http = true\nendpoint = \"{}\"\n",
            store.url()
        );
        Self { command, options }
    }

    fn option(mut self, line: &str) -> Self {
        self.options.push_str(line);
        self.options.push('\n');
        self
    }

    fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    fn pings(self, pings: u32, pause: Duration) -> Self {
        self.env(PINGS, pings.to_string())
            .env(PAUSE_MS, pause.as_millis().to_string())
    }

    fn env_keys(self) -> Self {
        self.env("AWS_ACCESS_KEY_ID", "ENVKEY")
            .env("AWS_SECRET_ACCESS_KEY", "env-hidden")
    }

    /// Runs it; gives the lines about pings. Nothing it says may hold `hidden`, which is in every secret here.
    async fn run(mut self) -> Vec<String> {
        self.command.env(OPTIONS, &self.options);
        let output: Output = tokio::time::timeout(PATIENCE, self.command.output())
            .await
            .unwrap()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("debug: "), "{text}");
        assert!(!text.contains("hidden"), "a secret is shown: {text}");
        let pings = text.lines().filter_map(|line| line.split_once("ping: "));
        pings.map(|(_, ping)| ping.to_owned()).collect()
    }
}

/// The answers of the store for every request below its bucket.
fn store(asked: &Asked) -> Option<Reply> {
    asked.target.starts_with("/lake").then(empty_listing)
}

/// A moment, as AWS writes it.
fn written(unix_seconds: u64) -> String {
    let time = chrono::DateTime::from_timestamp(unix_seconds.try_into().unwrap(), 0).unwrap();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Seconds from now, as AWS writes them.
fn in_seconds(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    written(now.as_secs() + seconds)
}

fn key_json(key: &str, expires: &str) -> String {
    format!(
        "{{\"Version\": 1, \"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"AccessKeyId\": \"{key}\", \
         \"SecretAccessKey\": \"hidden-{key}\", \"Token\": \"hidden-token\", \"SessionToken\": \"hidden-token\", \
         \"LastUpdated\": \"2020-01-01T00:00:00Z\", \"Expiration\": \"{expires}\"}}"
    )
}

fn sts_xml(operation: &str, key: &str) -> String {
    format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result>\
         <AssumedRoleUser><AssumedRoleId>A:s</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>\
         </AssumedRoleUser><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>hidden</SecretAccessKey>\
         <SessionToken>hidden-token</SessionToken><Expiration>{}</Expiration></Credentials></{operation}Result>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{operation}Response>",
        in_seconds(3600)
    )
}

fn signers(fake: &Fake) -> Vec<String> {
    let requests = fake.store_requests();
    requests
        .iter()
        .map(|asked| asked.signer().unwrap_or("nobody").to_owned())
        .collect()
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_the_options_come_before_those_of_the_environment() {
    let fake = Fake::start(|asked| store(asked).unwrap()).await;
    let process = Process::new(&fake).env_keys();
    assert_eq!(process.run().await, ["well"]);
    let process = Process::new(&fake)
        .env_keys()
        .env("K", "OWNKEY")
        .env("S", "hidden")
        .option("access_key_id = { env = \"K\" }\nsecret_access_key = { env = \"S\" }");
    assert_eq!(process.run().await, ["well"]);
    assert_eq!(signers(&fake), ["ENVKEY", "OWNKEY"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_found_and_one_that_is_named_comes_before_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = "[default]\naws_access_key_id = DEFAULTKEY\naws_secret_access_key = hidden\n\
                       [lake]\naws_access_key_id = LAKEKEY\naws_secret_access_key = hidden\n";
    let shared = write(folder.path(), "credentials", credentials);
    let script = write(
        folder.path(),
        "process.sh",
        &format!(
            "#!/bin/sh\necho '{}'\n",
            key_json("PROCESSKEY", &in_seconds(3600))
        ),
    );
    let config = format!(
        "[profile process]\ncredential_process = /bin/sh {}\n",
        script.display()
    );
    let config = write(folder.path(), "config", &config);
    let fake = Fake::start(|asked| store(asked).unwrap()).await;
    let process = || {
        Process::new(&fake)
            .env("AWS_SHARED_CREDENTIALS_FILE", &shared)
            .env("AWS_CONFIG_FILE", &config)
            .env("PATH", "/usr/bin:/bin")
    };
    assert_eq!(process().run().await, ["well"]);
    assert_eq!(process().env("AWS_PROFILE", "lake").run().await, ["well"]);
    assert_eq!(
        process().env_keys().option("profile = \"lake\"").run().await,
        ["well"]
    );
    assert_eq!(process().option("profile = \"process\"").run().await, ["well"]);
    assert_eq!(signers(&fake), ["DEFAULTKEY", "LAKEKEY", "LAKEKEY", "PROCESSKEY"]);
    let missing = process().option("profile = \"nope\"").run().await;
    assert_eq!(missing.len(), 1);
    assert!(
        missing[0].starts_with("LoginRefused: could not list the root of catalog lake: ")
            && missing[0].ends_with("(Check profile nope in the shared AWS files of the server's user.)"),
        "{missing:?}"
    );
}

/// Instance metadata with keys of 4 seconds: they are replaced before they expire, and each serves several requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instance_metadata_gives_keys_that_are_replaced_in_time() {
    const LIFE: u64 = 4;
    let given = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&given);
    let fake = Fake::start(move |asked| {
        let roles = "/latest/meta-data/iam/security-credentials/";
        if let Some(answer) = store(asked) {
            return answer;
        }
        if asked.is("PUT", "/latest/api/token") {
            let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned());
            return Reply::Answer(200, vec![ttl], "t-1".into());
        }
        if asked.header("x-aws-ec2-metadata-token") != Some("t-1") {
            return Reply::status(401);
        }
        if asked.is("GET", roles) {
            return Reply::ok("the-role");
        }
        assert_eq!(asked.target, format!("{roles}the-role"));
        let number = counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Reply::ok(key_json(
            &format!("IMDS{number}X{}", now + LIFE),
            &in_seconds(LIFE),
        ))
    })
    .await;
    let process = Process::new(&fake)
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
        // Nobody listens there: a request through it would fail.
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("NO_PROXY", "localhost")
        .pings(17, Duration::from_millis(500));
    let mut process = process;
    process.options = process.options.replace("127.0.0.1", "localhost");
    let pings = process.run().await;
    assert_eq!(pings, vec!["well"; 17]);
    let requests = fake.store_requests();
    assert_eq!(requests.len(), 17);
    for asked in &requests {
        let end: u64 = asked
            .signer()
            .unwrap()
            .split('X')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            asked.at < UNIX_EPOCH + Duration::from_secs(end),
            "an expired key was used: {asked:?}"
        );
    }
    let keys = given.load(std::sync::atomic::Ordering::SeqCst);
    assert!((2..=6).contains(&keys), "{keys} keys for 17 requests in 8 s");
}

/// The service answers once and never again: the key serves until it expires, and not longer. Its last fifth, a second at
/// least, has room for a replacement that fails while the key is still good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_key_is_never_used() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "token", "hidden-pod-token");
    let end = std::sync::Arc::new(std::sync::Mutex::new(None));
    let first = std::sync::Arc::clone(&end);
    let fake = Fake::start(move |asked| {
        if let Some(answer) = store(asked) {
            return answer;
        }
        assert!(asked.is("GET", "/creds"));
        assert_eq!(asked.header("authorization"), Some("hidden-pod-token"));
        let mut end = first.lock().unwrap();
        if end.is_some() {
            return Reply::Hang;
        }
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 6;
        *end = Some(UNIX_EPOCH + Duration::from_secs(seconds));
        Reply::ok(key_json("PODKEY", &written(seconds)))
    })
    .await;
    let process = Process::new(&fake)
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("{}/creds", fake.url()),
        )
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
        .env(TIMEOUT_MS, "700")
        .pings(30, Duration::from_millis(250));
    let pings = process.run().await;
    assert_eq!(pings[0], "well");
    let late = "Timeout: could not list the root of catalog lake: Could not get credentials for catalog lake. Nobody gave \
                any within 0.56 s. (Check that the metadata or token service of the catalog's credentials can be reached.)";
    assert_eq!(pings.last().unwrap(), late);
    let end = end.lock().unwrap().unwrap();
    let requests = fake.store_requests();
    assert_eq!(
        requests.len(),
        pings.iter().filter(|ping| *ping == "well").count()
    );
    for asked in requests {
        assert_eq!(asked.signer(), Some("PODKEY"));
        assert!(asked.at < end, "an expired key was used");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_identity_becomes_a_role() {
    let folder = tempfile::tempdir().unwrap();
    let token = write(folder.path(), "jwt", "hidden.web.token");
    let fake = Fake::start(|asked| {
        store(asked).unwrap_or_else(|| {
            assert!(
                asked.body.contains("Action=AssumeRoleWithWebIdentity"),
                "{asked:?}"
            );
            assert!(
                asked.body.contains("WebIdentityToken=hidden.web.token"),
                "{asked:?}"
            );
            assert_eq!(asked.signer(), None);
            Reply::ok(sts_xml("AssumeRoleWithWebIdentity", "WEBKEY"))
        })
    })
    .await;
    let process = Process::new(&fake)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web")
        .env("AWS_ENDPOINT_URL_STS", fake.url())
        .pings(3, Duration::ZERO);
    assert_eq!(process.run().await, ["well"; 3]);
    assert_eq!(signers(&fake), ["WEBKEY"; 3]);
    assert_eq!(fake.asked().len(), 4, "one key for three requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_assumed_with_the_keys_and_its_refusal_is_told() {
    let fake = Fake::start(|asked| {
        store(asked).unwrap_or_else(|| {
            assert_eq!(asked.signer(), Some("BASEKEY"));
            for part in ["Action=AssumeRole&", "RoleSessionName=nightly", "ExternalId=partner-hidden"] {
                assert!(asked.body.contains(part), "{asked:?}");
            }
            if asked.body.contains("role%2Flake") {
                return Reply::ok(sts_xml("AssumeRole", "ROLEKEY"));
            }
            let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error>\
                        <RequestId>1</RequestId></ErrorResponse>";
            Reply::Answer(403, Vec::new(), body.to_owned())
        })
    })
    .await;
    let process = |role: &str| {
        Process::new(&fake)
            .env("K", "BASEKEY")
            .env("S", "hidden")
            .env("E", "partner-hidden")
            .env("AWS_ENDPOINT_URL_STS", fake.url())
            .option("access_key_id = { env = \"K\" }\nsecret_access_key = { env = \"S\" }")
            .option("external_id = { env = \"E\" }\nrole_session_name = \"nightly\"")
            .option(&format!("role_arn = \"arn:aws:iam::123456789012:role/{role}\""))
    };
    assert_eq!(process("lake").run().await, ["well"]);
    assert_eq!(signers(&fake), ["ROLEKEY"]);
    assert_eq!(
        process("other").run().await,
        [
            "LoginRefused: could not list the root of catalog lake: Could not get credentials for catalog lake. The answer \
          was AccessDenied. (Check that the catalog's credentials may assume the role \
          arn:aws:iam::123456789012:role/other.)"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_credentials_the_error_says_what_to_set_and_anonymous_asks_without() {
    let fake = Fake::start(|asked| store(asked).unwrap()).await;
    let pings = Process::new(&fake).run().await;
    assert_eq!(
        pings,
        [
            "LoginRefused: could not list the root of catalog lake: Could not get credentials for catalog lake. None were \
          found. (Set access_key_id and secret_access_key, or profile, or anonymous = true for a public bucket.)"
        ]
    );
    let pings = Process::new(&fake)
        .env_keys()
        .option("anonymous = true")
        .run()
        .await;
    assert_eq!(pings, ["well"]);
    assert_eq!(signers(&fake), ["nobody"]);
}
