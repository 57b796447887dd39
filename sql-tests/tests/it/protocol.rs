//! The wire itself: what clients send besides one right query, and what nobody should send.

use std::net::Ipv4Addr;
use std::time::Duration;

use causeway_sql_tests::client::{Client, failure};
use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;
use causeway_sql_tests::services::has_psql;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, SimpleQueryMessage};

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

fn start() -> Server {
    Server::start(&Config::new()).unwrap()
}

/// Sends `bytes` on a new connection and returns all that comes until the server closes it or `length` bytes came.
async fn exchange(server: &Server, bytes: &[u8], length: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))
        .await
        .unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        while answer.len() < length {
            match socket.read_buf(&mut answer).await {
                Ok(read) if read > 0 => {}
                _ => break,
            }
        }
    };
    tokio::time::timeout(ANSWERED_WITHIN, reading)
        .await
        .expect("an answer or an end");
    answer
}

#[tokio::test]
async fn several_statements_in_one_message_run_until_one_fails() {
    let server = start();
    let (client, connection) = tokio_postgres::connect(&url(&server), NoTls).await.unwrap();
    tokio::spawn(connection);
    let answers = client
        .simple_query("SELECT 1; SELECT 2 AS b, 3;; SELECT 'x;y' -- end;")
        .await
        .unwrap();
    let values: Vec<&str> = answers
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(values, ["1", "2", "x;y"]);
    for nothing in ["", ";", "  -- only a comment", "/* /* nested */ */"] {
        client.simple_query(nothing).await.unwrap();
    }
    let error = client
        .simple_query("SELECT 1; SELECT nowhere; SELECT 3")
        .await
        .unwrap_err();
    assert_eq!(failure(error).unwrap().sqlstate, "42703");
    client.simple_query("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn encryption_is_declined_and_garbage_ends_only_its_own_connection() {
    let server = start();
    let ssl_request = [0, 0, 0, 8, 4, 210, 22, 47];
    assert_eq!(exchange(&server, &ssl_request, 1).await, b"N");
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(),
        &[0, 0, 0, 0, 0, 0, 0, 0],
        &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        &[0, 0, 0, 9, 0, 9, 0, 0, 0],
        &[0, 0, 0, 4, 0, 3, 0, 0],
        &[0xff; 64],
    ] {
        let answer = exchange(&server, garbage, usize::MAX).await;
        assert!(answer.is_empty() || answer[0] == b'E', "{garbage:?}: {answer:?}");
    }
    // After a right start: an unknown message, and a length that no message has.
    let startup = [&[0, 0, 0, 19, 0, 3, 0, 0], b"user\0test\0\0".as_slice()].concat();
    for garbage in [
        b"\x01\0\0\0\x04".as_slice(),
        b"Q\0\0\0\0",
        b"Q\x7f\xff\xff\xff",
        b"Q\0\0\0\x06a\xff",
    ] {
        exchange(
            &server,
            &[startup.as_slice(), garbage, b"X\0\0\0\x04"].concat(),
            usize::MAX,
        )
        .await;
    }
    let client = server.connect().await.unwrap();
    assert_eq!(client.query("SELECT 1").await.unwrap().lines(), ["1"]);
}

#[tokio::test]
async fn a_cancel_request_with_a_wrong_secret_cancels_nothing() {
    let server = start();
    let cancel = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 1, 2, 3, 4];
    assert!(exchange(&server, &cancel, usize::MAX).await.is_empty());
    let client = server.connect().await.unwrap();
    assert_eq!(client.query("SELECT 1").await.unwrap().lines(), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_connections_live_beside_each_other_up_to_the_limit() {
    let server = Server::start(&Config::new().server("connections_max = 200")).unwrap();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..200 {
        clients.push(server.connect().await.unwrap());
    }
    let refused = Client::connect(server.port(), "causeway").await.unwrap_err();
    let state = refused
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(|error| error.code());
    assert_eq!(state, Some(&SqlState::TOO_MANY_CONNECTIONS), "{refused:?}");
    for client in &clients {
        assert_eq!(client.query("SELECT 1").await.unwrap().lines(), ["1"]);
    }
    clients.truncate(100);
    let client = loop {
        // The server sees a closed connection a little later.
        match Client::connect(server.port(), "causeway").await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(client.query("SELECT 1").await.unwrap().lines(), ["1"]);
}

#[tokio::test]
async fn psql_shows_rows_and_errors_as_from_postgres() {
    if !has_psql() {
        return;
    }
    let server = start();
    let run = async |sql: &str| {
        let output = Command::new("psql")
            .args([
                "-X",
                "-h",
                "127.0.0.1",
                "-p",
                &server.port().to_string(),
                "-U",
                "test",
                "-d",
                "causeway",
            ])
            .args(["-c", sql])
            .output()
            .await
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (rows, error) = run("SELECT 1 AS one, 'a' AS letter, NULL AS nothing, true AS yes").await;
    let expected = " one | letter | nothing | yes \n-----+--------+---------+-----\n   1 | a      |         | t\n(1 row)\n\n";
    assert_eq!((rows.as_str(), error.as_str()), (expected, ""));
    let (rows, error) = run("SELECT nowhere").await;
    assert_eq!(rows, "");
    assert!(
        error.starts_with(
            "ERROR:  column \"nowhere\" does not exist\nLINE 1: SELECT nowhere\n               ^\n"
        ),
        "{error}"
    );
}

fn url(server: &Server) -> String {
    format!("host=127.0.0.1 port={} user=test dbname=causeway", server.port())
}
