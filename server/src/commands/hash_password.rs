//! `causeway hash-password`.

use std::io::IsTerminal;

use causeway::security::Verifier;

/// From a terminal the password is asked for and not shown; else it is the first line of the input.
pub(crate) fn run() -> anyhow::Result<()> {
    let password = if std::io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ")?
    } else {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    anyhow::ensure!(!password.is_empty(), "the password is empty");
    println!("{}", Verifier::of_password(&password).to_stored());
    Ok(())
}
