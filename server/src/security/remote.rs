//! Who may send statements in a source's own language: `system.remote`.

use std::collections::BTreeMap;

use super::UserConfig;

/// The catalogs whose native statements are allowed, by who sends them. Nobody may by default.
#[derive(Debug, Default)]
pub struct RemoteAccess {
    /// By their names in `[users]`; `None` where every name is believed, so that none says anything.
    users: Option<BTreeMap<String, Vec<String>>>,
    /// Whoever it is.
    everybody: Vec<String>,
}

impl RemoteAccess {
    /// Those of `users`, and `everybody`.
    pub fn new(users: &BTreeMap<String, UserConfig>, everybody: &[String]) -> Self {
        let users = users.iter();
        Self {
            users: Some(
                users
                    .map(|(name, user)| (name.clone(), user.remote.clone()))
                    .collect(),
            ),
            everybody: everybody.to_vec(),
        }
    }

    /// Where names are not proven: `everybody` alone counts.
    pub fn of_everybody(everybody: &[String]) -> Self {
        Self {
            users: None,
            everybody: everybody.to_vec(),
        }
    }

    /// The same for other users.
    pub(crate) fn with_users_of(&self, other: Self) -> Self {
        Self {
            users: other.users,
            everybody: self.everybody.clone(),
        }
    }

    /// Whether `user` may send native statements to `catalog`.
    pub fn allows(&self, user: &str, catalog: &str) -> bool {
        let named = self.users.as_ref().and_then(|users| users.get(user));
        let named = named.into_iter().flatten();
        self.everybody
            .iter()
            .chain(named)
            .any(|allowed| allowed == catalog)
    }

    /// The option that would allow `user` more.
    pub(crate) fn option_for(&self, user: &str) -> String {
        match &self.users {
            Some(_) => format!("users.{user}.remote"),
            None => "server.remote".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Verifier;

    fn users(text: &str) -> BTreeMap<String, UserConfig> {
        let verifier = Verifier::of_password("pencil").to_stored();
        toml::from_str(&text.replace("{verifier}", &verifier)).unwrap()
    }

    #[test]
    fn nobody_may_who_is_not_named() {
        let users = users(
            "[ann]\nverifier = \"{verifier}\"\nremote = [\"shop\", \"old\"]\n[bob]\nverifier = \"{verifier}\"\n",
        );
        let access = RemoteAccess::new(&users, &["open".to_owned()]);
        for (user, catalog, allowed) in [
            ("ann", "shop", true),
            ("ann", "old", true),
            ("ann", "open", true),
            ("ann", "Shop", false),
            ("bob", "shop", false),
            ("bob", "open", true),
            ("eve", "shop", false),
            ("eve", "open", true),
        ] {
            assert_eq!(access.allows(user, catalog), allowed, "{user} {catalog}");
        }
        assert!(!RemoteAccess::default().allows("ann", "shop"));
    }

    #[test]
    fn a_name_that_is_not_proven_says_nothing() {
        let access = RemoteAccess::of_everybody(&["open".to_owned()]);
        assert!(access.allows("ann", "open") && !access.allows("ann", "shop"));
        assert_eq!(access.option_for("ann"), "server.remote");
    }
}
