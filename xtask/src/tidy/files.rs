//! What lies in the repository: its top level, sizes, lengths, and no path of anyone's machine.

use super::tree::Tree;

/// What stands at the top, beside dot files. A newcomer reads this list first, so it stays short.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "examples",
    "host",
    "models",
    "plugins",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "sdk",
    "tests",
    "wit",
    "xtask",
];

/// A clone stays quick, and what is large is built or fetched.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// Longer than this, a file tells two stories.
const MAX_LINES: usize = 600;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[(
    "sdk/rust/src/bindings/generated.rs",
    "written by wit-bindgen from the WIT",
)];

/// Folders of people and machines, as they begin an absolute path. In two halves, so that this file passes its own rule.
const MACHINE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Checks every file.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut findings = top(tree);
    for file in tree.files() {
        findings.extend(size(tree, file));
        if file == "Cargo.lock" {
            continue;
        }
        if let Some(text) = tree.text(file) {
            findings.extend(machine_paths(file, &text));
            findings.extend(length(file, &text));
        }
    }
    findings
}

fn top(tree: &Tree) -> Vec<String> {
    let mut entries: Vec<&str> = tree
        .files()
        .iter()
        .filter_map(|file| file.split('/').next())
        .filter(|entry| !entry.starts_with('.'))
        .collect();
    entries.dedup();
    let surplus = entries
        .iter()
        .filter(|entry| !TOP.contains(entry))
        .map(|entry| format!("{entry}: does not belong at the top level; put it into the folder of what it serves"));
    let missing = TOP
        .iter()
        .filter(|entry| !entries.contains(entry))
        .map(|entry| format!("{entry}: is missing at the top level"));
    surplus.chain(missing).collect()
}

fn size(tree: &Tree, file: &str) -> Option<String> {
    let bytes = tree.path(file).symlink_metadata().ok()?.len();
    (bytes > MAX_BYTES).then(|| {
        format!(
            "{file}: {} KiB; a file of the repository has at most {} KiB: build it, shrink it or leave it out",
            bytes / 1024,
            MAX_BYTES / 1024
        )
    })
}

fn machine_paths(file: &str, text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| MACHINE.iter().any(|path| begins_a_path(line, path)))
        .map(|(index, _)| {
            format!(
                "{file}:{}: names a folder of somebody's machine; make it relative or a setting",
                index + 1
            )
        })
        .collect()
}

/// Whether `path` stands in `line` as the beginning of an absolute path, not inside a longer one or an address.
fn begins_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | '*' | '~'))
    })
}

fn length(file: &str, text: &str) -> Option<String> {
    // Elsewhere a long file may well be one story: a table of tests, a family of models.
    let ours = file.starts_with("host/") && file.contains("/src/")
        || file.starts_with("sdk/")
        || file.starts_with("xtask/");
    let lines = text.lines().count();
    let long = ours
        && file.ends_with(".rs")
        && lines > MAX_LINES
        && !LONG.iter().any(|(name, _)| *name == file);
    long.then(|| {
        format!("{file}: {lines} lines; more than {MAX_LINES} are two stories: make two files of it, or add it with a reason to xtask/src/tidy/files.rs")
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::tree;
    use super::*;

    #[test]
    fn what_is_new_or_missing_at_the_top_is_found() {
        let (_root, tree) = tree(&[
            ("scripts/x.sh", ""),
            ("host/src/lib.rs", ""),
            (".cargo/config.toml", ""),
        ]);
        let found = top(&tree);
        assert!(found[0].starts_with("scripts: does not belong"));
        assert!(found.contains(&"LICENSE: is missing at the top level".to_owned()));
        assert!(
            !found
                .iter()
                .any(|finding| finding.starts_with("host") || finding.starts_with('.'))
        );
    }

    #[test]
    fn a_large_file_is_found() {
        let large = "x".repeat(3 * 1024 * 1024);
        let (_root, tree) = tree(&[
            ("models/a/1/artifact", &large),
            ("models/b/1/artifact", "x"),
        ]);
        let found: Vec<_> = tree
            .files()
            .iter()
            .filter_map(|file| size(&tree, file))
            .collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("models/a/1/artifact: 3072 KiB"));
    }

    #[test]
    fn a_path_of_a_machine_is_found_and_an_address_is_not() {
        let somebody = concat!("/ho", "me/ada/x");
        let root = concat!("(/ro", "ot/.cargo)");
        let found = machine_paths(
            "a.md",
            &format!("fine\nsee {somebody}\n{root}\nhttps://example.org{somebody}\n"),
        );
        let places: Vec<_> = found
            .iter()
            .filter_map(|finding| finding.split(": ").next())
            .collect();
        assert_eq!(places, ["a.md:2", "a.md:3"]);
    }

    #[test]
    fn a_file_of_two_stories_is_found_where_code_of_ours_lies() {
        let text = "line\n".repeat(MAX_LINES + 1);
        assert!(length("host/src/lib.rs", &text).is_some());
        assert!(length("plugins/forest/src/lib.rs", &text).is_none());
        assert!(length("host/predict/tests/corridor.rs", &text).is_none());
        assert!(length("host/src/lib.rs", "one\n").is_none());
    }
}
