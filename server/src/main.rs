//! The commands: `causeway demo`, `causeway serve --config causeway.toml`, `causeway check`, `causeway hash-password`,
//! `causeway config-docs`. One module each.

mod commands;

use clap::{Parser, Subcommand};

use commands::{check, config_docs, demo, hash_password, serve};

/// One Postgres endpoint over everything you have.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Joins Parquet, SQLite and an embedded store, made on the spot: nothing to install or to configure.
    Demo(demo::Arguments),
    /// Serves the catalogs of a configuration until SIGINT or SIGTERM.
    Serve(serve::Arguments),
    /// Checks a configuration and tries its sources.
    Check(check::Arguments),
    /// Reads a password and prints the verifier that `[users]` stores.
    HashPassword,
    /// Prints the reference of all options of the configuration, as Markdown.
    ConfigDocs(config_docs::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::HashPassword => hash_password::run(),
        Command::ConfigDocs(arguments) => config_docs::run(&arguments),
    }
}
