//! `causeway check`: is the configuration right, and do its sources answer?

use std::path::PathBuf;

use causeway::check::{Detail, check};
use causeway::config::Config;

use super::runtime;

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
    /// Shows every table with all its columns.
    #[arg(long)]
    verbose: bool,
    /// Prints what each catalog's login needs, and warns where it may do more.
    #[arg(long)]
    grants: bool,
}

/// Fails when the configuration is wrong, or a source does not answer as it should.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::read(&arguments.config)?;
    let encryption = if config.door.tls.is_some() {
        " with TLS"
    } else {
        ""
    };
    println!(
        "the configuration is right: {} catalogs, listens on {}{encryption}",
        config.catalogs.len(),
        config.server.listen
    );
    let detail = Detail {
        verbose: arguments.verbose,
        grants: arguments.grants,
    };
    let findings = runtime()?.block_on(check(&config.catalogs, detail));
    print!("{}", findings.text);
    anyhow::ensure!(
        findings.wrong.is_empty(),
        "not as they should be: {}",
        findings.wrong.join(", ")
    );
    Ok(())
}
