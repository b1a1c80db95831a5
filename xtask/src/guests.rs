//! The first-party plugins, built for the sandbox by `foretell plugin build`, as an author would.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::server::own_environment;
use crate::workspace::{Profile, Workspace};

/// Builds all of them and prints where each component lies.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let binary = workspace.build_server(Profile::Dev)?;
    for component in build(workspace, &binary)? {
        println!("{}", component.display());
    }
    Ok(())
}

/// Builds every plugin under `plugins/` and returns the components, sorted by the plugin's name.
pub(crate) fn build(workspace: &Workspace, binary: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<&str> = workspace
        .packages
        .iter()
        // Beside the plugins stands the library that they share.
        .filter(|package| package.builds_cdylib && package.folder.starts_with("plugins/"))
        .map(|package| package.folder.as_str())
        .collect();
    folders.sort_unstable();
    folders
        .into_iter()
        .map(|folder| build_one(binary, &workspace.root.join(folder)))
        .collect()
}

fn build_one(binary: &Path, folder: &Path) -> Result<PathBuf> {
    let mut build = Command::new(binary);
    build.args(["plugin", "build"]).arg(folder);
    own_environment(&mut build);
    let printed = command::output(&mut build)?;
    let component = printed
        .lines()
        .last()
        .map(|line| PathBuf::from(line.trim()))
        .context("`foretell plugin build` did not say where the component is")?;
    if !component.is_file() {
        bail!(
            "`foretell plugin build` names {}, which is no file",
            component.display()
        );
    }
    Ok(component)
}
