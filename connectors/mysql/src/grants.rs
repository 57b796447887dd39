//! What the catalog's login needs, and what it may do beyond that: for `causeway check --grants`.

use std::sync::Arc;

use causeway_spi::Result;
use mysql_async::from_value_opt;

use crate::catalog;
use crate::pool::Pool;

/// What every login may do.
const HARMLESS: [&str; 3] = ["USAGE", "SELECT", "SHOW VIEW"];

/// The statements that give the login what the catalog reads: each database that it sees.
pub(crate) async fn needs(pool: &Arc<Pool>) -> Result<String> {
    let schemas = catalog::schemas(pool.lease().await?).await?;
    let account = texts(pool, "SELECT CURRENT_USER()")
        .await?
        .pop()
        .unwrap_or_default();
    let account = quoted_account(&account);
    let grants: Vec<String> = schemas
        .iter()
        .map(|schema| format!("GRANT SELECT ON {}.* TO {account};", quoted(&pattern(schema))))
        .collect();
    Ok(match grants.is_empty() {
        true => format!("GRANT SELECT ON `database`.* TO {account};"),
        false => grants.join("\n"),
    })
}

/// The login's grants that are more than reading.
pub(crate) async fn excess(pool: &Arc<Pool>) -> Result<Vec<String>> {
    let grants = texts(pool, "SHOW GRANTS").await?;
    Ok(grants.iter().filter_map(|grant| beyond_reading(grant)).collect())
}

async fn texts(pool: &Arc<Pool>, sql: &str) -> Result<Vec<String>> {
    let (rows, lease) = pool.lease().await?.rows(sql, vec![]).await?;
    lease.give_back();
    let texts = rows.into_iter().filter_map(|row| {
        let value = row.unwrap().into_iter().next()?;
        from_value_opt::<String>(value).ok()
    });
    Ok(texts.collect())
}

/// What a line of SHOW GRANTS allows beyond reading one database. A hashed password behind it is not repeated.
fn beyond_reading(grant: &str) -> Option<String> {
    let rest = grant.strip_prefix("GRANT ")?;
    let Some((privileges, rest)) = rest.split_once(" ON ") else {
        let role = rest.split_once(" TO ").map_or(rest, |(role, _)| role);
        return Some(format!(
            "It has the role {role}, whose rights were not looked at."
        ));
    };
    let (object, options) = rest.split_once(" TO ").unwrap_or((rest, ""));
    let mut more: Vec<&str> = split_privileges(privileges)
        .into_iter()
        .filter(|privilege| {
            let name = privilege.split('(').next().unwrap_or_default().trim();
            !HARMLESS.contains(&name)
        })
        .collect();
    if options.contains("WITH GRANT OPTION") {
        more.push("GRANT OPTION");
    }
    if !more.is_empty() {
        return Some(format!(
            "It may {} on {object}, and needs to read only.",
            more.join(", ")
        ));
    }
    let reads = split_privileges(privileges)
        .iter()
        .any(|privilege| privilege.trim() == "SELECT");
    (reads && object == "*.*")
        .then(|| "It may read every database of the server, those that come later too.".to_owned())
}

/// Privileges are separated by commas, which stand in their lists of columns too.
fn split_privileges(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// `app@%` as it stands in a statement.
fn quoted_account(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    format!("'{}'@'{}'", user.replace('\'', "''"), host.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A database's name in GRANT is a pattern.
fn pattern(name: &str) -> String {
    name.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_one_database_is_enough() {
        for harmless in [
            "GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*0123'",
            "GRANT SELECT, SHOW VIEW ON `app`.* TO `app`@`%`",
            "GRANT SELECT (`a`, `b`) ON `app`.`t` TO `app`@`%`",
        ] {
            assert_eq!(beyond_reading(harmless), None, "{harmless}");
        }
        for (grant, told) in [
            (
                "GRANT SELECT ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*0123'",
                "It may read every database of the server, those that come later too.",
            ),
            (
                "GRANT SELECT, INSERT, UPDATE (`a`, `b`) ON `app`.* TO `app`@`%`",
                "It may INSERT, UPDATE (`a`, `b`) on `app`.*, and needs to read only.",
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION",
                "It may ALL PRIVILEGES, GRANT OPTION on *.*, and needs to read only.",
            ),
            (
                "GRANT `reporting`@`%` TO `app`@`%`",
                "It has the role `reporting`@`%`, whose rights were not looked at.",
            ),
        ] {
            assert_eq!(beyond_reading(grant).as_deref(), Some(told));
        }
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted_account("o'neill@10.0.%"), "'o''neill'@'10.0.%'");
        assert_eq!(quoted(&pattern("my_db%`")), "`my\\_db\\%```");
    }
}
