//! The folder of the demo's data: found, locked against a second demo, known as complete or half made.
//!
//! It holds `demo.json`, which says what the data set is and whether it is complete, `demo.lock`, and the sources.
//! Nothing else in a folder is ever touched, and a folder with other contents is refused.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::error::DemoError;

/// The form of the data set: another one is made anew.
const FORMAT: u32 = 1;
const STATE: &str = "demo.json";
const LOCK: &str = "demo.lock";

/// A folder that this process alone uses.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    scale: f64,
    complete: bool,
    /// Removed when the place is dropped.
    temporary: Option<TempDir>,
    /// Unlocked when the place is dropped.
    _lock: File,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct State {
    format: u32,
    scale: f64,
    complete: bool,
}

impl Place {
    /// The folder that is asked for, else one in the user's cache, else a temporary one.
    pub(super) fn find(folder: Option<&Path>, scale: f64) -> Result<Self, DemoError> {
        if let Some(folder) = folder {
            let folder = std::path::absolute(folder).map_err(|error| file_error("find", folder, error))?;
            return Self::claim(folder, scale, None);
        }
        if let Some(cached) = cache_folder()
            && let Ok(place) = Self::claim(cached, scale, None)
        {
            return Ok(place);
        }
        let temporary = tempfile::Builder::new()
            .prefix("causeway-demo-")
            .tempdir()
            .map_err(|error| file_error("make a folder in", &std::env::temp_dir(), error))?;
        Self::claim(temporary.path().to_owned(), scale, Some(temporary))
    }

    fn claim(folder: PathBuf, scale: f64, temporary: Option<TempDir>) -> Result<Self, DemoError> {
        fs::create_dir_all(&folder).map_err(|error| file_error("make the folder", &folder, error))?;
        let state_file = folder.join(STATE);
        if !state_file.exists() && !is_empty(&folder)? {
            return Err(DemoError::Foreign(folder));
        }
        let lock_file = folder.join(LOCK);
        let lock = File::create(&lock_file).map_err(|error| file_error("write", &lock_file, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(DemoError::InUse(folder)),
            Err(fs::TryLockError::Error(error)) => return Err(file_error("lock", &lock_file, error)),
        }
        let wanted = State {
            format: FORMAT,
            scale,
            complete: true,
        };
        // A state that cannot be read is that of a demo that was cut off.
        let complete = fs::read(&state_file)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok())
            .is_some_and(|state| state == wanted);
        Ok(Self {
            folder,
            scale,
            complete,
            temporary,
            _lock: lock,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The folder of the Parquet tables.
    pub(super) fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// The SQLite file.
    pub(super) fn shop(&self) -> PathBuf {
        self.folder.join("shop.db")
    }

    /// The embedded store's file.
    pub(super) fn kv(&self) -> PathBuf {
        self.folder.join("kv.redb")
    }

    /// Removes the sources of an earlier data set; until [`Place::finish`] it is a half made one.
    pub(super) fn begin(&self) -> Result<(), DemoError> {
        self.write_state(false)?;
        let lake = self.lake();
        removed(&lake, fs::remove_dir_all(&lake))?;
        for name in [
            "shop.db",
            "shop.db-journal",
            "shop.db-wal",
            "shop.db-shm",
            "kv.redb",
        ] {
            let file = self.folder.join(name);
            removed(&file, fs::remove_file(&file))?;
        }
        Ok(())
    }

    /// Everything is there.
    pub(super) fn finish(&self) -> Result<(), DemoError> {
        self.write_state(true)
    }

    fn write_state(&self, complete: bool) -> Result<(), DemoError> {
        let state = State {
            format: FORMAT,
            scale: self.scale,
            complete,
        };
        let file = self.folder.join(STATE);
        let text = serde_json::json!(state).to_string();
        fs::write(&file, text).map_err(|error| file_error("write", &file, error))
    }
}

pub(super) fn file_error(what: &'static str, path: &Path, source: io::Error) -> DemoError {
    DemoError::File {
        what,
        path: path.to_owned(),
        source,
    }
}

/// The user's cache by the XDG rules: only absolute paths count.
fn cache_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("causeway").join("demo"))
}

/// Whether nothing but a lock is in the folder.
fn is_empty(folder: &Path) -> Result<bool, DemoError> {
    let entries = fs::read_dir(folder).map_err(|error| file_error("read the folder", folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| file_error("read the folder", folder, error))?;
        if entry.file_name() != LOCK {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What was not there need not be removed.
fn removed(path: &Path, outcome: io::Result<()>) -> Result<(), DemoError> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_data_set_of_the_scale_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let find = |scale| Place::find(Some(folder.path()), scale).unwrap();
        let place = find(0.01);
        assert!(!place.is_complete());
        place.begin().unwrap();
        fs::create_dir_all(place.lake()).unwrap();
        drop(place);
        assert!(!find(0.01).is_complete(), "half made");
        find(0.01).finish().unwrap();
        assert!(find(0.01).is_complete());
        assert!(!find(0.02).is_complete());
        find(0.02).begin().unwrap();
        assert!(!folder.path().join("lake").exists());
        fs::write(folder.path().join(STATE), "{\"form").unwrap();
        assert!(!find(0.02).is_complete());
    }

    #[test]
    fn foreign_folders_and_other_demos_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("thesis.tex");
        fs::write(&file, "years of work").unwrap();
        let error = Place::find(Some(folder.path()), 0.01).unwrap_err();
        assert!(matches!(error, DemoError::Foreign(_)), "{error}");
        assert!(file.exists());
        fs::remove_file(&file).unwrap();
        let place = Place::find(Some(folder.path()), 0.01).unwrap();
        let error = Place::find(Some(folder.path()), 0.01).unwrap_err();
        assert!(matches!(error, DemoError::InUse(_)), "{error}");
        drop(place);
        Place::find(Some(folder.path()), 0.01).unwrap();
        let error = Place::find(Some(Path::new("/proc/nowhere")), 0.01).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("could not make the folder /proc/nowhere: "),
            "{error}"
        );
    }
}
