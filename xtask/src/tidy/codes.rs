//! Error codes are a promise to callers' programs: each stands in the page that callers read.

use super::tree::Tree;

/// Where codes are defined, each as `Self::Name => "code"`.
const SOURCES: &[&str] = &["host/types/src/kind.rs", "host/types/src/compile.rs"];

/// Where callers look them up, each as `` `code` ``.
const PAGE: &str = "docs/API.md";

/// Checks every code.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let page = tree.text(PAGE).unwrap_or_default();
    let mut findings = Vec::new();
    for source in SOURCES {
        let text = tree.text(source).unwrap_or_default();
        let codes = codes(&text);
        if codes.is_empty() {
            findings.push(format!(
                "{source}: holds no error codes; tell xtask/src/tidy/codes.rs where they are"
            ));
        }
        let missing = codes
            .into_iter()
            .filter(|code| !page.contains(&format!("`{code}`")));
        findings.extend(
            missing.map(|code| format!("{PAGE}: does not explain the code `{code}` of {source}")),
        );
    }
    findings
}

/// The texts that variants are turned into, in a file of enums.
fn codes(text: &str) -> Vec<&str> {
    // Upload steps are told in progress, not in answers.
    text.lines()
        .filter_map(|line| {
            let (variant, text) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
            let code = text.strip_suffix("\",")?;
            let is_step = ["Admission", "Snapshot", "Compile", "SelfTest"].contains(&variant);
            (!is_step).then_some(code)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::tree;
    use super::*;

    #[test]
    fn a_code_that_the_page_does_not_explain_is_found() {
        let kinds = "match self {\n    Self::NotFound => \"not_found\",\n    Self::Malformed => \"malformed\",\n}\n";
        let refusals = "Self::Compile => \"compile\",\nSelf::NotWasm => \"not_wasm\",\n";
        let (_root, tree) = tree(&[
            (SOURCES[0], kinds),
            (SOURCES[1], refusals),
            (PAGE, "| 404 | `not_found` |\n| 422 | `not_wasm` |\n"),
        ]);
        assert_eq!(
            check(&tree),
            ["docs/API.md: does not explain the code `malformed` of host/types/src/kind.rs"]
        );
    }

    #[test]
    fn a_source_that_has_moved_is_told() {
        let (_root, tree) = tree(&[(PAGE, "")]);
        assert_eq!(check(&tree).len(), SOURCES.len());
    }
}
