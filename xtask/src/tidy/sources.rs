//! Rules that a line of source can break.

use super::tree::Tree;

/// A rule about lines of source.
struct Rule {
    /// Whether the rule is about this file.
    applies: fn(&str) -> bool,
    /// Any of these on a line breaks it.
    patterns: &'static [&'static str],
    /// Whether the patterns must stand alone, as words.
    words: bool,
    /// Whether it also holds in comments.
    comments: bool,
    /// Whether it also holds below `#[cfg(test)]`.
    tests: bool,
    /// What is wrong and what to do.
    message: &'static str,
}

/// The patterns are in two halves where this file would break its own rule.
const RULES: &[Rule] = &[
    Rule {
        applies: is_code,
        patterns: &[
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("XX", "X"),
        ],
        words: true,
        comments: true,
        tests: true,
        message: "unfinished; finish it, or take it out and open an issue",
    },
    Rule {
        applies: is_rust,
        patterns: &[concat!("to", "do!("), concat!("unimple", "mented!(")],
        words: false,
        comments: false,
        tests: true,
        message: "unfinished code may not be committed; finish it or take it out",
    },
    Rule {
        applies: is_rust,
        patterns: &[concat!("#[ig", "nore"), concat!("```ig", "nore")],
        words: false,
        comments: true,
        tests: true,
        message: "a test that does not run proves nothing; mend it, or assert the defect as it is today with a note",
    },
    Rule {
        applies: |file| {
            // The exception prepares a toolchain for a child: where cargo, rustc and their folders are is told by the
            // environment alone.
            in_host(file)
                && !file.starts_with("host/src/config/")
                && !file.starts_with("host/src/plugin/")
        },
        patterns: &["env::var(", "env::vars(", "env::var_os(", "env::vars_os("],
        words: false,
        comments: false,
        tests: false,
        message: "only host/src/config reads the environment; take the value as an argument",
    },
    Rule {
        applies: |file| {
            file.starts_with("host/types/src/")
                && file != "host/types/src/signature.rs"
                && !file.starts_with("host/types/src/signature/")
        },
        patterns: &["serde::", "serde_json::", "Serialize", "Deserialize"],
        words: false,
        comments: false,
        tests: false,
        message: "in foretell-types only Signature has a serialized form; give the wire or the store a type of its own",
    },
    Rule {
        applies: |file| {
            // The rooms that hold one; the engine is one itself.
            let holds_one = ["host/src/", "host/http/", "host/predict/"]
                .iter()
                .any(|room| file.starts_with(room));
            holds_one && in_host(file) && file != "host/predict/src/stage/run.rs"
        },
        patterns: &["runner.run(", "runner().run(", "Runner::run("],
        words: false,
        comments: false,
        tests: false,
        message: "only the run stage calls the Runner; everything else goes through the corridor",
    },
];

/// Checks every source file.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.files() {
        let rules: Vec<&Rule> = RULES.iter().filter(|rule| (rule.applies)(file)).collect();
        if rules.is_empty() {
            continue;
        }
        if let Some(text) = tree.text(file) {
            findings.extend(
                rules
                    .into_iter()
                    .flat_map(|rule| rule.broken_in(file, &text)),
            );
        }
    }
    findings
}

impl Rule {
    fn broken_in(&self, file: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let code = line.trim_start();
            // Tests stand last in a file.
            if !self.tests && code.starts_with("#[cfg(test)]") {
                break;
            }
            if !self.comments && code.starts_with("//") {
                continue;
            }
            if let Some(pattern) = self
                .patterns
                .iter()
                .find(|pattern| self.found(code, pattern))
            {
                findings.push(format!(
                    "{file}:{}: `{pattern}`: {}",
                    index + 1,
                    self.message
                ));
            }
        }
        findings
    }

    fn found(&self, line: &str, pattern: &str) -> bool {
        line.match_indices(pattern).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + pattern.len()..].chars().next();
            let alone = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !self.words || alone(before) && alone(after)
        })
    }
}

fn is_rust(file: &str) -> bool {
    file.ends_with(".rs")
}

fn is_code(file: &str) -> bool {
    [".rs", ".wit", ".sh", ".py", ".toml", ".yaml", ".sql"]
        .iter()
        .any(|end| file.ends_with(end))
        || file.starts_with(".ci/")
}

fn in_host(file: &str) -> bool {
    is_rust(file) && file.starts_with("host/") && file.contains("/src/")
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::tree;
    use super::*;

    fn places(files: &[(&str, &str)]) -> Vec<String> {
        let (_root, tree) = tree(files);
        check(&tree)
            .iter()
            .map(|finding| finding.split(": ").next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_comments() {
        let note = concat!("// TO", "DO: later\n");
        let hole = concat!("fn a() { to", "do!() }\n");
        assert_eq!(
            places(&[("host/src/a.rs", note), ("wit/v0.1/a.wit", note)]).len(),
            2
        );
        assert_eq!(places(&[("tests/it/a.rs", hole)]), ["tests/it/a.rs:1"]);
        assert!(places(&[("docs/a.md", note)]).is_empty());
        assert!(places(&[("host/src/a.rs", concat!("const MAX_TO", "DOS: u8 = 1;\n"))]).is_empty());
    }

    #[test]
    fn tests_that_do_not_run_are_found() {
        let test = concat!("#[test]\n#[ig", "nore = \"slow\"]\nfn a() {}\n");
        assert_eq!(
            places(&[("host/store/src/a.rs", test)]),
            ["host/store/src/a.rs:2"]
        );
        let example = concat!("/// ```ig", "nore\n");
        assert_eq!(
            places(&[("sdk/rust/src/lib.rs", example)]),
            ["sdk/rust/src/lib.rs:1"]
        );
    }

    #[test]
    fn the_environment_is_read_by_config_alone() {
        let read = "fn a() { std::env::var(\"A\"); }\n";
        assert_eq!(
            places(&[("host/engine/src/a.rs", read)]),
            ["host/engine/src/a.rs:1"]
        );
        assert_eq!(
            places(&[("host/src/cli/a.rs", read)]),
            ["host/src/cli/a.rs:1"]
        );
        assert!(places(&[("host/src/config/environment.rs", read)]).is_empty());
        assert!(places(&[("xtask/src/a.rs", read)]).is_empty());
    }

    #[test]
    fn serde_in_the_types_is_found_outside_the_signature() {
        let derive = "#[derive(serde::Serialize)]\nstruct A;\n";
        assert_eq!(
            places(&[("host/types/src/tensor.rs", derive)]),
            ["host/types/src/tensor.rs:1"]
        );
        assert!(places(&[("host/types/src/signature/json.rs", derive)]).is_empty());
    }

    #[test]
    fn only_the_run_stage_calls_the_runner() {
        let call = "    let outcome = self.runner.run(call).await;\n";
        assert_eq!(
            places(&[("host/http/src/routes/a.rs", call)]),
            ["host/http/src/routes/a.rs:1"]
        );
        assert!(places(&[("host/predict/src/stage/run.rs", call)]).is_empty());
    }

    #[test]
    fn tests_and_comments_may_do_what_code_may_not() {
        let text = "// std::env::var(\"A\")\nfn a() {}\n#[cfg(test)]\nmod tests { fn b() { std::env::var(\"A\"); } }\n";
        assert!(places(&[("host/src/a.rs", text)]).is_empty());
    }
}
