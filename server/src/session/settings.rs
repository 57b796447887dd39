//! SET, SHOW and RESET: the settings a session may have.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_spi::parse_duration;

use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;
use crate::values::zone;

/// What a setting's value may be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Any text.
    Text,
    /// on or off.
    Bool,
    /// A duration; a bare number is milliseconds; 0 is no limit.
    Duration,
    /// One of these; upper and lower case are the same. Another would promise what is not done.
    OneOf(&'static [&'static str]),
    /// A name of the time zone database, or an offset from UTC.
    TimeZone,
    /// A number of things, 0 or more.
    Count,
    /// Shown, not set.
    ReadOnly,
}

/// The known settings: name, default, kind. Those that mean nothing here are still taken: clients set them.
const KNOWN: [(&str, &str, Kind); 33] = [
    ("application_name", "", Kind::Text),
    ("bytea_output", "hex", Kind::OneOf(&["hex"])),
    ("causeway.join_scan_rows", "20000", Kind::Count),
    ("causeway.receipt", "off", Kind::Bool),
    (
        "client_encoding",
        "UTF8",
        Kind::OneOf(&["UTF8", "UTF-8", "UNICODE"]),
    ),
    ("client_min_messages", "notice", Kind::Text),
    (
        "datestyle",
        "ISO, MDY",
        Kind::OneOf(&["ISO, MDY", "ISO, DMY", "ISO, YMD", "ISO"]),
    ),
    ("default_table_access_method", "heap", Kind::OneOf(&["heap"])),
    ("default_tablespace", "", Kind::Text),
    ("default_transaction_isolation", "read committed", Kind::Text),
    ("default_transaction_read_only", "off", Kind::Bool),
    ("extra_float_digits", "1", Kind::Text),
    ("idle_in_transaction_session_timeout", "0", Kind::Duration),
    ("integer_datetimes", "on", Kind::ReadOnly),
    ("intervalstyle", "postgres", Kind::OneOf(&["postgres"])),
    ("is_superuser", "off", Kind::ReadOnly),
    ("jit", "off", Kind::Bool),
    ("lock_timeout", "30s", Kind::Duration),
    ("max_identifier_length", "63", Kind::ReadOnly),
    ("max_index_keys", "32", Kind::ReadOnly),
    ("pushdown", "on", Kind::Bool),
    ("row_security", "on", Kind::Bool),
    ("search_path", "", Kind::Text),
    ("server_encoding", "UTF8", Kind::ReadOnly),
    ("server_version", SERVER_VERSION, Kind::ReadOnly),
    ("server_version_num", "150000", Kind::ReadOnly),
    ("source_timeout", "", Kind::Duration),
    ("standard_conforming_strings", "on", Kind::ReadOnly),
    ("statement_timeout", "0", Kind::Duration),
    ("synchronize_seqscans", "on", Kind::Bool),
    ("timezone", "UTC", Kind::TimeZone),
    ("transaction_isolation", "read committed", Kind::Text),
    ("transaction_read_only", "off", Kind::Bool),
];

/// What clients parse as the server's version.
const SERVER_VERSION: &str = "15.0 (Causeway)";

/// The settings that are reported to the client at start and whenever they change.
const REPORTED: [(&str, &str); 10] = [
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("datestyle", "DateStyle"),
    ("integer_datetimes", "integer_datetimes"),
    ("intervalstyle", "IntervalStyle"),
    ("is_superuser", "is_superuser"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("timezone", "TimeZone"),
];

/// The values that differ from the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    changed: BTreeMap<String, String>,
}

impl Settings {
    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        match self.changed.get(&name) {
            Some(value) => Some(value),
            None => known(&name).map(|(_, default, _)| default),
        }
    }

    /// SHOW: the value, or 42704.
    pub fn show(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| unknown(name))
    }

    /// SET: checks and remembers a value. A name with a dot is the client's own and takes any text.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let name = name.to_lowercase();
        let value = match known(&name) {
            Some((_, _, kind)) => checked(&name, value, kind)?,
            None if name.contains('.') && !name.starts_with("datafusion.") => value.to_owned(),
            None => return Err(unknown(&name)),
        };
        self.changed.insert(name, value);
        Ok(())
    }

    /// RESET: back to the default.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let name = name.to_lowercase();
        if self.changed.remove(&name).is_none() && known(&name).is_none() {
            return Err(unknown(&name));
        }
        Ok(())
    }

    /// Takes the value of one setting from `other`.
    pub fn copy(&mut self, name: &str, other: &Self) {
        let name = name.to_lowercase();
        match other.changed.get(&name) {
            Some(value) => self.changed.insert(name, value.clone()),
            None => self.changed.remove(&name),
        };
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.changed.clear();
    }

    /// Every known setting with its value, in order.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        KNOWN
            .iter()
            .map(|(name, default, _)| (*name, self.changed.get(*name).map_or(*default, String::as_str)))
    }

    /// The settings that a client is told at start: name and value.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        REPORTED
            .iter()
            .filter_map(|(name, reported)| Some((*reported, self.get(name)?)))
    }

    /// Whether sources may filter, limit and look up.
    pub fn pushdown(&self) -> bool {
        self.get("pushdown") == Some("on")
    }

    /// Whether statements that read sources end with a notice that says what they moved.
    pub fn receipt(&self) -> bool {
        self.get("causeway.receipt") == Some("on")
    }

    /// Tables of fewer rows are scanned for a join; larger ones wait for the join's other side.
    pub fn join_scan_rows(&self) -> usize {
        let rows = self.get("causeway.join_scan_rows");
        rows.and_then(|rows| rows.parse().ok()).unwrap_or_default()
    }

    /// The limit of a statement's time; `None` is none.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    /// The longest wait for the transaction that writes to a catalog; `None` is none.
    pub fn lock_timeout(&self) -> Option<Duration> {
        self.duration("lock_timeout")
    }

    /// Whether the block that runs may not write.
    pub fn read_only(&self) -> bool {
        self.get("transaction_read_only") == Some("on")
    }

    /// Whether blocks, and statements outside of them, may not write unless they say otherwise.
    pub fn default_read_only(&self) -> bool {
        self.get("default_transaction_read_only") == Some("on")
    }

    /// The session's own wait for a source; `None` is the server's.
    pub fn source_timeout(&self) -> Option<Duration> {
        self.duration("source_timeout")
    }

    /// The time zone of timestamps without one, and of what is shown.
    pub(crate) fn time_zone(&self) -> chrono_tz::Tz {
        let zone = self.get("timezone").and_then(zone::by_name);
        zone.unwrap_or(chrono_tz::UTC)
    }

    /// The schemas in which names without a schema are looked for.
    pub fn search_path(&self) -> Vec<String> {
        let path = self.get("search_path").unwrap_or_default();
        let entries = path
            .split(',')
            .map(|entry| entry.trim().trim_matches('"').to_owned());
        entries
            .filter(|entry| !entry.is_empty() && entry != "$user")
            .collect()
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        let value = self.get(name)?;
        parse_setting_duration(value).filter(|duration| !duration.is_zero())
    }
}

fn known(name: &str) -> Option<(&'static str, &'static str, Kind)> {
    KNOWN.iter().find(|(known, _, _)| *known == name).copied()
}

fn unknown(name: &str) -> QueryError {
    QueryError::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

fn checked(name: &str, value: &str, kind: Kind) -> Result<String> {
    let wrong = |hint: &str| {
        QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{name}\": \"{value}\""),
        )
        .hint(hint)
    };
    match kind {
        Kind::Text => Ok(value.to_owned()),
        Kind::OneOf(allowed) => {
            // Some clients send the quotes of SQL in the startup packet as well.
            let bare = value.trim().trim_matches('\'');
            let found = allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(bare));
            match found {
                Some(found) => Ok((*found).to_owned()),
                None => Err(wrong(&format!("It is {}.", allowed.join(" or ")))),
            }
        }
        Kind::Bool => match value.to_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok("on".to_owned()),
            "off" | "false" | "no" | "0" => Ok("off".to_owned()),
            _ => Err(wrong("It is on or off.")),
        },
        Kind::Duration => match parse_setting_duration(value) {
            Some(_) => Ok(value.to_owned()),
            None => Err(wrong(
                "It is a number of milliseconds, or a number with ms, s, min or h.",
            )),
        },
        Kind::TimeZone => {
            time_zone(value).ok_or_else(|| wrong("It is a name such as Europe/Berlin, or UTC."))
        }
        Kind::Count => match value.trim().parse::<u32>() {
            Ok(count) => Ok(count.to_string()),
            Err(_) => Err(wrong("It is a number from 0 to 4294967295.")),
        },
        Kind::ReadOnly => Err(QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("parameter \"{name}\" cannot be changed"),
        )),
    }
}

/// The name of a time zone as the time zone database spells it.
fn time_zone(value: &str) -> Option<String> {
    let value = value.trim();
    if ["default", "local"].contains(&value.to_lowercase().as_str()) {
        return Some("UTC".to_owned());
    }
    zone::by_name(value).map(|zone| zone.name().to_owned())
}

/// A duration as PostgreSQL writes it: `5s`, `2min`, or a bare number of milliseconds.
fn parse_setting_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse() {
        Ok(milliseconds) => Some(Duration::from_millis(milliseconds)),
        Err(_) => parse_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_are_known_ones() {
        let mut settings = Settings::default();
        settings.set("TimeZone", "europe/berlin").unwrap();
        assert_eq!(settings.get("timezone"), Some("Europe/Berlin"));
        assert!(settings.set("timezone", "nope").is_err());
    }

    #[test]
    fn counts_are_whole_numbers() {
        let mut settings = Settings::default();
        assert_eq!(settings.join_scan_rows(), 20_000);
        settings.set("causeway.join_scan_rows", " 0 ").unwrap();
        assert_eq!(settings.join_scan_rows(), 0);
        for wrong in ["-1", "many", "1.5", "4294967296"] {
            let error = settings.set("causeway.join_scan_rows", wrong).unwrap_err();
            assert_eq!(error.state, SqlState::INVALID_PARAMETER_VALUE, "{wrong}");
        }
    }

    #[test]
    fn a_bare_number_is_milliseconds() {
        assert_eq!(parse_setting_duration("250"), Some(Duration::from_millis(250)));
        assert_eq!(parse_setting_duration(" 2min"), Some(Duration::from_secs(120)));
        assert_eq!(parse_setting_duration("-1"), None);
    }

    #[test]
    fn settings_are_checked_and_reset() {
        let mut settings = Settings::default();
        settings.set("PushDown", "OFF").unwrap();
        assert!(!settings.pushdown());
        settings.reset("pushdown").unwrap();
        assert!(settings.pushdown());
        assert_eq!(
            settings.set("pushdown", "maybe").unwrap_err().state,
            SqlState::INVALID_PARAMETER_VALUE
        );
        assert_eq!(
            settings.set("nonsense", "1").unwrap_err().state,
            SqlState::UNDEFINED_OBJECT
        );
        for (name, wrong) in [
            ("client_encoding", "latin1"),
            ("datestyle", "German"),
            ("bytea_output", "escape"),
        ] {
            assert_eq!(
                settings.set(name, wrong).unwrap_err().state,
                SqlState::INVALID_PARAMETER_VALUE
            );
        }
        settings.set("client_encoding", "'utf-8'").unwrap();
        settings.set("DateStyle", "iso").unwrap();
        assert!(settings.set("datafusion.execution.batch_size", "1").is_err());
        settings.set("my.own", "x").unwrap();
        assert_eq!(settings.show("my.own").unwrap(), "x");
    }
}
