//! `causeway config-docs`.

use std::path::PathBuf;

use causeway::config_docs::{reference, write};

/// What the command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Brings the pages of the project in this folder up to date instead.
    #[arg(long)]
    write: Option<PathBuf>,
}

/// Prints the reference, or writes it into the project's pages and prints which have changed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(root) = &arguments.write else {
        print!("{}", reference());
        return Ok(());
    };
    for page in write(root)? {
        println!("{}", page.display());
    }
    Ok(())
}
