//! The models on disk: each manifest is complete, and its artifact is the one that it names.

use anyhow::Result;

use super::tree::Tree;
use crate::{digest, models};

/// Checks every model under `models/`.
pub(super) fn check(tree: &Tree) -> Result<Vec<String>> {
    let models = match models::all(tree.root()) {
        Ok(models) => models,
        Err(error) => return Ok(vec![format!("models: {error:#}")]),
    };
    let mut findings = Vec::new();
    for model in models {
        let place = format!("models/{}/{}", model.name, model.version);
        if !tree.holds(&format!("{place}/CARD.md")) {
            findings.push(format!("{place}: has no CARD.md; say what it was trained on, under which licence, and its limits"));
        }
        let Some(artifact) = model.artifact else {
            continue;
        };
        if !artifact.file.is_file() {
            findings.push(format!(
                "{place}/model.toml: names the artifact {}, which is not there",
                artifact.file.display()
            ));
            continue;
        }
        let found = digest::of_file(&artifact.file)?;
        if found != artifact.sha256 {
            findings.push(format!(
                "{place}/model.toml: says the artifact's sha256 is {}, it is {found}; train again or mend the manifest",
                artifact.sha256
            ));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;
    use crate::models::tests::{MANIFEST, write};

    fn found(sha256: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let manifest = format!("{MANIFEST}[artifact]\nfile = 'weights'\nsha256 = '{sha256}'\n");
        let folder = write(root.path(), "iris", "1", &manifest);
        std::fs::write(folder.join("weights"), "w").unwrap();
        std::fs::write(folder.join("CARD.md"), "card").unwrap();
        let tree = Tree::of(root.path(), ["models/iris/1/CARD.md".to_owned()]);
        check(&tree).unwrap()
    }

    #[test]
    fn an_artifact_must_be_the_one_that_is_named() {
        assert!(found(&digest::of(b"w")).is_empty());
        let findings = found(&digest::of(b"other"));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("models/iris/1/model.toml: says the artifact's sha256"));
    }
}
