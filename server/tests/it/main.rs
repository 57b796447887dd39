//! The endpoint over raw sockets: what a broken, silent or hostile client sends, and what it gets.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends with a panic; clippy sees only the functions marked as tests"
)]

use std::net::SocketAddr;
use std::time::Duration;

use causeway::config::Config;
use causeway::{BLOCKING_THREADS_MAX, Server, THREAD_STACK_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Runs `test` against a server without catalogs.
fn with_server<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_stack_size(THREAD_STACK_BYTES)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("causeway.toml");
        std::fs::write(
            &path,
            "[server]\nlisten = \"127.0.0.1:0\"\nauthentication = \"trust\"\n",
        )
        .unwrap();
        let server = Server::start(Config::read(&path).unwrap()).await.unwrap();
        test(server.address()).await;
        server.stop().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// A session of raw messages.
struct Raw {
    socket: TcpStream,
}

impl Raw {
    async fn start(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let body = b"\0\x03\0\0user\0test\0\0";
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        socket
            .write_all(&[length.as_slice(), body].concat())
            .await
            .unwrap();
        let mut raw = Self { socket };
        raw.until_ready().await;
        raw
    }

    /// The answer up to ReadyForQuery or the end of the connection: types of messages, errors as their SQLSTATE.
    async fn until_ready(&mut self) -> String {
        let reading = async {
            let mut seen = Vec::new();
            loop {
                let mut header = [0; 5];
                if self.socket.read_exact(&mut header).await.is_err() {
                    seen.push("end".to_owned());
                    break;
                }
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
                let mut body = vec![0; usize::try_from(length).unwrap() - 4];
                self.socket.read_exact(&mut body).await.unwrap();
                match header[0] {
                    b'E' => seen.push(sqlstate(&body)),
                    b'Z' => break,
                    other => seen.push(char::from(other).to_string()),
                }
            }
            seen.join(" ")
        };
        tokio::time::timeout(ANSWERED_WITHIN, reading)
            .await
            .expect("an answer in time")
    }

    async fn answer(&mut self, bytes: &[u8]) -> String {
        self.socket.write_all(bytes).await.unwrap();
        self.until_ready().await
    }
}

fn sqlstate(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let state = fields
        .filter_map(|field| field.strip_prefix(b"C"))
        .next()
        .unwrap_or_default();
    String::from_utf8(state.to_vec()).unwrap()
}

#[test]
fn a_broken_query_is_an_error_and_the_session_goes_on() {
    with_server(|address| async move {
        let mut raw = Raw::start(address).await;
        for (body, state) in [
            (b"SELECT '\xff'\0".as_slice(), "22021"),
            (b"SELECT 1", "08P01"),
            (b"", "08P01"),
            (b"SELECT 1\0; SELECT 2\0", "08P01"),
        ] {
            assert_eq!(raw.answer(&message(b'Q', body)).await, state, "{body:?}");
            assert_eq!(raw.answer(&query("SELECT 1")).await, "T D C");
        }
    });
}

#[test]
fn truncated_messages_of_the_extended_protocol_do_no_harm() {
    with_server(|address| async move {
        let mut raw = Raw::start(address).await;
        for kind in *b"PBDEC" {
            for body in [
                b"".as_slice(),
                b"\0",
                b"\0\0\0\0\0\x01\x7f\xff\xff\xff",
                &[0xff; 40],
            ] {
                let bytes = [message(kind, body), message(b'S', b"")].concat();
                assert_eq!(raw.answer(&bytes).await, "08P01", "{}", char::from(kind));
            }
        }
        // After an error everything up to Sync is skipped.
        let bytes = [message(b'P', b""), query("SELECT 1"), message(b'S', b"")].concat();
        assert_eq!(raw.answer(&bytes).await, "08P01");
        assert_eq!(raw.answer(&query("SELECT 1")).await, "T D C");
    });
}

#[test]
fn what_is_no_message_ends_its_connection_only() {
    with_server(|address| async move {
        let mut healthy = Raw::start(address).await;
        for garbage in [
            b"\x01\0\0\0\x04".as_slice(),
            b"p\0\0\0\x04",
            b"Q\0\0\0\x03",
            b"Q\xff\xff\xff\xff",
            b"Q\x7f\xff\xff\xff",
        ] {
            let mut raw = Raw::start(address).await;
            assert_eq!(raw.answer(garbage).await, "08P01 end", "{garbage:?}");
        }
        assert_eq!(healthy.answer(&query("SELECT 1")).await, "T D C");
    });
}

#[test]
fn a_silent_client_does_not_keep_the_server() {
    with_server(|address| async move {
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"\0\0").await.unwrap();
        // The socket lives on while the server stops, which must not wait for it.
        std::mem::forget(silent);
    });
}

#[test]
fn what_would_be_answered_wrongly_is_refused() {
    with_server(|address| async move {
        let mut raw = Raw::start(address).await;
        let tables = "WITH a(k) AS (VALUES (1), (NULL)), b(k) AS (VALUES (2), (NULL))";
        for refused in [
            "SELECT k FROM a WHERE (k IN (SELECT k FROM b)) IS NULL",
            "SELECT k IN (SELECT k FROM b) FROM a",
            "SELECT k FROM a WHERE 'x' SIMILAR TO 'x%'",
            "SELECT k FROM a TABLESAMPLE SYSTEM (10)",
            "SELECT k FROM a FOR UPDATE",
        ] {
            let sql = format!("{tables} {refused}");
            assert_eq!(raw.answer(&query(&sql)).await, "0A000", "{refused}");
        }
        for (answered, rows) in [
            ("SELECT k FROM a EXCEPT ALL SELECT k FROM b", 1),
            ("SELECT k FROM a WHERE k NOT IN (SELECT k FROM b)", 0),
            ("SELECT k FROM a WHERE k NOT IN (SELECT k FROM b) OR k = 1", 1),
            ("SELECT k FROM a WHERE NOT (k IN (SELECT k FROM b) AND k > 0)", 0),
            ("SELECT k FROM a WHERE 5 NOT IN (SELECT k FROM b)", 0),
            (
                "SELECT k FROM a WHERE k NOT IN (SELECT b.k FROM b WHERE b.k > a.k)",
                2,
            ),
            ("SELECT k FROM a WHERE k NOT IN (SELECT k FROM b WHERE k > 0)", 1),
            ("SELECT k FROM a WHERE NOT (k IN (SELECT k FROM b))", 0),
            ("SELECT k FROM a WHERE k IN (SELECT k FROM b) OR k = 1", 1),
            (
                "SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k > a.k) OR k IS NULL",
                2,
            ),
        ] {
            let sql = format!("{tables} {answered}");
            let expected = format!("T {}C", "D ".repeat(rows));
            assert_eq!(raw.answer(&query(&sql)).await, expected, "{answered}");
        }
    });
}

#[test]
fn casts_round_also_where_they_are_compared() {
    with_server(|address| async move {
        let mut raw = Raw::start(address).await;
        for (condition, rows) in [
            ("CAST(d AS int) = 1", 2),
            ("CAST(d AS int) > 1", 1),
            ("CAST(d AS int) IN (1, 2)", 3),
            ("CAST(d AS numeric(3,1)) = 1.2", 1),
            ("CAST(CAST(d AS double precision) AS int) = 2", 1),
            (
                "CAST(2.5::float8 AS int) = 2 AND CAST(3.5::float8 AS int) = 4 AND CAST(2.5 AS int) = 3",
                4,
            ),
        ] {
            let sql =
                format!("SELECT d FROM (VALUES (1.10), (1.15), (1.60), (NULL)) AS v(d) WHERE {condition}");
            let expected = format!("T {}C", "D ".repeat(rows));
            assert_eq!(raw.answer(&query(&sql)).await, expected, "{condition}");
        }
    });
}

#[test]
fn numerics_beside_floats_are_floats() {
    with_server(|address| async move {
        let mut raw = Raw::start(address).await;
        for (condition, rows) in [
            ("f > 0.0", 3),
            ("f > 1.5", 1),
            ("f = 0.10000000000000001", 1),
            ("0.1 = f", 1),
            ("f IN (0.1, 7)", 1),
            ("f BETWEEN 0.05 AND 2", 1),
            ("f + 0.2 = 0.3", 0),
            ("f * 10.0 > 0.99", 2),
        ] {
            let sql = format!(
                "SELECT f FROM (VALUES (0.1::float8), ('1e-300'::float8), ('1e300'::float8), (NULL)) AS v(f) WHERE {condition}"
            );
            let expected = format!("T {}C", "D ".repeat(rows));
            assert_eq!(raw.answer(&query(&sql)).await, expected, "{condition}");
        }
    });
}

#[test]
fn more_planners_than_threads_wait_for_their_turn() {
    with_server(|address| async move {
        let mut sessions = Vec::new();
        for _ in 0..300 {
            let mut raw = Raw::start(address).await;
            raw.socket
                .write_all(&query(
                    "EXPLAIN ANALYZE SELECT count(*) FROM (VALUES (1)) AS v(x)",
                ))
                .await
                .unwrap();
            sessions.push(raw);
        }
        for mut raw in sessions {
            assert!(raw.until_ready().await.starts_with("T D"));
        }
    });
}
