//! Writes a new plugin: a crate that builds, passes its tests and can be pushed as it is.
//!
//! The SDK is on no registry yet, so a copy of it is written beside the crate. What is written is the repository's own
//! `sdk/`, embedded at build time: `sdk/template` is a complete crate of the name `my-model`, and the new name takes its
//! place.

use std::io;
use std::path::{Path, PathBuf};

use foretell_types::ModelName;
use include_dir::{Dir, DirEntry, include_dir};
use thiserror::Error;

static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/template");
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/rust");
static MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/macros");

/// The template's own name, in its files.
const TEMPLATE_NAME: &str = "my-model";

/// Where the SDK lies as seen from the template, and as seen from a new plugin.
const SDK_PATH: (&str, &str) = ("\"../rust\"", "\"sdk/rust\"");

/// What lies in the embedded folders but is not for a new plugin: what building them leaves behind, and the SDK's own
/// tests.
const LEFT_OUT: [&str; 2] = ["target", "tests"];

/// Letters of a crate's name, at most.
const MAX_NAME: usize = 64;

/// Names of crates that every Rust program knows already, and words that are no names.
const TAKEN: [&str; 8] = [
    "alloc",
    "core",
    "foretell-sdk",
    "foretell-sdk-macros",
    "foretell_sdk",
    "proc_macro",
    "std",
    "test",
];

/// Rust's keywords, which cargo refuses too.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Why a new plugin was not written.
#[derive(Debug, Error)]
pub enum NewError {
    /// The name cannot be that of a crate and of a model.
    #[error("`{name}` is no name for a plugin: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is something in the folder.
    #[error("{} is not empty; name a folder that does not exist yet", .0.display())]
    NotEmpty(PathBuf),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: io::Error,
    },
}

impl NewError {
    /// A name for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Name { .. } => "invalid_name",
            Self::NotEmpty(_) => "not_empty",
            Self::Io { .. } => "io",
        }
    }
}

/// Writes the plugin `name` into `dir`, which must be empty or not exist.
///
/// # Errors
/// [`NewError`]; nothing is written if the name is no name or the folder is not empty.
pub fn create(dir: &Path, name: &str) -> Result<(), NewError> {
    check(name)?;
    match dir.read_dir().map(|mut entries| entries.next()) {
        Ok(Some(_)) => return Err(NewError::NotEmpty(dir.to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(dir, error)),
        Ok(None) | Err(_) => {}
    }
    write(&TEMPLATE, dir, &|text| rename(text, name))?;
    let keep = |text: &str| text.to_owned();
    write(&SDK, &dir.join("sdk/rust"), &keep)?;
    write(&MACROS, &dir.join("sdk/macros"), &keep)
}

fn check(name: &str) -> Result<(), NewError> {
    let refuse = |reason: &str| {
        Err(NewError::Name {
            name: name.escape_debug().take(2 * MAX_NAME).collect(),
            reason: reason.to_owned(),
        })
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.bytes().all(letter) {
        return refuse("use letters, digits, `-` and `_`, and begin with a letter");
    }
    if name.len() > MAX_NAME {
        return refuse("use 64 letters at most");
    }
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        return refuse("Rust uses it for something else");
    }
    ModelName::parse(name)
        .map(drop)
        .or_else(|error| refuse(&error.to_string()))
}

fn rename(text: &str, name: &str) -> String {
    text.replace(TEMPLATE_NAME, name)
        .replace(SDK_PATH.0, SDK_PATH.1)
}

/// Writes a folder out. Every file of ours is text.
fn write(from: &Dir<'_>, to: &Path, change: &dyn Fn(&str) -> String) -> Result<(), NewError> {
    std::fs::create_dir_all(to).map_err(|error| fault(to, error))?;
    for entry in from.entries() {
        let Some(name) = entry.path().file_name() else {
            continue;
        };
        let to = to.join(name);
        match entry {
            DirEntry::Dir(_) if LEFT_OUT.iter().any(|left_out| name == *left_out) => {}
            DirEntry::Dir(folder) => write(folder, &to, change)?,
            DirEntry::File(file) => {
                let text = String::from_utf8_lossy(file.contents());
                std::fs::write(&to, change(&text)).map_err(|error| fault(&to, error))?;
            }
        }
    }
    Ok(())
}

fn fault(path: &Path, source: io::Error) -> NewError {
    NewError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: PathBuf) -> String {
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn a_new_plugin_has_its_name_its_sdk_and_its_interface() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("rain");
        create(&dir, "rain").unwrap();
        let manifest = read(dir.join("Cargo.toml"));
        assert!(manifest.contains("name = \"rain\""));
        assert!(manifest.contains("path = \"sdk/rust\""));
        assert!(read(dir.join("model.toml")).contains("name = \"rain\""));
        assert!(read(dir.join(".gitignore")).contains("/target"));
        for file in [
            "src/lib.rs",
            "sample.request.json",
            "sdk/rust/src/lib.rs",
            "sdk/macros/src/lib.rs",
        ] {
            assert!(dir.join(file).is_file(), "{file}");
        }
        assert!(read(dir.join("sdk/rust/wit/inference.wit")).contains("interface inference"));
        assert!(!dir.join("sdk/macros/tests").exists());
    }

    #[test]
    fn the_digest_in_the_template_is_that_of_its_weights() {
        use sha2::Digest as _;
        let file = |name: &str| TEMPLATE.get_file(name).unwrap().contents();
        let digest = sha2::Sha256::digest(file("weights.txt"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let manifest: toml::Table = str::from_utf8(file("model.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["artifact"]["sha256"].as_str(), Some(hex.as_str()));
    }

    #[test]
    fn the_template_locks_the_versions_that_the_repository_is_tested_with() {
        let packages = |text: &str| -> Vec<toml::Value> {
            let lock: toml::Table = text.parse().unwrap();
            lock["package"].as_array().unwrap().clone()
        };
        let of_ours = packages(&read(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"),
        ));
        let of_template = TEMPLATE
            .get_file("Cargo.lock")
            .unwrap()
            .contents_utf8()
            .unwrap();
        for package in packages(of_template) {
            let known = of_ours
                .iter()
                .any(|ours| ours.get("checksum") == package.get("checksum"));
            assert!(package.get("checksum").is_none() || known, "{package}");
        }
    }

    #[test]
    fn what_is_embedded_is_what_lies_in_the_repository() {
        fn compare(embedded: &Dir<'_>, folder: &Path) {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if LEFT_OUT.contains(&name) {
                    continue;
                }
                let inside = embedded.path().join(name);
                if path.is_dir() {
                    compare(embedded.get_dir(&inside).unwrap(), &path);
                } else {
                    let file = embedded.get_file(&inside).unwrap();
                    assert!(
                        file.contents() == std::fs::read(&path).unwrap(),
                        "{}",
                        path.display()
                    );
                }
            }
        }
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
        compare(&TEMPLATE, &sdk.join("template"));
        compare(&SDK, &sdk.join("rust"));
        compare(&MACROS, &sdk.join("macros"));
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("note"), "mine").unwrap();
        let error = create(folder.path(), "rain").unwrap_err();
        assert_eq!(error.kind(), "not_empty");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn an_empty_folder_is_written_into() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path(), "rain").unwrap();
        assert!(folder.path().join("Cargo.toml").is_file());
    }

    #[test]
    fn names_that_are_none_are_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        for name in [
            "",
            "1st",
            "a b",
            "a/b",
            "../a",
            "a.b",
            "fn",
            "std",
            "stats",
            "é",
            &"a".repeat(65),
        ] {
            let error = create(&dir, name).unwrap_err();
            assert_eq!(error.kind(), "invalid_name", "{name}");
        }
        assert!(!dir.exists());
        for name in ["a", "lead-score", "lead_score2", &"a".repeat(64)] {
            assert!(check(name).is_ok(), "{name}");
        }
    }
}
