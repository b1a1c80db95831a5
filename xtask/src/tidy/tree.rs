//! The files that belong to the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// The repository's files: those that git tracks, and new ones that it would add.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    files: Vec<String>,
}

impl Tree {
    /// Asks git.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let args = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let listed = command::output(Command::new("git").current_dir(root).args(args)).context(
            "the house rules are about the repository's files: this must be a git clone",
        )?;
        Ok(Self::of(root, listed.split('\0').map(str::to_owned)))
    }

    /// A tree of the given files; those that are gone (deleted, not yet committed) are left out.
    pub(super) fn of(root: &Path, files: impl IntoIterator<Item = String>) -> Self {
        let mut files: Vec<String> = files
            .into_iter()
            .filter(|file| !file.is_empty() && root.join(file).symlink_metadata().is_ok())
            .collect();
        files.sort_unstable();
        files.dedup();
        Self {
            root: root.to_owned(),
            files,
        }
    }

    /// Where the tree lies.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Every file, relative to the root, sorted.
    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    /// The full path of one.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// Whether `path` is a file of the tree or a folder of one.
    pub(super) fn holds(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self
                .files
                .iter()
                .any(|file| file == path || file.starts_with(&folder))
    }

    /// A file's text; `None` if it is not text.
    pub(super) fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path(file)).ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A tree in a temporary folder, which lives as long as the first value.
    pub(crate) fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let names = files.iter().map(|(file, _)| (*file).to_owned());
        let tree = Tree::of(root.path(), names);
        (root, tree)
    }

    #[test]
    fn a_deleted_file_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::of(root.path(), ["gone.rs".to_owned(), String::new()]);
        assert!(tree.files().is_empty());
    }

    #[test]
    fn folders_of_files_are_held_too() {
        let (_root, tree) = tree(&[("docs/adr/0001.md", "")]);
        assert!(tree.holds("docs/adr"));
        assert!(tree.holds("docs/adr/0001.md"));
        assert!(!tree.holds("docs/ad"));
    }
}
