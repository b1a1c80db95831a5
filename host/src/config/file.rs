//! The configuration file: YAML to one text per key, with lines, and `${VAR}` filled in.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::environment::Environment;

/// One leaf of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Its keys, joined by dots: `server.listen`.
    pub path: String,
    /// Its text, variables filled in.
    pub text: String,
    /// Where it stands, from 1.
    pub line: u64,
}

/// What is wrong with the file itself, or with a leaf of it before its key is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFault {
    /// Where, from 1; 0 = not known.
    pub line: u64,
    /// What.
    pub message: String,
}

/// Reads a file's text. Faults do not hide the leaves that are fine: all problems are shown at once.
pub(super) fn read(text: &str, environment: &Environment) -> (Vec<Leaf>, Vec<FileFault>) {
    let (mut leaves, mut faults) = (Vec::new(), Vec::new());
    match serde_saphyr::from_str::<Option<Spanned<Node>>>(text) {
        Ok(Some(root)) => match root.value {
            Node::Map(_) => flatten("", root, environment, &mut leaves, &mut faults),
            Node::Null => {}
            _ => faults.push(FileFault {
                line: 1,
                message: "the file must be a mapping, such as `server:` with `listen: 127.0.0.1:5000` below it"
                    .to_owned(),
            }),
        },
        // An empty file, or one of comments alone.
        Ok(None) => {}
        Err(error) => faults.push(FileFault {
            line: error.location().map_or(0, |location| location.line()),
            message: format!(
                "not valid YAML: {}",
                error
                    .without_snippet()
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
            ),
        }),
    }
    (leaves, faults)
}

fn flatten(
    path: &str,
    node: Spanned<Node>,
    environment: &Environment,
    leaves: &mut Vec<Leaf>,
    faults: &mut Vec<FileFault>,
) {
    let line = node.referenced.line();
    match node.value {
        Node::Map(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                flatten(&path, value, environment, leaves, faults);
            }
        }
        // `key:` without a value is a key left at its default, as in a file that is being edited.
        Node::Null => {}
        Node::Scalar(text) => leaves.push(Leaf {
            path: path.to_owned(),
            text,
            line,
        }),
        Node::Text(text) => match expand(&text, environment) {
            Ok(text) => leaves.push(Leaf {
                path: path.to_owned(),
                text,
                line,
            }),
            Err(message) => faults.push(FileFault {
                line,
                message: format!("`{path}`: {message}"),
            }),
        },
        Node::List => faults.push(FileFault {
            line,
            message: format!("`{path}` takes one value, not a list"),
        }),
    }
}

/// Fills in `${VAR}`, `${VAR:-default}` and `${VAR:?message}`; `$$` is one `$`. An empty variable counts as not set.
///
/// # Errors
/// A text that names the variable and what to do.
fn expand(text: &str, environment: &Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (inner, after) = after
                .split_once('}')
                .ok_or("`${` is not closed; write `${NAME}`, or `$$` for a plain `$`")?;
            expanded.push_str(&value_of(inner, environment)?);
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value_of(inner: &str, environment: &Environment) -> Result<String, String> {
    let end = inner.find(':').unwrap_or(inner.len());
    let (name, rule) = inner.split_at(end);
    let valid = name
        .bytes()
        .enumerate()
        .all(|(at, b)| b == b'_' || b.is_ascii_alphabetic() || at > 0 && b.is_ascii_digit());
    if name.is_empty() || !valid {
        return Err(format!(
            "`${{{inner}}}` names no variable; write `${{NAME}}`"
        ));
    }
    match (environment.get(name), rule) {
        (Some(value), _) => Ok(value.to_owned()),
        (None, "") => Err(format!(
            "the variable {name} is not set; set it, or write `${{{name}:-default}}`"
        )),
        (None, rule) => match (rule.strip_prefix(":-"), rule.strip_prefix(":?")) {
            (Some(default), _) => Ok(default.to_owned()),
            (_, Some(message)) => Err(format!("the variable {name} is not set: {message}")),
            _ => Err(format!(
                "`${{{inner}}}`: after the name comes `:-default` or `:?message`"
            )),
        },
    }
}

/// YAML as this file needs it.
enum Node {
    Null,
    /// A number or truth, as text.
    Scalar(String),
    /// A text, in which variables are filled in.
    Text(String),
    List,
    Map(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a mapping")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Node::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::from([("HOST", "db"), ("PORT", "5432"), ("EMPTY", "")])
    }

    #[test]
    fn each_leaf_has_its_dotted_name_its_text_and_its_line() {
        let text = "# a comment\nserver:\n  listen: 127.0.0.1:5000\n  max_connections: 12\n\ndatabase:\n  url: \"sqlite:///${HOST}.db\"\n  pool_size:\n";
        let (leaves, faults) = read(text, &environment());
        assert_eq!(faults, []);
        let found: Vec<_> = leaves
            .iter()
            .map(|leaf| (leaf.path.as_str(), leaf.text.as_str(), leaf.line))
            .collect();
        assert_eq!(
            found,
            [
                ("server.listen", "127.0.0.1:5000", 3),
                ("server.max_connections", "12", 4),
                ("database.url", "sqlite:///db.db", 7),
            ]
        );
    }

    #[test]
    fn an_empty_file_is_a_file() {
        for text in ["", "# nothing\n", "server:\n"] {
            assert_eq!(read(text, &environment()), (vec![], vec![]), "{text:?}");
        }
    }

    #[test]
    fn a_faulty_file_says_where() {
        for (text, line, message) in [
            ("a: 1\n  b: 2\n", 2, "not valid YAML"),
            ("- a\n", 1, "must be a mapping"),
            (
                "server:\n  listen: [1, 2]\n",
                2,
                "`server.listen` takes one value, not a list",
            ),
            ("a: 1\na: 2\n", 2, "not valid YAML"),
            (
                "a:\n  b: ${NOPE}\n",
                2,
                "`a.b`: the variable NOPE is not set",
            ),
        ] {
            let (_, faults) = read(text, &environment());
            let fault = faults
                .first()
                .unwrap_or_else(|| panic!("no fault in {text:?}"));
            assert!(fault.message.contains(message), "{text:?}: {fault:?}");
            assert_eq!(fault.line, line, "{text:?}: {fault:?}");
        }
    }

    #[test]
    fn variables_are_filled_in_as_in_a_shell() {
        let good = [
            ("${HOST}:${PORT}", "db:5432"),
            ("${NOPE:-a:b}", "a:b"),
            ("${EMPTY:-x}", "x"),
            ("${HOST:-x}", "db"),
            ("${HOST:?needed}", "db"),
            ("${NOPE:-}", ""),
            ("$$${HOST}", "$db"),
            ("cost $5", "cost $5"),
            ("$", "$"),
        ];
        for (text, expanded) in good {
            assert_eq!(
                expand(text, &environment()).as_deref(),
                Ok(expanded),
                "{text}"
            );
        }
        let bad = [
            ("${NOPE}", "NOPE is not set"),
            ("${EMPTY}", "EMPTY is not set"),
            (
                "${NOPE:?ask the operator}",
                "NOPE is not set: ask the operator",
            ),
            ("${HOST", "not closed"),
            ("${}", "names no variable"),
            ("${1A}", "names no variable"),
            ("${NOPE:=x}", "`:-default` or `:?message`"),
        ];
        for (text, message) in bad {
            let error = expand(text, &environment()).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
