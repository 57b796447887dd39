//! The kinds of catalogs that can be written: each has a server of its own.

use std::ops::Deref;

use causeway_sql_tests::config::Config;
use causeway_sql_tests::server::Server;
use tempfile::TempDir;

/// A connector that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Embedded,
}

/// A server whose catalogs are of one kind.
pub(crate) struct Writable {
    pub(crate) kind: Kind,
    server: Server,
    _folder: TempDir,
}

/// One server after the other, with these catalogs.
pub(crate) fn each(catalogs: &[&str]) -> impl Iterator<Item = Writable> {
    let kinds = [Kind::Memory, Kind::Embedded].into_iter();
    kinds.map(move |kind| start(kind, catalogs))
}

fn start(kind: Kind, catalogs: &[&str]) -> Writable {
    // Told when the test fails.
    println!("catalogs are of the kind {kind:?}");
    let folder = tempfile::tempdir().unwrap();
    let config = catalogs.iter().fold(Config::new(), |config, name| match kind {
        Kind::Memory => config.memory(name),
        Kind::Embedded => config.embedded(name, &folder.path().join(format!("{name}.redb"))),
    });
    Writable {
        kind,
        server: Server::start(&config).unwrap(),
        _folder: folder,
    }
}

impl Deref for Writable {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
