//! Passwords and tokens: typed on the terminal, where nobody sees them, or read from stdin. Never an argument, which every user
//! of the machine can see and shells write down.

use std::io::{self, BufRead, Read};

use clap::Args;

use super::exit::{Exit, Failure};
use super::terminal::Terminal;

/// Bytes of a line of stdin, at most: more than any secret has.
const MOST: u64 = 4_096;
const INSTEAD: &str = "give the password on stdin, with --password-stdin";

/// Where secrets come from.
#[derive(Debug, Args)]
// Each command that has these has more.
#[group(skip)]
pub(super) struct Secrets {
    /// Read the password from a line of stdin instead of asking for it on the terminal.
    #[arg(long)]
    password_stdin: bool,
}

impl Secrets {
    /// A password to set.
    ///
    /// # Errors
    /// `Usage` if nobody can be asked; `Data` for none, or two that are not the same.
    pub(super) fn new_password(&self) -> Result<String, Failure> {
        if self.password_stdin {
            return line(&mut io::stdin().lock(), "password");
        }
        typed_twice(&Terminal::open(INSTEAD)?)
    }

    /// What the server showed at its start, and then a password to set; on stdin, each in a line of its own.
    ///
    /// # Errors
    /// As [`Secrets::new_password`].
    pub(super) fn token_and_password(&self) -> Result<(String, String), Failure> {
        if self.password_stdin {
            let mut stdin = io::stdin().lock();
            let token = line(&mut stdin, "setup token")?;
            return Ok((token, line(&mut stdin, "password")?));
        }
        let terminal = Terminal::open(INSTEAD)?;
        let token = terminal.ask_hidden("Setup token (not shown): ")?;
        Ok((token.trim().to_owned(), typed_twice(&terminal)?))
    }
}

/// Nobody saw what was typed, and so it is typed again.
fn typed_twice(terminal: &Terminal) -> Result<String, Failure> {
    let password = terminal.ask_hidden("Password (not shown): ")?;
    let again = terminal.ask_hidden("Password again: ")?;
    if password == again {
        return Ok(password);
    }
    Err(Failure::new(
        Exit::Data,
        "the two passwords are not the same; nothing was done",
    ))
}

/// A line without its end.
fn line(reader: &mut impl BufRead, what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = reader.take(MOST).read_line(&mut text);
    let bytes = read.map_err(|error| Failure::io("stdin", &error))?;
    let is_whole = text.ends_with('\n');
    if is_whole {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    } else if bytes as u64 == MOST {
        return Err(Failure::new(
            Exit::Data,
            format_args!("the {what} on stdin has more than {MOST} bytes"),
        ));
    }
    if text.is_empty() {
        return Err(Failure::new(
            Exit::Data,
            format_args!("there is no {what} on stdin"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_line_of_stdin_as_it_stands_there() {
        for (stdin, secret) in [
            ("of twelve letters\n", "of twelve letters"),
            ("of twelve letters", "of twelve letters"),
            ("of twelve letters\r\nmore", "of twelve letters"),
            (" with blanks \n", " with blanks "),
        ] {
            assert_eq!(line(&mut stdin.as_bytes(), "password").unwrap(), secret);
        }
        let mut two = "ftl_setup_1\nof twelve letters\n".as_bytes();
        assert_eq!(line(&mut two, "setup token").unwrap(), "ftl_setup_1");
        assert_eq!(line(&mut two, "password").unwrap(), "of twelve letters");
        assert!(line(&mut two, "password").is_err());
    }

    #[test]
    fn no_secret_is_empty_and_none_is_cut() {
        let long = "x".repeat(MOST as usize);
        for stdin in ["", "\n", "\r\n", &long, &format!("{long}\n")] {
            let failure = line(&mut stdin.as_bytes(), "password").unwrap_err();
            assert_eq!(failure.exit, Exit::Data, "{}", stdin.len());
        }
        let fits = "x".repeat(MOST as usize - 1);
        assert_eq!(line(&mut fits.as_bytes(), "password").unwrap(), fits);
    }
}
