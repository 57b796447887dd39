//! Who may connect, and how the wire is protected: the first question of every front end.

mod remote;
mod tls;
mod users;

pub use remote::RemoteAccess;
pub use tls::{Tls, TlsConfig};
pub use users::{Authentication, UserConfig, Users, Verifier};
