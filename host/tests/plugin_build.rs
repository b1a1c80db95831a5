//! A new plugin builds as it is, and its component asks the host for nothing.
//!
//! The first run on a machine without a toolchain for WebAssembly prepares one.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::path::Path;

use foretell::plugin::build::{self, BuildError};
use foretell::plugin::new;
use wasmparser::{Parser, Payload};

/// Where cargo builds, the same at each run, so that only the plugin itself is compiled anew.
const TARGET: &str = env!("CARGO_TARGET_TMPDIR");

/// A new plugin, changed by `change`, and what building it gives. Each test has a name of its own, because they share
/// the folder that cargo builds in.
fn build(name: &str, change: impl FnOnce(&Path)) -> Result<Vec<u8>, BuildError> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join(name);
    new::create(&dir, name).unwrap();
    std::fs::create_dir(dir.join(".cargo")).unwrap();
    let config = format!("[build]\ntarget-dir = {TARGET:?}\n");
    std::fs::write(dir.join(".cargo/config.toml"), config).unwrap();
    change(&dir);
    let file = build::build(&dir, &|line| println!("{line}"))?;
    assert!(
        file.ends_with(format!("foretell/{name}.wasm")),
        "{}",
        file.display()
    );
    Ok(std::fs::read(file).unwrap())
}

/// Replaces text in a file of the plugin.
fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from));
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// Names of what a component imports, and of what it exports.
fn seams(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            // What lies inside is not what the component itself says.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(
                    section
                        .into_iter()
                        .map(|import| import.unwrap().name.name.to_owned()),
                );
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(
                    section
                        .into_iter()
                        .map(|export| export.unwrap().name.name.to_owned()),
                );
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn a_new_plugin_is_a_small_component_that_imports_nothing() {
    let component = build("quiet", |_| {}).unwrap();
    let (imports, exports) = seams(&component);
    assert_eq!(imports, [""; 0]);
    assert_eq!(exports, ["foretell:plugin/inference@0.1.0"]);
    // 119 KB when this was written, of which most is the standard library: reading and writing numbers, messages.
    assert!(component.len() < 150_000, "{} bytes", component.len());
    println!("{} KB", component.len().div_ceil(1000));
}

#[test]
fn a_plugin_that_logs_imports_the_log_and_no_more() {
    let component = build("talkative", |dir| {
        let predict = "let mut masses";
        edit(
            &dir.join("src/lib.rs"),
            predict,
            &format!("log::info(\"a penguin\");\n{predict}"),
        );
    });
    let (imports, _) = seams(&component.unwrap());
    assert_eq!(imports, ["foretell:plugin/log@0.1.0"]);
}

#[test]
fn the_same_sources_give_the_same_bytes_wherever_they_lie() {
    let build = || build("twice", |_| {}).unwrap();
    assert!(build() == build());
}

#[test]
fn each_way_not_to_be_a_plugin_has_its_own_message() {
    let kind = |change: fn(&Path)| build("broken", change).map(|_| ()).unwrap_err().kind();
    assert_eq!(
        kind(|dir| std::fs::remove_file(dir.join("Cargo.toml")).unwrap()),
        "no_crate"
    );
    assert_eq!(
        kind(|dir| edit(&dir.join("Cargo.toml"), "\"cdylib\", ", "")),
        "not_cdylib"
    );
    assert_eq!(
        kind(|dir| edit(&dir.join("src/lib.rs"), "#[predictor]", "")),
        "no_predictor"
    );
    assert_eq!(
        kind(|dir| edit(&dir.join("src/lib.rs"), "fn describe", "fn describes")),
        "does_not_compile"
    );
    assert_eq!(
        kind(|dir| std::fs::write(dir.join("Cargo.toml"), "[workspace]\n").unwrap()),
        "workspace"
    );
}
