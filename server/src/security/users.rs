//! Users and their stored verifiers. The server never holds a password: only what SCRAM-SHA-256 checks one with.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_spi::Secret;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, gen_salted_password};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of a verifier's salt, as in PostgreSQL.
const SALT_BYTES: usize = 16;
/// Bytes of a SHA-256 key.
const KEY_BYTES: usize = 32;
/// Fewest iterations that RFC 7677 allows.
const ITERATIONS_MIN: usize = 4096;
/// Most iterations: clients compute them all at each login.
const ITERATIONS_MAX: usize = 10_000_000;

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// By SCRAM-SHA-256 against the verifiers in `[users]`.
    #[default]
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// Not at all: every name is believed. On loopback only.
    Trust,
}

/// A user of `[users]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// What `causeway hash-password` printed.
    pub verifier: VerifierSource,
    /// The catalogs to whose sources this user may send statements in their own SQL, by `system.remote`; beside those of
    /// `server.remote`. With `authentication = "trust"`, where nobody has proven a name, these do not count.
    #[serde(default)]
    pub remote: Vec<String>,
}

/// Where a verifier stands.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum VerifierSource {
    /// In a variable or a file.
    Elsewhere(Secret),
    /// In the configuration itself.
    Here(VerifierText),
}

/// A verifier's text, which does not show itself: it allows guessing at the password.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VerifierText(String);

impl fmt::Debug for VerifierText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl VerifierSource {
    fn expose(&self) -> &str {
        match self {
            Self::Elsewhere(secret) => secret.expose(),
            Self::Here(text) => &text.0,
        }
    }
}

/// What a password is checked with: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, PostgreSQL's own form.
#[derive(Clone)]
pub struct Verifier {
    iterations: usize,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier([redacted])")
    }
}

impl Verifier {
    /// Makes the verifier of `password` with a fresh salt.
    pub fn of_password(password: &str) -> Self {
        let salt: [u8; SALT_BYTES] = rand::random();
        let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        match ScramSecret::verifier_from_salted_password(salt.to_vec(), salted, SCRAM_ITERATIONS) {
            ScramSecret::Verifier {
                salt,
                iterations,
                stored_key,
                server_key,
            } => Self {
                iterations,
                salt,
                stored_key,
                server_key,
            },
            ScramSecret::SaltedPassword { .. } => Self::of_nobody("", &[]),
        }
    }

    /// Reads the stored form; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let verifier = Self {
            iterations: iterations.parse().ok()?,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: STANDARD.decode(stored_key).ok()?,
            server_key: STANDARD.decode(server_key).ok()?,
        };
        let whole = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&verifier.iterations)
            && !verifier.salt.is_empty()
            && verifier.stored_key.len() == KEY_BYTES
            && verifier.server_key.len() == KEY_BYTES;
        whole.then_some(verifier)
    }

    /// The stored form.
    pub fn to_stored(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(&self.stored_key),
            STANDARD.encode(&self.server_key)
        )
    }

    /// For pgwire's exchange.
    pub fn secret(&self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt.clone(),
            iterations: self.iterations,
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
        }
    }

    /// A verifier that no password meets, with the same salt each time `name` is tried.
    fn of_nobody(name: &str, seed: &[u8]) -> Self {
        let once = NonZeroUsize::MIN.get();
        let mut salt = gen_salted_password(name, seed, once);
        salt.truncate(SALT_BYTES);
        Self {
            iterations: SCRAM_ITERATIONS,
            salt,
            stored_key: rand::random::<[u8; KEY_BYTES]>().to_vec(),
            server_key: rand::random::<[u8; KEY_BYTES]>().to_vec(),
        }
    }
}

/// The users of the server.
#[derive(Debug)]
pub struct Users {
    verifiers: BTreeMap<String, Verifier>,
    /// Makes the salts of users that do not exist; secret, so that they cannot be told from real ones.
    seed: [u8; KEY_BYTES],
}

impl Users {
    /// Checks `[users]`. Errors: every verifier that is none, by its key's path.
    pub fn new(users: &BTreeMap<String, UserConfig>) -> Result<Self, Vec<String>> {
        let mut verifiers = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, user) in users {
            match Verifier::parse(user.verifier.expose()) {
                Some(verifier) => {
                    verifiers.insert(name.clone(), verifier);
                }
                None => problems.push(format!(
                    "users.{name}.verifier: is not a SCRAM-SHA-256 verifier; causeway hash-password prints one"
                )),
            }
        }
        if problems.is_empty() {
            Ok(Self {
                verifiers,
                seed: rand::random(),
            })
        } else {
            Err(problems)
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.verifiers.is_empty()
    }

    /// What `name` is checked with. A user who does not exist has a verifier as well, which no password meets: the
    /// exchange fails at its end, as with a wrong password.
    pub fn verifier(&self, name: &str) -> Verifier {
        self.verifiers
            .get(name)
            .cloned()
            .unwrap_or_else(|| Verifier::of_nobody(name, &self.seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_survives_its_stored_form() {
        let verifier = Verifier::of_password("s3cret");
        let stored = verifier.to_stored();
        assert!(stored.starts_with("SCRAM-SHA-256$4096:"), "{stored}");
        let read = Verifier::parse(&stored).unwrap();
        assert_eq!(read.to_stored(), stored);
        assert_ne!(
            Verifier::of_password("s3cret").to_stored(),
            stored,
            "the salt is fresh"
        );
        assert_eq!(format!("{verifier:?}"), "Verifier([redacted])");
    }

    #[test]
    fn the_verifier_of_postgres_is_read() {
        // Salt and keys of RFC 7677's example, user "user", password "pencil".
        let stored = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                      wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert_eq!(Verifier::parse(stored).unwrap().to_stored(), stored);
        for wrong in [
            "",
            "pencil",
            "md5c4ca4238a0b923820dcc509a6f75849b",
            &stored.replace("4096", "1"),
            &stored[..stored.len() - 8],
        ] {
            assert!(Verifier::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn unknown_users_have_a_salt_that_stays() {
        let users = Users::new(&BTreeMap::new()).unwrap();
        assert_eq!(users.verifier("eve").salt, users.verifier("eve").salt);
        assert_ne!(users.verifier("eve").salt, users.verifier("mallory").salt);
        assert_eq!(users.verifier("eve").salt.len(), SALT_BYTES);
    }
}
