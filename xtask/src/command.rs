//! Other programs: their output passes through to whoever is watching, and their failure names the command.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};

/// Runs a program to its end with its output passed through.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a program and returns what it wrote to stdout; stderr passes through.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` wrote what is not UTF-8", shown(command)))
}

/// Runs a program to its end, passes its output through and shows each line to `watch`.
///
/// Both outputs go to stderr, in the order in which their lines arrive.
pub(crate) fn watched(command: &mut Command, mut watch: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let (send, lines) = mpsc::channel();
    forward(child.stdout.take(), send.clone());
    forward(child.stderr.take(), send);
    for line in lines {
        let text = String::from_utf8_lossy(&line);
        watch(text.trim_end());
        let _ = std::io::stderr().write_all(&line);
    }
    let status = child.wait().context("cannot wait for a child")?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Whether a program can be started at all, such as a cargo subcommand that not every machine has.
pub(crate) fn is_there(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    let program = command.get_program();
    let name = std::path::Path::new(program).file_name().unwrap_or(program);
    let mut text = name.to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

fn forward(source: Option<impl Read + Send + 'static>, lines: mpsc::Sender<Vec<u8>>) {
    let Some(source) = source else { return };
    thread::spawn(move || {
        let mut source = BufReader::new(source);
        loop {
            let mut line = Vec::new();
            match source.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if lines.send(line).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_without_the_folder_of_the_program() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c exit 3` ended with exit status: 3"
        );
    }

    #[test]
    fn every_line_of_both_outputs_is_seen() {
        let mut seen = Vec::new();
        watched(
            Command::new("sh").args(["-c", "echo one; echo two >&2"]),
            |line| {
                seen.push(line.to_owned());
            },
        )
        .unwrap();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_program_that_is_not_installed_is_not_there() {
        assert!(is_there(&mut Command::new("true")));
        assert!(!is_there(&mut Command::new("foretell-has-no-such-program")));
    }
}
