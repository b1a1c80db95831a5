//! What cargo knows of this workspace, and how its server is built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command;

/// The workspace as `cargo metadata` describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The members, as declared (nothing resolved, no network).
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, relative to the root, with `/` between parts.
    pub(crate) folder: String,
    /// Whether it builds a `cdylib`, as a plugin does.
    pub(crate) builds_cdylib: bool,
    /// What it depends on, by its own declaration.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a `[dependencies]` table.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// In which table it stands.
    pub(crate) kind: Kind,
}

/// The table that a dependency is declared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[dependencies]`
    Normal,
    /// `[dev-dependencies]`
    Dev,
    /// `[build-dependencies]`
    Build,
}

/// How the server is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Our code unoptimised, dependencies optimised: what the tests build.
    Dev,
    /// What users run.
    Release,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let text = command::output(command::cargo().args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
        ]))?;
        let metadata: Value =
            serde_json::from_str(&text).context("cargo metadata printed what is not JSON")?;
        let root = PathBuf::from(text_at(&metadata, "workspace_root")?);
        let packages = metadata["packages"]
            .as_array()
            .context("cargo metadata lists no packages")?
            .iter()
            .map(|package| Package::read(package, &root))
            .collect::<Result<_>>()?;
        Ok(Self {
            target: PathBuf::from(text_at(&metadata, "target_directory")?),
            root,
            packages,
        })
    }

    /// Builds the server and returns its path.
    pub(crate) fn build_server(&self, profile: Profile) -> Result<PathBuf> {
        let mut build = self.cargo(["build", "--package", "foretell", "--bin", "foretell"]);
        if profile == Profile::Release {
            build.arg("--release");
        }
        command::run(&mut build)?;
        self.server(profile)
    }

    /// The path of a server that is already built.
    pub(crate) fn server(&self, profile: Profile) -> Result<PathBuf> {
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        };
        let binary = self.target.join(folder).join("foretell");
        if !binary.is_file() {
            bail!("cargo built no server at {}", binary.display());
        }
        Ok(binary)
    }

    /// A cargo command in the root.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut cargo = command::cargo();
        cargo.current_dir(&self.root).args(args);
        cargo
    }

    /// `path` as seen from the root, for messages.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

impl Package {
    fn read(package: &Value, root: &Path) -> Result<Self> {
        let manifest = PathBuf::from(text_at(package, "manifest_path")?);
        let folder = manifest
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok())
            .with_context(|| format!("{} is not in the workspace", manifest.display()))?;
        let dependencies = package["dependencies"]
            .as_array()
            .context("cargo metadata lists no dependencies")?
            .iter()
            .map(Dependency::read)
            .collect::<Result<_>>()?;
        let crate_types = package["targets"]
            .as_array()
            .context("cargo metadata lists no targets")?
            .iter()
            .filter_map(|target| target["crate_types"].as_array())
            .flatten();
        Ok(Self {
            name: text_at(package, "name")?.to_owned(),
            folder: folder.to_string_lossy().into_owned(),
            builds_cdylib: crate_types.into_iter().any(|kind| kind == "cdylib"),
            dependencies,
        })
    }
}

impl Dependency {
    fn read(dependency: &Value) -> Result<Self> {
        Ok(Self {
            name: text_at(dependency, "name")?.to_owned(),
            kind: match dependency["kind"].as_str() {
                None => Kind::Normal,
                Some("dev") => Kind::Dev,
                Some("build") => Kind::Build,
                Some(other) => bail!("cargo metadata names a dependency kind `{other}`"),
            },
        })
    }
}

fn text_at<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key]
        .as_str()
        .with_context(|| format!("cargo metadata has no `{key}`"))
}
