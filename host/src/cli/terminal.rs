//! Questions on the terminal that the program was started on, wherever its stdin and stdout go.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use super::exit::{Exit, Failure};

/// Bytes of an answer, at most: a terminal keeps no more of a line.
const MOST: usize = 4_096;

/// The terminal.
#[derive(Debug)]
pub(super) struct Terminal(File);

impl Terminal {
    /// Opens it.
    ///
    /// # Errors
    /// `Usage` where there is none, with what to do instead.
    pub(super) fn open(instead: &str) -> Result<Self, Failure> {
        let opened = File::options().read(true).write(true).open("/dev/tty");
        opened.map(Self).map_err(|_| {
            Failure::new(
                Exit::Usage,
                format_args!("there is no terminal to ask on; {instead}"),
            )
        })
    }

    /// Asks for a line that is not shown while it is typed.
    ///
    /// # Errors
    /// `TryAgain` if the answer is to end the program; `Data` if it is no text; those of the terminal.
    pub(super) fn ask_hidden(&self, question: &str) -> Result<String, Failure> {
        let hidden = Hidden::of(&self.0).map_err(|error| broken(&error))?;
        let line = self.ask(question, Some(hidden.interrupt()));
        drop(hidden);
        // Nor was the end of the line shown.
        self.say("\n")?;
        text(line?)
    }

    /// Asks a question that only `yes` says yes to.
    ///
    /// # Errors
    /// `Data` if the answer is no text; those of the terminal.
    pub(super) fn confirms(&self, question: &str) -> Result<bool, Failure> {
        let line = self.ask(&format!("{question} [yes/no] "), None)?;
        Ok(text(line)?.trim() == "yes")
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        let said = (&self.0).write_all(text.as_bytes());
        said.map_err(|error| broken(&error))
    }

    /// A line without its end. Where `interrupt` ends it, so does the question.
    fn ask(&self, question: &str, interrupt: Option<u8>) -> Result<Vec<u8>, Failure> {
        self.say(question)?;
        let mut line = Vec::new();
        let mut part = [0; MOST];
        loop {
            let read = match (&self.0).read(&mut part) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|error| broken(&error))?,
            };
            line.extend_from_slice(&part[..read]);
            let last = line.pop();
            if last == Some(b'\n') || read == 0 {
                line.extend(last.filter(|last| *last != b'\n'));
                return Ok(line);
            }
            if last.is_some() && last == interrupt {
                return Err(Failure::new(Exit::TryAgain, "nothing was done"));
            }
            line.extend(last);
            if line.len() > MOST {
                return Err(Failure::new(
                    Exit::Data,
                    format_args!("more than {MOST} bytes were typed; nothing was done"),
                ));
            }
        }
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn of(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let hidden = Self { terminal, before };
        let mut modes = hidden.before.clone();
        modes
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL);
        // The signal of Ctrl-C would end the program and leave the terminal like this. It ends the line instead.
        modes.local_modes.remove(LocalModes::ISIG);
        modes.special_codes[SpecialCodeIndex::VEOL] = hidden.interrupt();
        // What was typed before was shown.
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(hidden)
    }

    /// What Ctrl-C sends; 0 = no key does.
    fn interrupt(&self) -> u8 {
        self.before.special_codes[SpecialCodeIndex::VINTR]
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn text(line: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(line)
        .map_err(|_| Failure::new(Exit::Data, "what was typed is not UTF-8; nothing was done"))
}

fn broken(error: &io::Error) -> Failure {
    Failure::io("the terminal", error)
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd;
    use std::ptr::null_mut;
    use std::thread;

    use super::*;

    /// A terminal, and what stands for its keyboard and screen.
    fn pair() -> (File, Terminal) {
        let (mut outside, mut inside) = (-1, -1);
        // SAFETY: both numbers outlive the call; name, modes and size may be null.
        let opened = unsafe {
            libc::openpty(
                &raw mut outside,
                &raw mut inside,
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        assert_eq!(opened, 0, "{}", io::Error::last_os_error());
        // SAFETY: both were opened just now, and nobody else has them.
        let [outside, inside] = [outside, inside].map(|fd| unsafe { File::from_raw_fd(fd) });
        (outside, Terminal(inside))
    }

    /// What comes of a question to which this is typed once it is seen, and all that the screen shows.
    fn asked<T: Send + 'static>(
        typed: &[u8],
        question: &str,
        shown: &str,
        ask: impl FnOnce(&Terminal) -> T + Send + 'static,
    ) -> T {
        let (mut outside, terminal) = pair();
        let asking = thread::spawn(move || {
            let outcome = ask(&terminal);
            let modes = tcgetattr(&terminal.0).unwrap().local_modes;
            let usual = LocalModes::ECHO | LocalModes::ISIG;
            assert!(modes.contains(usual), "{modes:?}");
            (outcome, terminal)
        });
        let mut screen = vec![0; question.len()];
        outside.read_exact(&mut screen).unwrap();
        assert_eq!(String::from_utf8(screen).unwrap(), question);
        outside.write_all(typed).unwrap();
        // What is shown to the end is read while the terminal is open.
        let mut screen = vec![0; shown.len()];
        outside.read_exact(&mut screen).unwrap();
        assert_eq!(String::from_utf8(screen).unwrap(), shown);
        asking.join().unwrap().0
    }

    #[test]
    fn what_is_hidden_is_read_to_its_line_end_and_not_shown() {
        for (typed, answer) in [
            (&b"of twelve letters \n"[..], "of twelve letters "),
            ("größe\n".as_bytes(), "größe"),
            (b"\n", ""),
        ] {
            let outcome = asked(typed, "Password: ", "\r\n", |terminal| {
                terminal.ask_hidden("Password: ")
            });
            assert_eq!(outcome.unwrap(), answer);
        }
    }

    #[test]
    fn an_interrupt_ends_the_question_and_leaves_the_terminal_as_it_was() {
        let outcome = asked(b"of twelve\x03", "Password: ", "\r\n", |terminal| {
            terminal.ask_hidden("Password: ")
        });
        assert_eq!(outcome.unwrap_err().exit, Exit::TryAgain);
    }

    #[test]
    fn only_yes_is_yes() {
        for (typed, shown, is_yes) in [
            (&b"yes\n"[..], "yes\r\n", true),
            (b"y\n", "y\r\n", false),
            (b"no\n", "no\r\n", false),
            (b"\n", "\r\n", false),
        ] {
            let outcome = asked(typed, "erase? [yes/no] ", shown, |terminal| {
                terminal.confirms("erase?")
            });
            assert_eq!(outcome, Ok(is_yes));
        }
    }
}
