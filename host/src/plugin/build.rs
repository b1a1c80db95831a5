//! Builds a plugin crate: cargo makes a core module, which is wrapped into a component.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use thiserror::Error;
use wasmparser::{Parser, Payload};

use super::Progress;
use super::toolchain::{self, TARGET, Toolchain, ToolchainError};

/// How every plugin is optimised, whatever its own manifest says: it is small, fast, and never unwinds.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
];

/// Vector instructions of a fixed width, which every engine has. The relaxed ones stay off: their results depend on
/// the machine.
const FEATURES: &str = "-Ctarget-feature=+simd128,-relaxed-simd";

/// What `#[predictor]` exports, without its version.
const INFERENCE: &str = "foretell:plugin/inference@";

/// Why a plugin was not built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// There is no toolchain for it.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The folder holds no crate.
    #[error("{} holds no Rust crate: there is no Cargo.toml; `foretell plugin new NAME` writes one", .0.display())]
    NoCrate(PathBuf),
    /// The manifest is that of a workspace alone.
    #[error("{} is a workspace, not a crate; name the folder of one of its plugins", .0.display())]
    Workspace(PathBuf),
    /// The crate makes no module.
    #[error(
        "crate `{0}` makes no WebAssembly module; add to its Cargo.toml:\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]"
    )]
    NotCdylib(String),
    /// cargo could not be run, or its answer not be read.
    #[error("cargo: {0}")]
    Cargo(String),
    /// The crate does not compile; cargo has said why.
    #[error("crate `{0}` does not compile; the reason stands above")]
    Compile(String),
    /// The crate compiles but exports no predictor.
    #[error("crate `{0}` exports no predictor; put `#[predictor]` on its `impl Predictor for ...`")]
    NoPredictor(String),
    /// The module cannot be made a component.
    #[error("the module cannot be made a component: {0}")]
    Component(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: std::io::Error,
    },
}

impl BuildError {
    /// A name for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Toolchain(error) => error.kind(),
            Self::NoCrate(_) => "no_crate",
            Self::Workspace(_) => "workspace",
            Self::NotCdylib(_) => "not_cdylib",
            Self::Cargo(_) => "cargo",
            Self::Compile(_) => "does_not_compile",
            Self::NoPredictor(_) => "no_predictor",
            Self::Component(_) => "component",
            Self::Io { .. } => "io",
        }
    }
}

/// Builds the plugin crate in `dir` and gives the path of its component, `TARGET/foretell/<crate name>.wasm`. What
/// the compiler says goes to standard error.
///
/// # Errors
/// [`BuildError`], of which every message says what to do.
pub fn build(dir: &Path, progress: Progress<'_>) -> Result<PathBuf, BuildError> {
    build_exporting(INFERENCE, dir, progress)
}

/// The same for a crate whose component exports another interface, up to its version.
///
/// # Errors
/// As [`build`]; [`BuildError::NoPredictor`] where that export is missing.
pub fn build_exporting(
    interface: &str,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<PathBuf, BuildError> {
    let manifest = dir.join("Cargo.toml");
    let manifest = manifest
        .canonicalize()
        .map_err(|_| BuildError::NoCrate(dir.to_owned()))?;
    let dir = manifest.parent().unwrap_or(dir);
    let toolchain = toolchain::prepare(dir, progress)?;
    let plugin = describe(toolchain, dir, &manifest)?;
    progress(&format!("compiling {}", plugin.name));
    let module = compile(toolchain, dir, &manifest, &plugin)?;
    let component = componentise(&plugin.name, interface, &read(&module)?)?;
    let file = plugin
        .target
        .join("foretell")
        .join(format!("{}.wasm", plugin.name));
    write(&file, &component)?;
    let kilobytes = component.len().div_ceil(1000);
    progress(&format!("built {} ({kilobytes} KB)", file.display()));
    Ok(file)
}

/// What cargo says of a plugin crate.
#[derive(Debug)]
struct Plugin {
    name: String,
    /// Folder for everything that is built for it.
    target: PathBuf,
    /// Root of its workspace.
    root: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

fn describe(toolchain: Toolchain, dir: &Path, manifest: &Path) -> Result<Plugin, BuildError> {
    let output = toolchain
        .cargo(dir)
        .args([
            "metadata",
            "--no-deps",
            "--format-version=1",
            "--manifest-path",
        ])
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| BuildError::Cargo(error.to_string()))?;
    if !output.status.success() {
        return Err(BuildError::Cargo(
            "the manifest cannot be read; the reason stands above".into(),
        ));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| BuildError::Cargo(error.to_string()))?;
    plugin(metadata, manifest)
}

fn plugin(metadata: Metadata, manifest: &Path) -> Result<Plugin, BuildError> {
    let package = metadata
        .packages
        .into_iter()
        .find(|package| package.manifest_path == manifest)
        .ok_or_else(|| BuildError::Workspace(manifest.to_owned()))?;
    let mut types = package
        .targets
        .iter()
        .flat_map(|target| &target.crate_types);
    if !types.any(|crate_type| crate_type == "cdylib") {
        return Err(BuildError::NotCdylib(package.name));
    }
    // A workspace may be built by another toolchain for another machine: plugins get a folder of their own in it.
    let alone = manifest.parent() == Some(&metadata.workspace_root);
    Ok(Plugin {
        name: package.name,
        target: if alone {
            metadata.target_directory
        } else {
            metadata.target_directory.join("wasm")
        },
        root: metadata.workspace_root,
    })
}

/// One line of cargo's own report.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn compile(
    toolchain: Toolchain,
    dir: &Path,
    manifest: &Path,
    plugin: &Plugin,
) -> Result<PathBuf, BuildError> {
    let mut cargo = toolchain.cargo(dir);
    cargo.args(["build", "--release", "--lib", "--target", TARGET]);
    cargo.args(toolchain.build_arguments());
    cargo.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    cargo.arg("--manifest-path").arg(manifest);
    cargo.arg("--target-dir").arg(&plugin.target);
    cargo.arg("--message-format=json-render-diagnostics");
    // Flags are separated by this character, so that paths may hold blanks. Panics carry the place of their source:
    // without the path of this machine, the same sources make the same bytes wherever they lie.
    let rename = format!("--remap-path-prefix={}=.", plugin.root.display());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", [FEATURES, &rename].join("\x1f"));
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| BuildError::Cargo(error.to_string()))?;
    if !output.status.success() {
        return Err(BuildError::Compile(plugin.name.clone()));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| message.manifest_path.as_deref() == Some(manifest))
        .flat_map(|message| message.filenames)
        .find(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .ok_or_else(|| BuildError::NotCdylib(plugin.name.clone()))
}

/// Wraps a core module into a component of the world that its bindings name.
fn componentise(name: &str, interface: &str, module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let component = wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| BuildError::Component(format!("{error:#}")))?;
    let exports = exports(&component).map_err(|error| BuildError::Component(error.to_string()))?;
    if exports.iter().any(|export| export.starts_with(interface)) {
        Ok(component)
    } else {
        Err(BuildError::NoPredictor(name.to_owned()))
    }
}

/// What a component exports. What lies inside it exports core functions only, so depth does not matter.
fn exports(component: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::ComponentExportSection(section) = payload? {
            for export in section {
                names.push(export?.name.name.to_owned());
            }
        }
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        std::fs::create_dir_all(folder)?;
        // As readable as what the compiler writes; temporary files are private otherwise.
        let readable = std::fs::Permissions::from_mode(0o644);
        let file = tempfile::Builder::new()
            .permissions(readable)
            .tempfile_in(folder)?;
        std::fs::write(file.path(), bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| BuildError::Io {
        path: path.to_owned(),
        source,
    })
}
