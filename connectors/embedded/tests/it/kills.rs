//! Processes that are killed while they commit, or run out of disk: what was acknowledged is there, all else is not.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use causeway_spi::{Connector, ErrorKind, Result, WriteContext};

use crate::support::{create, open, read_all, rows, table, table_name};

/// Where the child finds its file.
const FILE: &str = "CAUSEWAY_TEST_STORE";
/// Rows of each transaction.
const ROWS: i64 = 9;
const KILLS: u64 = 12;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("commit", DataType::Int64, false),
        Field::new("row", DataType::Int64, false),
        Field::new("note", DataType::Utf8View, true),
    ]))
}

/// Commits the transaction `number`: rows, in two statements, and for some a table of its own.
async fn commit(catalog: &Arc<dyn Connector>, number: i64) -> Result<()> {
    let cx = WriteContext {
        query_id: Arc::from("test"),
        lock_timeout: None,
    };
    let mut transaction = catalog.writer().unwrap().begin(&cx).await?;
    if number == 0 {
        create(&mut transaction, "t", &schema(), &[0, 1]).await?;
    }
    if number % 5 == 0 {
        create(&mut transaction, &format!("made_{number}"), &schema(), &[]).await?;
    }
    for part in [0..ROWS / 2, ROWS / 2..ROWS] {
        let notes = part
            .clone()
            .map(|row| "x".repeat(usize::try_from(row * 400).unwrap()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(part.clone().map(|_| number))),
            Arc::new(Int64Array::from_iter_values(part)),
            Arc::new(StringViewArray::from_iter_values(notes)),
        ];
        let batch = RecordBatch::try_new(schema(), columns).unwrap();
        transaction.insert(&table_name("t"), rows(vec![batch])).await?;
    }
    transaction.commit().await
}

/// The number of whole transactions in the file; panics when one is there in part.
async fn whole_commits(catalog: &Arc<dyn Connector>) -> i64 {
    let tables = catalog.tables("public").await.unwrap();
    if !tables.contains(&"t".to_owned()) {
        assert!(tables.is_empty(), "{tables:?}");
        return 0;
    }
    let mut found: BTreeMap<i64, i64> = BTreeMap::new();
    for line in read_all(&table(catalog, "t").await).await {
        let commit = line.split('|').next().unwrap().parse().unwrap();
        *found.entry(commit).or_default() += 1;
    }
    let commits = i64::try_from(found.len()).unwrap();
    assert!(found.keys().copied().eq(0..commits), "{:?}", found.keys());
    assert!(found.values().all(|&rows| rows == ROWS), "{found:?}");
    let made = tables.iter().filter(|name| name.starts_with("made_")).count();
    assert_eq!(i64::try_from(made).unwrap(), (commits + 4) / 5);
    commits
}

/// The file to write, in a process that a test has started of itself: there it plays the other part.
fn file_of_child() -> Option<PathBuf> {
    env::var_os(FILE).map(PathBuf::from)
}

/// The test `name` once more, in a process that plays the other part.
fn child(name: &str, file: &Path, through: &[&str]) -> Child {
    let this = env::current_exe().unwrap();
    let mut command = match through.split_first() {
        None => Command::new(this),
        Some((shell, arguments)) => {
            let mut command = Command::new(shell);
            command.args(arguments).arg(this);
            command
        }
    };
    command
        .args([name, "--exact", "--nocapture"])
        .env(FILE, file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_was_committed_survives_kills() {
    if let Some(file) = file_of_child() {
        return commit_until_killed(&file).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let mut before = 0;
    for kill in 0..KILLS {
        let mut committing = child("kills::what_was_committed_survives_kills", &file, &[]);
        let mut lines = BufReader::new(committing.stdout.take().unwrap()).lines();
        let mut acknowledged = before;
        let mut note = |line: &str| {
            if let Some(number) = line.strip_prefix("committed ") {
                acknowledged = number.parse::<i64>().unwrap() + 1;
            }
        };
        // At least one commit, then so many more as come within a time that is different each time.
        for line in lines.by_ref().map_while(std::io::Result::ok) {
            note(&line);
            if line.starts_with("committed ") {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(kill * 17));
        committing.kill().unwrap();
        committing.wait().unwrap();
        for line in lines.map_while(std::io::Result::ok) {
            note(&line);
        }
        assert!(acknowledged > before, "kill {kill}");
        let found = whole_commits(&open(&file)).await;
        assert!(
            found == acknowledged || found == acknowledged + 1,
            "{found} are there, {acknowledged} were acknowledged"
        );
        before = found;
    }
}

async fn commit_until_killed(file: &Path) {
    let catalog = open(file);
    for number in whole_commits(&catalog).await.. {
        commit(&catalog, number).await.unwrap();
        // All at once, so that a line is there in whole or not at all.
        let mut out = std::io::stdout().lock();
        out.write_all(format!("committed {number}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_nothing_of_the_transaction_is_kept() {
    if let Some(file) = file_of_child() {
        return commit_until_the_disk_is_full(&file).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    // A file may have 2 MiB; without the signal that would end the process, a write beyond is an error.
    let limited = [
        "/bin/sh",
        "-c",
        "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"",
    ];
    let this = "kills::a_full_disk_is_an_error_and_nothing_of_the_transaction_is_kept";
    let mut filling = child(this, &file, &limited);
    let mut said = String::new();
    filling.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    filling.wait().unwrap();
    let full = said.lines().find_map(|line| line.strip_prefix("full after "));
    let commits: i64 = full.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!(commits > 10, "{commits}");
    assert_eq!(whole_commits(&open(&file)).await, commits);
    // With room again it goes on.
    let catalog = open(&file);
    commit(&catalog, commits).await.unwrap();
    assert_eq!(whole_commits(&catalog).await, commits + 1);
}

async fn commit_until_the_disk_is_full(file: &Path) {
    let catalog = open(file);
    for number in 0.. {
        let Err(error) = commit(&catalog, number).await else {
            continue;
        };
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error:?}");
        // It still reads, and says so again when it is asked to write.
        assert_eq!(whole_commits(&catalog).await, number);
        assert_eq!(
            commit(&catalog, number).await.unwrap_err().kind(),
            ErrorKind::DiskFull
        );
        println!("full after {number}");
        return;
    }
}
