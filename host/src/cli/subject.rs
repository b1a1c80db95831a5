//! `subject export|erase`: what was recorded of a person, handed out or deleted.

use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use reqwest::Method;

use super::Context;
use super::exit::{Exit, Failure};
use super::export::Target;
use super::listing::{BY_CURSOR, Query, encode, pages};
use super::output::{self, Format};
use super::terminal::Terminal;

/// Hands out or deletes what was recorded of a person.
#[derive(Debug, Args)]
pub(super) struct Subject {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes all that was recorded of a person, the oldest first: one JSON object on each line.
    Export {
        /// Whom, as predictions named it in X-Subject.
        #[arg(value_name = "SUBJECT", value_parser = person)]
        person: Person,
        #[command(flatten)]
        target: Target,
    },
    /// Deletes all that was recorded of a person, for good, and prints a signed receipt. Keep it: after a backup is restored,
    /// it says who is to be erased again.
    Erase {
        /// Whom, as predictions named it in X-Subject.
        #[arg(value_name = "SUBJECT", value_parser = person)]
        person: Person,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// A person, as its tenant names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Person(String);

impl Person {
    /// Where the server has it.
    fn route(&self) -> String {
        let mut route = "/api/subjects/".to_owned();
        encode(&self.0, &mut route);
        route
    }
}

fn person(text: &str) -> Result<Person, String> {
    foretell_predict::Subject::parse(text).map_err(|error| error.to_string())?;
    if matches!(text, "." | "..") {
        return Err("no path can name `.` and `..`".to_owned());
    }
    Ok(Person(text.to_owned()))
}

impl Subject {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Export { person, target } => export(context, &person, &target),
            Command::Erase { person, yes } => {
                if !yes {
                    ask(context, &person)?;
                }
                erase(context, &person)
            }
        }
    }
}

fn export(context: &Context, person: &Person, target: &Target) -> Result<(), Failure> {
    let client = context.client()?;
    let route = person.route();
    let mut sink = target.open()?;
    let page = async |query: Query| client.tenant(Method::GET, &query.of(&route), None).await;
    context.block_on(pages(BY_CURSOR, "recordings", page, |_, rows| {
        for row in rows {
            if sink.take(format!("{row}\n").as_bytes())?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }))?;
    sink.finish()
}

/// # Errors
/// `Usage` if the answer is not yes, or nobody can be asked.
fn ask(context: &Context, person: &Person) -> Result<(), Failure> {
    let terminal = Terminal::open("say --yes if it is to be erased without a question")?;
    let whose = match &context.globals.tenant {
        Some(tenant) => format!(" for tenant {tenant}"),
        None => String::new(),
    };
    let question = format!(
        "Delete all that was recorded of {}{whose}, for good?",
        person.0
    );
    if terminal.confirms(&question)? {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "nothing was done"))
}

fn erase(context: &Context, person: &Person) -> Result<(), Failure> {
    let client = context.client()?;
    let answer = context.block_on(client.tenant(Method::DELETE, &person.route(), None))?;
    // It is printed as it was signed, whatever form is asked for.
    output::document(&answer.text)?;
    if context.format() == Format::Table {
        let recordings = output::cell(&answer.json, "recordings");
        output::note(format_args!(
            "{recordings} recordings are deleted; keep this receipt, and let backups of before expire"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn parsed(arguments: &[&str]) -> Result<Subject, clap::Error> {
        let command = Subject::augment_args(clap::Command::new("subject").no_binary_name(true));
        Subject::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn whatever_names_a_person_is_one_segment_of_a_path() {
        for (text, route) in [
            ("customer-17", "/api/subjects/customer-17"),
            ("a/b?c=d&e#f", "/api/subjects/a%2Fb%3Fc%3Dd%26e%23f"),
            ("100%", "/api/subjects/100%25"),
            ("-17", "/api/subjects/-17"),
            ("...", "/api/subjects/..."),
        ] {
            match parsed(&["export", "--", text]).unwrap().command {
                Command::Export { person, target } => {
                    assert_eq!(person.route(), route);
                    assert!(target.is_stdout());
                }
                other => panic!("{other:?}"),
            }
        }
        for none in ["", ".", "..", "two words", "größe", &"x".repeat(257)] {
            assert!(parsed(&["export", "--", none]).is_err(), "{none}");
        }
    }

    #[test]
    fn a_person_is_erased_without_a_question_only_where_that_is_said() {
        for (arguments, said) in [
            (&["erase", "customer-17"][..], false),
            (&["erase", "customer-17", "--yes"], true),
            (&["erase", "--yes", "customer-17"], true),
        ] {
            match parsed(arguments).unwrap().command {
                Command::Erase { person, yes } => {
                    assert_eq!((person.0.as_str(), yes), ("customer-17", said));
                }
                other => panic!("{other:?}"),
            }
        }
        // Whoever mistypes an option names nobody by it.
        for wrong in [
            &["erase", "--yess"][..],
            &["erase", "customer-17", "--yess"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
