//! The plugin interface: released tracks never change, and the SDK carries the same text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::tree::Tree;
use crate::digest;

/// The list of released files, in the form that `sha256sum` writes and checks, relative to `wit/`.
const FROZEN: &str = "wit/FROZEN";

/// The track that the SDK is built on, and the SDK's copy of it.
const TRACK: &str = "wit/v0.1";
const SDK_COPY: &str = "sdk/rust/wit";

/// Checks both.
pub(super) fn check(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = frozen(tree)?;
    findings.extend(copies(tree)?);
    Ok(findings)
}

fn frozen(tree: &Tree) -> Result<Vec<String>> {
    // No list, nothing released yet.
    let Some(list) = tree.text(FROZEN) else {
        return Ok(Vec::new());
    };
    let mut findings = Vec::new();
    let mut listed = Vec::new();
    for (index, line) in list.lines().enumerate() {
        let Some((sha256, file)) = line
            .split_once("  ")
            .filter(|(sha256, _)| sha256.len() == 64)
        else {
            findings.push(format!("{FROZEN}:{}: is no line of `sha256sum`", index + 1));
            continue;
        };
        let file = format!("wit/{file}");
        let path = tree.path(&file);
        if !path.is_file() {
            findings.push(format!("{file}: was released and is gone; put it back"));
        } else if digest::of_file(&path)? != sha256 {
            findings.push(format!(
                "{file}: was released and may not change; plugins in the field were built on it. Put it back and make \
                 the change in a new track"
            ));
        }
        listed.push(file);
    }
    // A new file in a released track changes the track.
    for file in tree
        .files()
        .iter()
        .filter(|file| file.ends_with(".wit") && !listed.contains(file))
    {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        if listed.iter().any(|other| {
            other
                .rsplit_once('/')
                .is_some_and(|(other, _)| other == folder)
        }) {
            findings.push(format!(
                "{file}: is new in a released track; put it into a new track"
            ));
        }
    }
    Ok(findings)
}

fn copies(tree: &Tree) -> Result<Vec<String>> {
    let track = texts(&tree.path(TRACK))?;
    let copy = texts(&tree.path(SDK_COPY))?;
    let names = track.keys().chain(copy.keys());
    let mut findings: Vec<String> = names
        .filter(|name| track.get(*name) != copy.get(*name))
        .map(|name| format!("{SDK_COPY}/{name}: differs from {TRACK}/{name}; copy it over again"))
        .collect();
    findings.sort_unstable();
    findings.dedup();
    Ok(findings)
}

fn texts(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut texts = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(texts);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            let name = path.file_name().context("a folder's entry has a name")?;
            texts.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::tree;
    use super::*;

    fn found(frozen: &str, wit: &str, more: &[(&str, &str)]) -> Vec<String> {
        let mut files = vec![
            (FROZEN, frozen),
            ("wit/v0.1/a.wit", wit),
            ("sdk/rust/wit/a.wit", wit),
        ];
        files.extend(more);
        let (_root, tree) = tree(&files);
        check(&tree).unwrap()
    }

    #[test]
    fn a_released_file_may_not_change() {
        let list = format!("{}  v0.1/a.wit\n", digest::of(b"package a;"));
        assert!(found(&list, "package a;", &[]).is_empty());
        let changed = found(&list, "package b;", &[]);
        assert!(changed[0].contains("may not change"), "{changed:?}");
    }

    #[test]
    fn a_released_track_gains_no_file() {
        let list = format!("{}  v0.1/a.wit\n", digest::of(b"package a;"));
        let more = [
            ("wit/v0.1/b.wit", "x"),
            ("sdk/rust/wit/b.wit", "x"),
            ("wit/v0.2/c.wit", "x"),
        ];
        let findings = found(&list, "package a;", &more);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("wit/v0.1/b.wit: is new"));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_told() {
        assert!(found("nonsense\n", "package a;", &[])[0].contains("sha256sum"));
        assert!(
            found(
                &format!("{}  v0.1/z.wit\n", digest::of(b"")),
                "package a;",
                &[]
            )[0]
            .contains("is gone")
        );
    }

    #[test]
    fn a_copy_that_differs_is_found() {
        let (_root, tree) = tree(&[("wit/v0.1/a.wit", "a"), ("sdk/rust/wit/a.wit", "b")]);
        let findings = check(&tree).unwrap();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("sdk/rust/wit/a.wit: differs"));
    }
}
