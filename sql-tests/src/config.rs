//! Writes the `causeway.toml` of a test, catalog by catalog.

use std::path::Path;

use crate::services::S3;

/// A Redis table: the rows under one key template.
#[derive(Clone, Debug)]
pub struct RedisTable {
    /// The table's name.
    pub name: String,
    /// The key template, such as `part:{p_partkey}`.
    pub key: String,
    /// `name type` of each column.
    pub columns: Vec<String>,
}

/// A configuration under construction: the file's text and the environment that its secrets are read from.
#[derive(Clone, Debug, Default)]
pub struct Config {
    server: String,
    users: String,
    catalogs: String,
    environment: Vec<(String, String)>,
}

impl Config {
    /// No catalogs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A catalog of the Parquet below `prefix` of a bucket.
    #[must_use]
    pub fn s3(self, catalog: &str, s3: &S3, prefix: &str) -> Self {
        self.s3_with_options(catalog, s3, prefix, "")
    }

    /// The same with further options, such as `cache_memory = 0`.
    #[must_use]
    pub fn s3_with_options(mut self, catalog: &str, s3: &S3, prefix: &str, options: &str) -> Self {
        let access_key = self.secret(catalog, "access_key", &s3.access_key);
        let secret_key = self.secret(catalog, "secret_key", &s3.secret_key);
        self.catalogs += &format!(
            "[catalogs.{catalog}]\nconnector = \"s3\"\nbucket = {:?}\nprefix = {prefix:?}\nendpoint = {:?}\n\
             allow_http = true\naccess_key_id = {access_key}\nsecret_access_key = {secret_key}\n{options}\n\n",
            s3.bucket, s3.endpoint
        );
        self
    }

    /// A catalog of all databases that the URL's user sees.
    #[must_use]
    pub fn mysql(mut self, catalog: &str, url: &str) -> Self {
        self.catalogs += &format!("[catalogs.{catalog}]\nconnector = \"mysql\"\nurl = {url:?}\n\n");
        self
    }

    /// The same with further options, such as `statement_time_max = "3s"`.
    #[must_use]
    pub fn mysql_with_options(mut self, catalog: &str, url: &str, options: &str) -> Self {
        self.catalogs +=
            &format!("[catalogs.{catalog}]\nconnector = \"mysql\"\nurl = {url:?}\n{options}\n\n");
        self
    }

    /// The same with a password of its own.
    #[must_use]
    pub fn mysql_with_password(mut self, catalog: &str, url: &str, password: &str) -> Self {
        let password = self.secret(catalog, "password", password);
        self.catalogs +=
            &format!("[catalogs.{catalog}]\nconnector = \"mysql\"\nurl = {url:?}\npassword = {password}\n\n");
        self
    }

    /// A catalog of hashes.
    #[must_use]
    pub fn redis(mut self, catalog: &str, url: &str, tables: &[RedisTable]) -> Self {
        self.catalogs += &format!("[catalogs.{catalog}]\nconnector = \"redis\"\nurl = {url:?}\n\n");
        for table in tables {
            self.catalogs += &format!(
                "[[catalogs.{catalog}.tables]]\nname = {:?}\nkey = {:?}\nvalue = \"hash\"\ncolumns = {:?}\n\n",
                table.name, table.key, table.columns
            );
        }
        self
    }

    /// A catalog of the files below a folder of this machine.
    #[must_use]
    pub fn local(mut self, catalog: &str, folder: &Path) -> Self {
        self.catalogs += &format!("[catalogs.{catalog:?}]\nconnector = \"local\"\npath = {folder:?}\n\n");
        self
    }

    /// Further lines of the catalogs, such as `[[catalogs.cache.tables]]`.
    #[must_use]
    pub fn catalog_lines(mut self, lines: &str) -> Self {
        self.catalogs += lines;
        self
    }

    /// A catalog of a SQLite file, with further options such as `invalid = "null"`.
    #[must_use]
    pub fn sqlite(mut self, catalog: &str, file: &Path, options: &str) -> Self {
        self.catalogs +=
            &format!("[catalogs.{catalog}]\nconnector = \"sqlite\"\npath = {file:?}\n{options}\n\n");
        self
    }

    /// A catalog of tables in one file, made when it is used.
    #[must_use]
    pub fn embedded(mut self, catalog: &str, file: &Path) -> Self {
        self.catalogs += &format!("[catalogs.{catalog}]\nconnector = \"embedded\"\npath = {file:?}\n\n");
        self
    }

    /// A catalog in the server's memory.
    #[must_use]
    pub fn memory(mut self, catalog: &str) -> Self {
        self.catalogs += &format!("[catalogs.{catalog}]\nconnector = \"memory\"\n\n");
        self
    }

    /// A user who logs in with what `verifier` was made of. Without any, every client is trusted.
    #[must_use]
    pub fn user(mut self, name: &str, verifier: &str) -> Self {
        self.users += &format!("[users.{name}]\nverifier = {verifier:?}\n\n");
        self
    }

    /// The same with further options, such as `remote = ["shop"]`.
    #[must_use]
    pub fn user_with_options(mut self, name: &str, verifier: &str, options: &str) -> Self {
        self.users += &format!("[users.{name}]\nverifier = {verifier:?}\n{options}\n\n");
        self
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets an option of the server, such as `source_timeout = "3s"`.
    #[must_use]
    pub fn server(mut self, line: &str) -> Self {
        self.server += &format!("{line}\n");
        self
    }

    /// The file's text for a server that listens on `port`.
    pub fn render(&self, port: u16) -> String {
        let login = if self.users.is_empty() {
            "authentication = \"trust\"\n"
        } else {
            ""
        };
        format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n{login}{}\n{}{}",
            self.server, self.users, self.catalogs
        )
    }

    /// The environment that the file's secrets refer to.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    fn secret(&mut self, catalog: &str, option: &str, value: &str) -> String {
        let name = format!("TEST_SECRET_{catalog}_{option}").to_uppercase();
        self.environment.push((name.clone(), value.to_owned()));
        format!("{{ env = {name:?} }}")
    }
}
