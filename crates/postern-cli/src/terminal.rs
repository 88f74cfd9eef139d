//! Reading a password from the person at the terminal, without showing it.

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};

/// Puts the terminal back as it was, whatever happens in between.
struct Restore<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks twice for a new password.
///
/// # Errors
/// When there is no terminal, or the two differ.
pub(crate) fn new_password(user: &str) -> anyhow::Result<String> {
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .context("no terminal to ask for a password; set POSTERN_PASSWORD or give --verifier")?;
    let first = ask(&terminal, &format!("Password for {user}: "))?;
    let second = ask(&terminal, "Once more: ")?;
    if first != second {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(first)
}

fn ask(mut terminal: &File, question: &str) -> anyhow::Result<String> {
    let before = tcgetattr(terminal).context("the terminal can't be set not to show what is typed")?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let restore = Restore { terminal, before };
    tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
    write!(terminal, "{question}")?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    drop(restore);
    writeln!(terminal)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
