//! What the server's user has to be allowed on the file, and may do beyond that: for `causeway check --grants`.

use std::path::Path;

use rustix::fs::{Access, access};

/// The permissions that the store takes.
pub(crate) fn needs(path: &Path) -> String {
    format!(
        "read and write {}, search its folder; write the folder until the file is made",
        name(path)
    )
}

/// What may be done besides, now that the file is there.
pub(crate) fn excess(path: &Path) -> Vec<String> {
    let folder = path
        .parent()
        .filter(|folder| access(*folder, Access::WRITE_OK).is_ok());
    let told = folder.map(|_| {
        format!(
            "It may write the folder of {}, which it needs only until the file is made.",
            name(path)
        )
    });
    told.into_iter().collect()
}

/// The file without its place on the machine.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
