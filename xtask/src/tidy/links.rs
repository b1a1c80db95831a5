//! Links in documents: what they name inside the repository is there, heading included.

use super::tree::Tree;

/// Checks every Markdown file.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| file.ends_with(".md")) {
        let Some(text) = tree.text(file) else {
            continue;
        };
        for (line, target) in links(&text) {
            if let Some(problem) = problem(tree, file, &target) {
                findings.push(format!("{file}:{line}: the link `{target}` {problem}"));
            }
        }
    }
    findings
}

fn problem(tree: &Tree, file: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let named = if path.is_empty() {
        file.to_owned()
    } else {
        let Some(named) = resolve(file, path) else {
            return Some("leads out of the repository");
        };
        named
    };
    if !tree.holds(&named) {
        return Some("names no file of the repository");
    }
    if anchor.is_empty() || !named.ends_with(".md") {
        return None;
    }
    let headings = tree
        .text(&named)
        .map(|text| anchors(&text))
        .unwrap_or_default();
    (!headings.iter().any(|heading| heading == anchor))
        .then_some("names no heading of its document")
}

/// The path that `link` in `file` means, from the root.
fn resolve(file: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The targets of inline links, each with its line; code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            if let Some(end) = rest.find(')') {
                let target = rest[..end].split_whitespace().next().unwrap_or_default();
                found.push((line, target.trim_matches(['<', '>']).to_owned()));
            }
        }
    }
    found
}

/// The anchors of a document's headings, as forges make them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else {
            continue;
        };
        let anchor: String = heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let same = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if same == 0 {
            anchor
        } else {
            format!("{anchor}-{same}")
        });
    }
    anchors
}

/// The lines outside code blocks, numbered from one, with code spans taken out.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside: Vec<&str> = line.split('`').step_by(2).collect();
            lines.push((index + 1, outside.join("``")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::tree;
    use super::*;

    #[test]
    fn links_into_the_repository_must_hold() {
        let (_root, tree) = tree(&[
            (
                "README.md",
                "[a](docs/API.md) [b](docs/API.md#two-words) [c](#top) [d](https://x.y/z)\n# Top\n",
            ),
            (
                "docs/API.md",
                "# API\n## Two words\n[up](../README.md) [gone](GONE.md) [out](../../x)\n[no](#missing)\n",
            ),
        ]);
        let found = check(&tree);
        assert_eq!(
            found,
            [
                "docs/API.md:3: the link `GONE.md` names no file of the repository",
                "docs/API.md:3: the link `../../x` leads out of the repository",
                "docs/API.md:4: the link `#missing` names no heading of its document",
            ]
        );
    }

    #[test]
    fn code_is_not_read_for_links() {
        let (_root, tree) = tree(&[("a.md", "```\n[x](gone)\n```\nsee `[y](gone)` there\n")]);
        assert!(check(&tree).is_empty());
    }

    #[test]
    fn anchors_are_made_as_forges_make_them() {
        assert_eq!(
            anchors("# The `tidy` rules, all\n## The same\n## The same\n```\n# not one\n```\n"),
            ["the-tidy-rules-all", "the-same", "the-same-1"]
        );
    }
}
