//! `cargo xtask tidy`: the house rules as code. Each finding says where, what, and what to do about it.
//!
//! A rule that a reviewer has to remember is not a rule; a remark made twice becomes a function here.

mod codes;
mod crates;
mod files;
mod links;
mod models;
mod sources;
mod tree;
mod wit;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use tree::Tree;

/// Checks every rule and prints what it finds.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(&workspace.root)?;
    let mut findings = crates::check(&workspace.packages);
    findings.extend(files::check(&tree));
    findings.extend(sources::check(&tree));
    findings.extend(wit::check(&tree)?);
    findings.extend(models::check(&tree)?);
    findings.extend(links::check(&tree));
    findings.extend(codes::check(&tree));
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => {
            eprintln!("{} files keep the house rules", tree.files().len());
            Ok(())
        }
        1 => bail!("1 house rule is broken, see above"),
        many => bail!("{many} house rules are broken, see above"),
    }
}
