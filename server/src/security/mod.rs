//! Who may connect, and how the wire is protected: the first question of every front end.

mod tls;
mod users;

pub use tls::{Tls, TlsConfig};
pub use users::{Authentication, UserConfig, Users, Verifier};
