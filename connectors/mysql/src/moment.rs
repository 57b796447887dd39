//! The connections that read one scan in parts, all of them at one moment of the server.
//!
//! Whichever part is read first gathers what connections it can have at once and begins a snapshot on each. Those that
//! were begun behind the same commit see the same data: MariaDB begins such a snapshot between two commits, and counts
//! them. Where the count is the same before a snapshot and after it, the snapshot is of that moment. The position of the
//! binary log that a session is told as its snapshot's may be another session's, since the server keeps it in one place
//! for all who ask at once; it can only part what the count holds to be one. The parts are dealt out to the connections
//! that agree; the others go back to the pool. Where no two agree, one connection reads everything, and the other parts
//! end empty.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use causeway_base_sql::SqlPart;
use causeway_spi::Result;
use futures::future::join_all;
use mysql_async::{Row, from_value_opt};
use tokio::sync::OnceCell;

use crate::options::Splits;
use crate::pool::{Lease, Pool};
use crate::session::Session;
use crate::stop::Killed;

/// How often snapshots are begun anew until all of them are of one moment, and then how often until some are.
const TRIES_FOR_ALL: usize = 6;
const TRIES_FOR_SOME: usize = 6;

/// How many transactions the server has committed to its binary log. MySQL has no such table.
const COMMITS: &str = "SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.SESSION_STATUS \
    WHERE VARIABLE_NAME = 'BINLOG_COMMITS'";

/// What else the session's snapshot and the server say of its moment. MySQL has neither these tables nor these names.
const POSITION: &str = "SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.SESSION_STATUS \
    WHERE VARIABLE_NAME IN ('BINLOG_SNAPSHOT_FILE', 'BINLOG_SNAPSHOT_POSITION', 'SLAVES_RUNNING') \
    UNION ALL SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES \
    WHERE VARIABLE_NAME IN ('LOG_BIN', 'LOG_SLAVE_UPDATES', 'WSREP_ON')";

/// The engine whose snapshots are meant, as `information_schema` names it.
pub(crate) const SNAPSHOT_ENGINE: &str = "InnoDB";
const ENGINE: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";

/// A moment of a server: two snapshots of the same one show the same data.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moment {
    server: Arc<str>,
    commits: u64,
    file: String,
    position: String,
}

/// What the parts of one scan share: decided once, by the part that is read first.
#[derive(Default)]
pub(crate) struct Gathering(OnceCell<Dealt>);

/// A part's share of the work.
pub(crate) enum Share {
    /// These ranges, over this connection; over one of the part's own where it has been taken before.
    Ranges(Range<usize>, Option<Lease>),
    /// Another part reads these rows, too.
    Nothing,
}

/// Who reads what.
struct Dealt {
    pool: Arc<Pool>,
    /// By part; empty where another one reads its rows.
    ranges: Vec<Range<usize>>,
    leases: Mutex<Vec<Option<Lease>>>,
}

impl Gathering {
    /// The share of `part`. Errors: no connection at all.
    pub(crate) async fn share(&self, pool: &Arc<Pool>, part: &SqlPart, splits: Splits) -> Result<Share> {
        let dealt = self
            .0
            .get_or_try_init(|| async {
                let gathered = gather(pool, part, splits).await?;
                Ok(deal(pool, part, gathered))
            })
            .await?;
        Ok(match dealt.ranges.get(part.index()) {
            Some(ranges) if ranges.is_empty() => Share::Nothing,
            Some(ranges) => Share::Ranges(ranges.clone(), dealt.take(part.index())),
            None => Share::Ranges(part.index()..part.index() + 1, None),
        })
    }
}

impl Dealt {
    fn take(&self, part: usize) -> Option<Lease> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.get_mut(part)?.take()
    }
}

impl Drop for Dealt {
    /// Ends the snapshots of parts that nobody has read.
    fn drop(&mut self) {
        let leases = std::mem::take(&mut *self.leases.lock().unwrap_or_else(PoisonError::into_inner));
        give_back(&self.pool, leases.into_iter().flatten().collect());
    }
}

/// Ends the snapshots of `leases` and gives them back, without anybody waiting for it.
fn give_back(pool: &Arc<Pool>, leases: Vec<Lease>) {
    if leases.is_empty() {
        return;
    }
    // Without a runtime the leases are dropped here, which closes their sessions.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let pool = Arc::clone(pool);
        runtime.spawn(async move {
            join_all(leases.into_iter().map(|lease| lease.settle(&pool, Killed::No))).await;
        });
    }
}

/// Deals the ranges out to `leases`: to the part that is read first, and to the first ones of the others.
fn deal(pool: &Arc<Pool>, part: &SqlPart, leases: Vec<Lease>) -> Dealt {
    let readers = readers(part.index(), part.count(), leases.len());
    let mut ranges = vec![0..0; part.count()];
    let mut by_part: Vec<Option<Lease>> = (0..part.count()).map(|_| None).collect();
    for (number, (&reader, lease)) in readers.iter().zip(leases).enumerate() {
        let share = |number: usize| number * part.count() / readers.len();
        ranges[reader] = share(number)..share(number + 1);
        by_part[reader] = Some(lease);
    }
    Dealt {
        pool: Arc::clone(pool),
        ranges,
        leases: Mutex::new(by_part),
    }
}

/// The parts that read, in order: `first` and those before the others.
fn readers(first: usize, count: usize, connections: usize) -> Vec<usize> {
    let others = (0..count).filter(|&part| part != first);
    let mut readers: Vec<usize> = others
        .take(connections.saturating_sub(1))
        .chain([first])
        .collect();
    readers.sort_unstable();
    readers
}

/// The connections to read with: at least one, and if more, all at one moment unless `splits` says otherwise.
async fn gather(pool: &Arc<Pool>, part: &SqlPart, splits: Splits) -> Result<Vec<Lease>> {
    let main = pool.lease().await?;
    let mut leases = pool.more(part.count() - 1).await;
    leases.insert(0, main);
    if leases.len() == 1 || splits == Splits::Inconsistent {
        return Ok(leases);
    }
    let chosen = pool.within_request(at_one_moment(&mut leases, part)).await?;
    let split = leases.into_iter().enumerate();
    let (agreed, others): (Vec<_>, Vec<_>) = split.partition(|(number, _)| chosen.contains(number));
    let mut others = others.into_iter().map(|(_, lease)| lease);
    if agreed.is_empty() {
        tracing::debug!(catalog = pool.catalog(), "no two connections show one moment");
        let main = others.next();
        give_back(pool, others.collect());
        return Ok(vec![alone(pool, main).await?]);
    }
    give_back(pool, others.collect());
    Ok(agreed.into_iter().map(|(_, lease)| lease).collect())
}

/// Begins snapshots until as many as possible are of one moment: the numbers of those, at least two of them or none.
async fn at_one_moment(leases: &mut [Lease], part: &SqlPart) -> Result<Vec<usize>> {
    let mut agreed = Vec::new();
    for number in 0..TRIES_FOR_ALL + TRIES_FOR_SOME {
        let moments = join_all(leases.iter_mut().map(|lease| begin(lease, part))).await;
        agreed = agreeing(&moments);
        let enough = if number < TRIES_FOR_ALL { leases.len() } else { 2 };
        if agreed.len() >= enough {
            break;
        }
    }
    if let [first, _, ..] = agreed[..]
        && let Some(lease) = leases.get_mut(first)
        && keeps_snapshots(lease, part).await
    {
        return Ok(agreed);
    }
    Ok(Vec::new())
}

/// `main` without a snapshot, to read everything; another one if its session is lost.
async fn alone(pool: &Arc<Pool>, main: Option<Lease>) -> Result<Lease> {
    if let Some(mut main) = main {
        let session = main.session()?;
        let ended = pool.within_request(async { Ok(session.end_snapshot().await) });
        if ended.await?.is_ok() {
            return Ok(main);
        }
    }
    pool.lease().await
}

/// The largest set of connections that show the same moment.
fn agreeing(moments: &[Option<Moment>]) -> Vec<usize> {
    let alike = |moment: &Moment| -> Vec<usize> {
        let alike = moments.iter().enumerate();
        alike
            .filter(|(_, other)| other.as_ref() == Some(moment))
            .map(|(number, _)| number)
            .collect()
    };
    let sets = moments.iter().flatten().map(alike);
    // Of sets of one size the first.
    sets.rev().max_by_key(Vec::len).unwrap_or_default()
}

/// Begins a snapshot on `lease`, with the table held as it is until its end; its moment, if that is known.
async fn begin(lease: &mut Lease, part: &SqlPart) -> Option<Moment> {
    let moment = loop {
        let session = lease.session().ok()?;
        match snapshot(session).await {
            Ok(moment) => break moment,
            Err(error) if crate::error::is_connection_lost(&error) && lease.renew().await.ok()? => {}
            Err(_) => return None,
        }
    };
    let session = lease.session().ok()?;
    // Until the snapshot ends nobody can change the table's columns or engine any more. Somebody who waits to do so would
    // wait for the other connections, and this one for him.
    let held = format!("SET STATEMENT lock_wait_timeout = 0 FOR {}", part.nothing().sql);
    session.run(&held).await.ok()?;
    moment
}

/// Begins a snapshot: its moment, unless somebody has committed meanwhile, the server does not say, or data can change
/// without it.
async fn snapshot(session: &mut Session) -> mysql_async::Result<Option<Moment>> {
    let before = rows_of(session.rows(COMMITS, vec![]).await?);
    session.begin_snapshot().await?;
    if before.is_empty() || before != rows_of(session.rows(COMMITS, vec![]).await?) {
        return Ok(None);
    }
    let rest = rows_of(session.rows(POSITION, vec![]).await?);
    Ok(moment_of(&[before, rest].concat(), &session.id().server))
}

fn rows_of(rows: Vec<Row>) -> Vec<(String, String)> {
    let texts = |row: Row| {
        let mut values = row.unwrap().into_iter();
        let name = from_value_opt(values.next()?).ok()?;
        Some((name, from_value_opt(values.next()?).ok()?))
    };
    rows.into_iter().filter_map(texts).collect()
}

fn moment_of(told: &[(String, String)], server: &Arc<str>) -> Option<Moment> {
    let value = |name: &str| {
        told.iter()
            .find(|(told, _)| told == name)
            .map(|(_, value)| value.as_str())
    };
    let is_on = |name: &str| value(name).is_some_and(|value| matches!(value, "ON" | "1"));
    // What comes from other servers is only in the log if the server writes it there.
    let from_others = value("slaves_running") != Some("0") || is_on("wsrep_on");
    if !is_on("log_bin") || (from_others && !is_on("log_slave_updates")) {
        return None;
    }
    let file = value("binlog_snapshot_file").filter(|file| !file.is_empty())?;
    Some(Moment {
        server: Arc::clone(server),
        commits: value("binlog_commits")?.parse().ok()?,
        file: file.to_owned(),
        position: value("binlog_snapshot_position")?.to_owned(),
    })
}

/// Whether the server tells the moments of snapshots.
pub(crate) async fn tells_moments(session: &mut Session) -> bool {
    let Ok(mut told) = session.rows(COMMITS, vec![]).await else {
        return false;
    };
    let Ok(rest) = session.rows(POSITION, vec![]).await else {
        return false;
    };
    told.extend(rest);
    moment_of(&rows_of(told), &session.id().server).is_some()
}

/// Whether the table is still one of the engine that reads by snapshots.
async fn keeps_snapshots(lease: &mut Lease, part: &SqlPart) -> bool {
    let wanted = [part.table().schema.as_str(), &part.table().table, SNAPSHOT_ENGINE];
    let params = vec![wanted[0].into(), wanted[1].into()];
    let Ok(session) = lease.session() else {
        return false;
    };
    let Ok(rows) = session.rows(ENGINE, params).await else {
        return false;
    };
    rows.into_iter().any(|row| {
        let told = row.unwrap().into_iter();
        let told: Vec<String> = told.filter_map(|value| from_value_opt(value).ok()).collect();
        told == wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut told = vec![
            ("binlog_commits", "17"),
            ("binlog_snapshot_file", "binlog.000001"),
            ("binlog_snapshot_position", "1020"),
            ("slaves_running", "0"),
            ("log_slave_updates", "OFF"),
            ("wsrep_on", "OFF"),
            ("log_bin", "ON"),
        ];
        for (name, value) in changes {
            told.retain(|(known, _)| known != name);
            if !value.is_empty() {
                told.push((name, value));
            }
        }
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        told.into_iter().map(owned).collect()
    }

    fn moment(changes: &[(&str, &str)]) -> Option<Moment> {
        moment_of(&told(changes), &"server".into())
    }

    #[test]
    fn a_moment_is_told_only_where_the_log_has_every_change() {
        assert!(moment(&[]).is_some());
        assert_eq!(moment(&[("log_bin", "OFF")]), None);
        assert_eq!(moment(&[("binlog_commits", "")]), None);
        assert_eq!(moment(&[("binlog_snapshot_file", "")]), None);
        assert_eq!(moment(&[("binlog_snapshot_position", "")]), None);
        for others in [
            [("slaves_running", "1")],
            [("wsrep_on", "ON")],
            [("slaves_running", "")],
        ] {
            assert_eq!(moment(&others), None, "{others:?}");
            let logged = [others[0], ("log_slave_updates", "ON")];
            assert!(moment(&logged).is_some(), "{others:?}");
        }
        assert_eq!(
            moment(&[("wsrep_on", "")]),
            moment(&[]),
            "a server without clusters"
        );
        assert_ne!(moment(&[("binlog_commits", "18")]), moment(&[]));
        assert_ne!(moment(&[("binlog_snapshot_position", "1021")]), moment(&[]));
        assert_ne!(moment(&[("binlog_snapshot_file", "binlog.000002")]), moment(&[]));
        assert_ne!(moment_of(&told(&[]), &"another".into()), moment(&[]));
    }

    #[test]
    fn the_largest_set_of_one_moment_is_taken() {
        let at = |position: &str| moment(&[("binlog_snapshot_position", position)]);
        assert_eq!(agreeing(&[at("1"), at("1")]), [0, 1]);
        assert_eq!(agreeing(&[at("1"), at("2"), at("2"), None]), [1, 2]);
        assert_eq!(agreeing(&[at("1"), at("2")]).len(), 1);
        assert_eq!(agreeing(&[None, None]), [0; 0]);
    }

    #[test]
    fn the_part_that_is_read_first_always_reads() {
        for count in 1..5 {
            for first in 0..count {
                for connections in 1..=count {
                    let readers = readers(first, count, connections);
                    assert_eq!(readers.len(), connections);
                    assert!(readers.contains(&first) && readers.is_sorted());
                }
            }
        }
        assert_eq!(readers(3, 4, 2), [0, 3]);
    }
}
