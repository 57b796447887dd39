//! A configuration that is read again while the server runs: catalogs, users and certificates change, the rest waits.

use std::collections::BTreeMap;

use toml::Table;

use crate::Server;
use crate::catalog::CatalogChanges;
use crate::config::{Config, OpenCatalog};

/// The options on which the safety of the door depends: while they differ from the file, users and certificates stay.
const DOOR_OPTIONS: [&str; 3] = ["listen", "authentication", "plaintext_allowed"];

/// What a reload has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The catalogs that are others now.
    pub catalogs: CatalogChanges,
    /// The options of `[server]` that are others in the file, but only count after a restart.
    pub waiting: Vec<String>,
    /// Whether users and certificates are those of the file.
    pub door: bool,
}

impl Server {
    /// The catalogs as they are open, for [`Config::read_again`].
    pub fn open_catalogs(&self) -> BTreeMap<String, OpenCatalog> {
        self.engine.catalogs().opened()
    }

    /// Takes over the catalogs, users and certificates of a configuration that was read again. Catalogs whose options are
    /// the same keep their connections and what is remembered of them; statements go on with the catalogs they began with.
    pub fn reload(&mut self, config: Config) -> Reloaded {
        let waiting = differences(&self.written, &config.written);
        let same_door = !waiting.iter().any(|key| DOOR_OPTIONS.contains(&key.as_str()))
            && config.door.tls.is_some() == self.door.has_tls();
        if same_door {
            self.door.replace(config.door);
        }
        // What is in those files is taken over, whatever their names are.
        let waiting = waiting.into_iter().filter(|key| !(same_door && key == "tls"));
        Reloaded {
            catalogs: self
                .engine
                .reload(config.catalogs, same_door.then_some(config.remote)),
            waiting: waiting.collect(),
            door: same_door,
        }
    }
}

/// The keys that differ between two sections.
fn differences(old: &Table, new: &Table) -> Vec<String> {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let differ = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    differ.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_differ_are_told() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let old = table("listen = \"127.0.0.1:1\"\nconnections_max = 1\n");
        let new = table("listen = \"127.0.0.1:1\"\nmetadata_ttl = \"1s\"\n");
        assert_eq!(differences(&old, &new), ["connections_max", "metadata_ttl"]);
    }
}
