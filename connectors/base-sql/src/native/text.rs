//! What may be said in a native statement: one query that only reads.
//!
//! The first of several gates, and the one that says in plain words what is wrong. Words and signs are told from quotes and
//! comments as the source tells them; the source itself then prepares the text, and reads it in a session that cannot write.

use causeway_spi::{ConnectorError, ErrorKind, Result};

use crate::print::Dialect;

/// Longest text of a native statement, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Words that begin statements which change something, or the state of a session.
const CHANGES: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BACKUP",
    "BEGIN",
    "BINLOG",
    "CACHE",
    "CALL",
    "CHANGE",
    "CHECK",
    "COMMIT",
    "CREATE",
    "DEALLOCATE",
    "DELETE",
    "DETACH",
    "DO",
    "DROP",
    "END",
    "EXECUTE",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "IMPORT",
    "INSERT",
    "INSTALL",
    "KILL",
    "LOAD",
    "LOCK",
    "MERGE",
    "OPTIMIZE",
    "PRAGMA",
    "PREPARE",
    "PURGE",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "REPAIR",
    "REPLACE",
    "RESET",
    "RESTART",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "SHUTDOWN",
    "SIGNAL",
    "START",
    "STOP",
    "TRUNCATE",
    "UNINSTALL",
    "UNLOCK",
    "UPDATE",
    "VACUUM",
    "XA",
];

/// Words that begin statements which read, but are no queries.
const OTHERS: &[&str] = &["DESC", "DESCRIBE", "EXPLAIN", "HELP", "SHOW", "USE"];

/// Words that begin the statement behind a WITH.
const VERBS: &[&str] = &[
    "SELECT", "VALUES", "TABLE", "INSERT", "REPLACE", "UPDATE", "DELETE", "MERGE",
];

/// The one query that `text` is, for the source of `catalog`, without a semicolon behind it.
///
/// Errors: `ReadOnly` for what writes, locks rows or sets something; `Syntax` for several statements, none, and what is
/// not closed; `NotSupported` for statements that are no queries, and comments that a server reads; `LimitExceeded`.
pub fn single_query<'a>(text: &'a str, dialect: Dialect, catalog: &str) -> Result<&'a str> {
    let refused = |refusal: Refusal| refusal.into_error(catalog);
    if text.len() > TEXT_BYTES_MAX {
        let message =
            format!("the native statement for catalog {catalog} is longer than {TEXT_BYTES_MAX} bytes");
        return Err(ConnectorError::new(ErrorKind::LimitExceeded, message));
    }
    let mut tokens = Tokens { text, dialect, at: 0 };
    let mut reader = Reader::new(dialect);
    while let Some(token) = tokens.next_token().map_err(refused)? {
        if token.kind != Kind::Sign(';') {
            reader.read(&token).map_err(refused)?;
            continue;
        }
        if tokens.next_token().map_err(refused)?.is_some() {
            return Err(refused(Refusal::syntax("is more than one statement")));
        }
        reader.end().map_err(refused)?;
        return Ok(&text[..token.start]);
    }
    reader.end().map_err(refused)?;
    Ok(text)
}

/// Why a text is not sent.
struct Refusal {
    kind: ErrorKind,
    /// What the text is or does, behind its name.
    why: String,
}

impl Refusal {
    fn syntax(why: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Syntax,
            why: why.into(),
        }
    }

    fn write(what: &str) -> Self {
        Self {
            kind: ErrorKind::ReadOnly,
            why: what.to_owned(),
        }
    }

    fn other(why: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::NotSupported,
            why: why.into(),
        }
    }

    fn into_error(self, catalog: &str) -> ConnectorError {
        let Self { kind, why } = self;
        match kind {
            ErrorKind::ReadOnly => ConnectorError::new(
                kind,
                format!("cannot execute {why} in a native statement for catalog {catalog}"),
            )
            .detail("Native statements only read."),
            _ => ConnectorError::new(kind, format!("the native statement for catalog {catalog} {why}"))
                .hint("Write one query: SELECT, WITH or VALUES."),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// A text, or a name in quotes.
    Quoted,
    Sign(char),
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
}

impl Token<'_> {
    fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }
}

/// What is known of a statement so far.
struct Reader {
    dialect: Dialect,
    /// Open parentheses.
    depth: usize,
    /// The verb that decides what the statement is, once it has been read.
    verb: Verb,
    /// The token before: its upper-case text.
    last: String,
}

enum Verb {
    Missing,
    /// A WITH at this depth, whose verb is still to come.
    Behind(usize),
    Read,
}

impl Reader {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            depth: 0,
            verb: Verb::Missing,
            last: String::new(),
        }
    }

    fn read(&mut self, token: &Token<'_>) -> Result<(), Refusal> {
        match (&self.verb, token.kind) {
            (Verb::Missing, Kind::Sign('(')) | (Verb::Read, _) => {}
            (Verb::Missing, _) => self.verb = self.first(token)?,
            (Verb::Behind(depth), Kind::Word) if *depth == self.depth && token.is_any(VERBS) => {
                if !token.is_any(&["SELECT", "VALUES", "TABLE"]) {
                    return Err(Refusal::write(&token.text.to_ascii_uppercase()));
                }
                self.verb = Verb::Read;
            }
            (Verb::Behind(_), _) => {}
        }
        match token.kind {
            Kind::Sign('(') => self.depth += 1,
            Kind::Sign(')') => {
                self.depth = self
                    .depth
                    .checked_sub(1)
                    .ok_or_else(|| Refusal::syntax("closes a parenthesis that it has not opened"))?;
            }
            Kind::Word => self.check_word(token)?,
            Kind::Sign('=') if self.last == ":" && self.dialect == Dialect::MySql => {
                return Err(Refusal::write("an assignment"));
            }
            Kind::Sign(_) | Kind::Quoted => {}
        }
        self.last = match token.kind {
            Kind::Quoted => String::new(),
            _ => token.text.to_ascii_uppercase(),
        };
        Ok(())
    }

    fn first(&self, token: &Token<'_>) -> Result<Verb, Refusal> {
        let word = token.text.to_ascii_uppercase();
        match token.kind {
            Kind::Word if token.is_word("WITH") => Ok(Verb::Behind(self.depth)),
            Kind::Word if token.is_any(&["SELECT", "VALUES", "TABLE"]) => Ok(Verb::Read),
            Kind::Word if token.is_any(CHANGES) => Err(Refusal::write(&word)),
            Kind::Word if token.is_any(OTHERS) => {
                Err(Refusal::other(format!("is {word}, which is no query")))
            }
            _ => Err(Refusal::syntax("does not begin as a query does")),
        }
    }

    /// Words that make a query write or lock. Behind a point a word is a name.
    fn check_word(&self, token: &Token<'_>) -> Result<(), Refusal> {
        if self.last == "." {
            return Ok(());
        }
        let locks = match self.last.as_str() {
            "FOR" => token.is_any(&["UPDATE", "SHARE"]),
            "LOCK" => token.is_word("IN") && self.dialect == Dialect::MySql,
            _ => false,
        };
        if token.is_word("INTO") {
            return Err(Refusal::write("SELECT INTO"));
        }
        if locks {
            return Err(Refusal::write("a query that locks rows"));
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Refusal> {
        match self.verb {
            Verb::Missing => Err(Refusal::syntax("is empty")),
            Verb::Behind(_) => Err(Refusal::syntax("has a WITH without a query behind it")),
            Verb::Read if self.depth > 0 => Err(Refusal::syntax("does not close a parenthesis")),
            Verb::Read => Ok(()),
        }
    }
}

/// The words and signs of a text, without blanks and comments.
struct Tokens<'a> {
    text: &'a str,
    dialect: Dialect,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next_token(&mut self) -> Result<Option<Token<'a>>, Refusal> {
        self.skip_blanks()?;
        let start = self.at;
        let Some(first) = self.rest().chars().next() else {
            return Ok(None);
        };
        let kind = match (first, self.dialect) {
            ('\'' | '"' | '`', _) => {
                self.skip_quoted(first)?;
                Kind::Quoted
            }
            ('[', Dialect::Sqlite) => {
                self.skip_past("]", "a name in brackets")?;
                Kind::Quoted
            }
            (letter, _) if is_word(letter) => {
                let rest = self.rest();
                self.at += rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                Kind::Word
            }
            ('\0', _) => return Err(Refusal::syntax("has a zero byte")),
            (sign, _) => {
                self.at += sign.len_utf8();
                Kind::Sign(sign)
            }
        };
        Ok(Some(Token {
            kind,
            text: &self.text[start..self.at],
            start,
        }))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) -> Result<(), Refusal> {
        loop {
            let rest = self.rest();
            let blanks = rest.len()
                - rest
                    .trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}')
                    .len();
            self.at += blanks;
            let rest = self.rest();
            if self.begins_line_comment(rest) {
                self.at += rest.find('\n').map_or(rest.len(), |end| end + 1);
            } else if rest.starts_with("/*") {
                self.check_comment(rest)?;
                self.at += "/*".len();
                self.skip_past("*/", "a comment")?;
            } else {
                return Ok(());
            }
        }
    }

    /// MySQL wants a blank or a control character behind two dashes: `5--1` is 6 there.
    fn begins_line_comment(&self, rest: &str) -> bool {
        match (rest.strip_prefix("--"), self.dialect) {
            (Some(_), Dialect::Sqlite) => true,
            (Some(behind), Dialect::MySql) => behind
                .chars()
                .next()
                .is_none_or(|c| c.is_ascii_whitespace() || c.is_ascii_control()),
            (None, Dialect::MySql) => rest.starts_with('#'),
            (None, Dialect::Sqlite) => false,
        }
    }

    /// MySQL and MariaDB read what stands in some comments, each by its own version.
    fn check_comment(&self, rest: &str) -> Result<(), Refusal> {
        let is_read = ["/*!", "/*M!", "/*m!", "/*+"]
            .iter()
            .any(|begin| rest.starts_with(begin));
        match self.dialect == Dialect::MySql && is_read {
            true => Err(Refusal::other("has a comment that the server would read")),
            false => Ok(()),
        }
    }

    /// Neither source knows a backslash: MySQL's sessions are pinned to `NO_BACKSLASH_ESCAPES`. A doubled quote is two
    /// quoted parts side by side, which changes nothing here.
    fn skip_quoted(&mut self, quote: char) -> Result<(), Refusal> {
        self.at += quote.len_utf8();
        let what = if quote == '\'' { "a text" } else { "a quoted name" };
        self.skip_past(quote.encode_utf8(&mut [0; 4]), what)
    }

    fn skip_past(&mut self, end: &str, what: &str) -> Result<(), Refusal> {
        let found = self
            .rest()
            .find(end)
            .ok_or_else(|| Refusal::syntax(format!("does not close {what}")))?;
        self.at += found + end.len();
        Ok(())
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::MySql, Dialect::Sqlite];

    fn refusal(text: &str, dialect: Dialect) -> Option<ErrorKind> {
        single_query(text, dialect, "shop")
            .err()
            .map(|error| error.kind())
    }

    #[test]
    fn queries_pass_as_they_are() {
        for text in [
            "SELECT 1",
            "  select * from t where a = 'it''s; -- no comment' /* ; */",
            "WITH a AS (SELECT 1), b (x) AS (SELECT 2) SELECT * FROM a, b",
            "with recursive a as (select 1 union all select 2) select * from a",
            "(SELECT 1) UNION (SELECT 2)",
            "((SELECT 1))",
            "VALUES (1), (2)",
            "SELECT ')' AS `(`, \")\" -- )",
            "SELECT replace(name, 'a', 'b'), insert_at, \"into\" FROM t AS \"for update\"",
            "SELECT t.into FROM t",
            "SELECT 'é' AS ünïcode",
        ] {
            for dialect in BOTH {
                assert_eq!(single_query(text, dialect, "shop").ok(), Some(text), "{text}");
            }
        }
    }

    #[test]
    fn a_semicolon_may_stand_at_the_end_only() {
        for dialect in BOTH {
            assert_eq!(
                single_query("SELECT 1 ; -- end", dialect, "shop").unwrap(),
                "SELECT 1 "
            );
            for text in [
                "SELECT 1; SELECT 2",
                "SELECT 1;;",
                "SELECT 1) AS t; DROP TABLE x; --",
                ";",
                "SELECT 1; 'x'",
            ] {
                assert_eq!(refusal(text, dialect), Some(ErrorKind::Syntax), "{text}");
            }
        }
    }

    #[test]
    fn what_writes_or_locks_is_told_so() {
        for text in [
            "INSERT INTO t VALUES (1)",
            "/* SELECT */ update t set a = 1",
            "-- SELECT\nDELETE FROM t",
            "(DELETE FROM t)",
            "WITH a AS (SELECT 1) DELETE FROM t",
            "with a as (select 1) update t set a = 1",
            "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
            "SELECT * INTO OUTFILE '/tmp/x' FROM t",
            "SELECT 1 FROM t INTO @x",
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM t FOR/**/SHARE",
            "SET GLOBAL x = 1",
            "CALL p()",
            "DROP TABLE t",
            "PRAGMA query_only = OFF",
            "ATTACH 'x' AS y",
            "BEGIN",
        ] {
            for dialect in BOTH {
                assert_eq!(refusal(text, dialect), Some(ErrorKind::ReadOnly), "{text}");
            }
        }
        for text in [
            "SELECT * FROM t LOCK IN SHARE MODE",
            "SELECT @x := 1",
            "SELECT @x :\n= 1",
        ] {
            assert_eq!(refusal(text, Dialect::MySql), Some(ErrorKind::ReadOnly), "{text}");
        }
    }

    #[test]
    fn what_is_no_query_or_not_closed_is_refused() {
        for text in [
            "",
            "  \n",
            "/* nothing */ -- at all",
            "SELEC 1",
            "1",
            "'SELECT'",
            "()",
            "WITH a AS (SELECT 1)",
            "SELECT 1)",
            "SELECT 1) AS t",
            "SELECT 1) x UNION SELECT (2",
            "SELECT (1",
            "SELECT 'open",
            "SELECT \"open",
            "SELECT `open",
            "SELECT 1 /* open",
            "SELECT 'a\\' OR 'b",
            "SELECT \0",
        ] {
            for dialect in BOTH {
                assert_eq!(refusal(text, dialect), Some(ErrorKind::Syntax), "{text}");
            }
        }
        assert_eq!(refusal("SELECT [open", Dialect::Sqlite), Some(ErrorKind::Syntax));
        for text in ["SHOW TABLES", "EXPLAIN SELECT 1", "describe t"] {
            assert_eq!(
                refusal(text, Dialect::MySql),
                Some(ErrorKind::NotSupported),
                "{text}"
            );
        }
        let long = format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX));
        assert_eq!(refusal(&long, Dialect::MySql), Some(ErrorKind::LimitExceeded));
    }

    /// Where the sources read a text differently, it is read as its source does.
    #[test]
    fn quotes_and_comments_are_those_of_the_source() {
        // A comment to SQLite, a difference to MySQL.
        assert_eq!(refusal("SELECT 5--1); DROP TABLE t", Dialect::Sqlite), None);
        assert_eq!(
            refusal("SELECT 5--1); DROP TABLE t", Dialect::MySql),
            Some(ErrorKind::Syntax)
        );
        assert_eq!(refusal("SELECT 1 # ) ;", Dialect::MySql), None);
        assert_eq!(
            refusal("SELECT 1 # ) ;", Dialect::Sqlite),
            Some(ErrorKind::Syntax)
        );
        assert_eq!(refusal("SELECT [)] FROM t", Dialect::Sqlite), None);
        assert_eq!(
            refusal("SELECT [)] FROM t", Dialect::MySql),
            Some(ErrorKind::Syntax)
        );
        for hidden in [
            "/*! INSERT INTO t VALUES (1) */",
            "SELECT 1 /*!50000 INTO OUTFILE 'x' */",
            "SELECT 1 /*M!100100 INTO OUTFILE 'x' */",
            "SELECT /*+ SET_VAR(sql_mode = '') */ 1",
        ] {
            assert_eq!(
                refusal(hidden, Dialect::MySql),
                Some(ErrorKind::NotSupported),
                "{hidden}"
            );
        }
        // No backslash hides a quote, so that what stands behind it is seen.
        assert_eq!(
            refusal("SELECT 'a\\' INTO OUTFILE 'b'", Dialect::MySql),
            Some(ErrorKind::ReadOnly)
        );
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        let error = single_query("DELETE FROM t", Dialect::MySql, "shop").unwrap_err();
        assert_eq!(
            error.message(),
            "cannot execute DELETE in a native statement for catalog shop"
        );
        let error = single_query("SELECT 1; SELECT 2", Dialect::MySql, "shop").unwrap_err();
        assert_eq!(
            error.message(),
            "the native statement for catalog shop is more than one statement"
        );
    }
}
