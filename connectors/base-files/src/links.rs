//! Links of a local folder: followed inside of the catalog's root, refused where they lead out of it.

use std::path::{Path as LocalPath, PathBuf};

use causeway_spi::{ConnectorError, ErrorKind, Result};
use object_store::path::Path;

use crate::listing::Listing;

/// Refuses a listing with a file that, with all links followed, is not below `root`.
///
/// A link that is made later changes the file's identity, so that reading it is an error of its own.
pub(crate) async fn refuse_links_out(catalog: &str, root: &LocalPath, listing: &Listing) -> Result<()> {
    let root = root.to_path_buf();
    let locations: Vec<Path> = listing.files.iter().map(|file| file.location.clone()).collect();
    let leaving = tokio::task::spawn_blocking(move || first_outside(&root, locations)).await;
    match leaving {
        Ok(None) => Ok(()),
        Ok(Some(location)) => {
            let message = format!(
                "file {location} of catalog {catalog} is behind a link that leads out of the catalog"
            );
            Err(ConnectorError::new(ErrorKind::NotPermitted, message)
                .hint("Only links to places below the catalog's path are followed."))
        }
        Err(error) => {
            let message = format!("the links of catalog {catalog} could not be followed");
            Err(ConnectorError::new(ErrorKind::Internal, message).source(error))
        }
    }
}

fn first_outside(root: &LocalPath, locations: Vec<Path>) -> Option<Path> {
    let real_root = root.canonicalize().ok()?;
    // Files share folders: each folder is followed once.
    let mut last_folder: Option<(PathBuf, bool)> = None;
    locations.into_iter().find(|location| {
        let file = root.join(location.as_ref());
        let Some(folder) = file.parent() else { return false };
        let is_inside = match &last_folder {
            Some((known, is_inside)) if known == folder => *is_inside,
            _ => {
                let is_inside = is_below(folder, &real_root);
                last_folder = Some((folder.to_path_buf(), is_inside));
                is_inside
            }
        };
        let is_link = file.symlink_metadata().is_ok_and(|found| found.is_symlink());
        !is_inside || (is_link && !is_below(&file, &real_root))
    })
}

/// What is not there any more is not outside either: reading it is an error of its own.
fn is_below(path: &LocalPath, real_root: &LocalPath) -> bool {
    path.canonicalize()
        .map_or(true, |real| real.starts_with(real_root))
}
