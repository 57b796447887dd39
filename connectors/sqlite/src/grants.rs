//! What the server's user has to be allowed on the file, and may do beyond that: for `causeway check --grants`.

use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{Access, access};

/// Who else may have a file of this mode open decides what reading it takes.
pub(crate) fn is_wal(connection: &Connection) -> rusqlite::Result<bool> {
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    Ok(mode.eq_ignore_ascii_case("wal"))
}

/// The permissions that reading takes.
pub(crate) fn needs(path: &Path, wal: bool) -> String {
    let read = format!("read {}, search its folder", name(path));
    match wal {
        true => format!("{read}, and write the folder unless another program has the file open (WAL mode)"),
        false => read,
    }
}

/// What may be done besides.
pub(crate) fn excess(path: &Path, wal: bool) -> Vec<String> {
    let mut told = Vec::new();
    if access(path, Access::WRITE_OK).is_ok() {
        told.push(format!("It may write {}, and needs to read only.", name(path)));
    }
    let folder = path
        .parent()
        .filter(|folder| access(*folder, Access::WRITE_OK).is_ok());
    if folder.is_some() && !wal {
        told.push(format!(
            "It may write the folder of {}, and so put another file in its place.",
            name(path)
        ));
    }
    told
}

/// The file without its place on the machine.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
