//! Is it of the world `foretell:plugin/predictor`?

use std::sync::OnceLock;

use foretell_types::compile::{Refusal, RefusalCode};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::{Parser, Payload, Validator};
use wit_component::ComponentEncoder;
use wit_parser::{Resolve, SourceMap, WorldId};

use super::{MAX_NAMED, damaged, list, shown};
use crate::setup;

/// The interface that a plugin exports, without its version.
const INFERENCE: &str = "foretell:plugin/inference";
/// The one interface that it may import.
const LOG: &str = "foretell:plugin/log";
/// The track that this server implements, and its newest version.
const TRACK: &str = "0.1";
pub(super) const VERSION: &str = "0.1.0";
/// The functions of a plugin.
const FUNCTIONS: [&str; 3] = ["load", "describe", "predict"];

/// Makes a component of a core module, as `wasm32-unknown-unknown` builds leave it: with a section that describes its
/// world.
///
/// # Errors
/// Every import that no plugin gets, or why it is of no world.
pub(super) fn componentise(module: &[u8]) -> Result<Vec<u8>, Vec<Refusal>> {
    let (mut foreign, mut described) = (Vec::new(), false);
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| damaged(&error))? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(|error| damaged(&error))?;
                    if version_of(import.module, LOG).is_none_or(|version| !of_our_track(version)) {
                        foreign.push(format!("{}.{}", import.module, import.name));
                    }
                }
            }
            Payload::CustomSection(section) => {
                described |= section.name().starts_with("component-type")
            }
            _ => {}
        }
    }
    if !foreign.is_empty() {
        return Err(refuse_imports(&foreign));
    }
    if !described {
        return Err(wrong_world(
            "component-type",
            "it is a core module that does not say which world it is of; build it with the SDK, or with wit-bindgen and \
             the world `foretell:plugin/predictor`"
                .to_owned(),
        ));
    }
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            wrong_world(
                "plugin",
                format!(
                    "it cannot be made a component: {}",
                    shown(&format!("{error:#}"))
                ),
            )
        })
}

/// # Errors
/// Every import that no plugin gets, and every export that is missing or another.
pub(super) fn check(component: &[u8]) -> Result<(), Vec<Refusal>> {
    let (imports, exports) = names(component)?;
    let foreign: Vec<_> = imports
        .into_iter()
        .filter(|name| version_of(name, LOG).is_none_or(|version| !of_our_track(version)))
        .collect();
    let mut refusals = if foreign.is_empty() {
        Vec::new()
    } else {
        refuse_imports(&foreign)
    };
    match exports.iter().find_map(|name| version_of(name, INFERENCE)) {
        None => refusals.extend(wrong_world(
            INFERENCE,
            format!(
                "it does not export `{INFERENCE}@{VERSION}`; it exports {}",
                list(exports.iter().map(String::as_str))
            ),
        )),
        Some(version) if !of_our_track(version) => refusals.extend(other_version(version)),
        Some(version) => {
            let missing = missing_functions(component, version)?;
            if missing.is_empty() && refusals.is_empty() {
                refusals.extend(types(component, version).err());
            }
            refusals.extend(missing);
        }
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals)
    }
}

fn wrong_world(subject: &str, message: String) -> Vec<Refusal> {
    vec![Refusal::new(RefusalCode::WrongWorld, subject, message)]
}

fn refuse_imports(names: &[String]) -> Vec<Refusal> {
    let reason = |name: &str| {
        if name.starts_with("wasi") {
            "plugins have no files, clock, network or environment; build for wasm32-unknown-unknown"
                .to_owned()
        } else if let Some(version) = version_of(name, LOG) {
            format!("this server has `{LOG}@{VERSION}`, not {}", shown(version))
        } else {
            format!("the only import that a plugin gets is `{LOG}`")
        }
    };
    let refusals = names.iter().take(MAX_NAMED);
    let mut refusals: Vec<_> = refusals
        .map(|name| Refusal::new(RefusalCode::ImportRefused, shown(name), reason(name)))
        .collect();
    if names.len() > MAX_NAMED {
        let more = names.len() - MAX_NAMED;
        refusals.push(Refusal::new(
            RefusalCode::ImportRefused,
            format!("{more} more"),
            "and as many others".to_owned(),
        ));
    }
    refusals
}

fn other_version(version: &str) -> Vec<Refusal> {
    let order = |text: &str| -> Vec<u64> {
        text.split(['.', '-', '+'])
            .map_while(|part| part.parse().ok())
            .collect()
    };
    let (what, advice) = if order(version) > order(VERSION) {
        (
            "newer than",
            "build it with the interface of this server, or update the server",
        )
    } else {
        ("older than", "build it again with a current SDK")
    };
    let subject = format!("{INFERENCE}@{}", shown(version));
    wrong_world(
        &subject,
        format!("its interface is {what} the {VERSION} of this server; {advice}"),
    )
}

/// The version in `interface@version`; empty where there is none, nothing for another interface.
fn version_of<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(interface)?;
    if rest.is_empty() {
        Some("")
    } else {
        rest.strip_prefix('@')
    }
}

fn of_our_track(version: &str) -> bool {
    let patch = version
        .strip_prefix(TRACK)
        .and_then(|rest| rest.strip_prefix('.'));
    patch
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()))
}

/// What the component itself, not one within it, imports and exports.
fn names(component: &[u8]) -> Result<(Vec<String>, Vec<String>), Vec<Refusal>> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| damaged(&error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(
                        import
                            .map_err(|error| damaged(&error))?
                            .name
                            .name
                            .to_owned(),
                    );
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(
                        export
                            .map_err(|error| damaged(&error))?
                            .name
                            .name
                            .to_owned(),
                    );
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn missing_functions(component: &[u8], version: &str) -> Result<Vec<Refusal>, Vec<Refusal>> {
    let types = Validator::new_with_features(setup::features())
        .validate_all(component)
        .map_err(|error| damaged(&error))?;
    let types = types.as_ref();
    let name = format!("{INFERENCE}@{version}");
    let Some(ComponentEntityType::Instance(interface)) =
        types.component_item_for_export(&name).map(|item| item.ty)
    else {
        return Ok(wrong_world(
            &name,
            "it is exported, but is no interface".to_owned(),
        ));
    };
    let Some(interface) = types.get(interface) else {
        return Ok(Vec::new());
    };
    let is_function = |function: &str| {
        interface
            .exports
            .get(function)
            .is_some_and(|item| matches!(item.ty, ComponentEntityType::Func(_)))
    };
    Ok(FUNCTIONS
        .into_iter()
        .filter(|function| !is_function(function))
        .map(|function| {
            Refusal::new(
                RefusalCode::WrongWorld,
                format!("{name}#{function}"),
                format!(
                    "the function `{function}` is missing; the interface has {}",
                    list(interface.exports.keys().map(String::as_str))
                ),
            )
        })
        .collect())
}

/// Compares every type of the world with the component's.
fn types(component: &[u8], version: &str) -> Result<(), Refusal> {
    let refuse =
        |subject: String, message: String| Refusal::new(RefusalCode::WrongWorld, subject, message);
    let subject = format!("{INFERENCE}@{version}");
    let ours;
    let (resolve, world) = if version == VERSION {
        our_world()
    } else {
        // A later patch of our track: the same types under its own name.
        ours = parse_world(version);
        &ours
    }
    .as_ref()
    .map_err(|error| {
        refuse(
            subject.clone(),
            format!("the world of this server cannot be read: {error}"),
        )
    })?;
    wit_component::targets(resolve, *world, component).map_err(|error| {
        refuse(
            subject,
            format!(
                "its types are not those of the interface: {}",
                shown(&format!("{error:#}"))
            ),
        )
    })
}

type World = Result<(Resolve, WorldId), String>;

fn our_world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| parse_world(VERSION))
}

/// The world from the WIT in this very crate's bindings, under the given version.
pub(super) fn parse_world(version: &str) -> World {
    let mut sources = SourceMap::new();
    for (name, text) in [
        ("world.wit", include_str!("../../../../wit/v0.1/world.wit")),
        (
            "inference.wit",
            include_str!("../../../../wit/v0.1/inference.wit"),
        ),
        ("log.wit", include_str!("../../../../wit/v0.1/log.wit")),
    ] {
        let ours = format!("package foretell:plugin@{VERSION};");
        sources.push_str(
            name,
            text.replace(&ours, &format!("package foretell:plugin@{version};")),
        );
    }
    let group = sources.parse().map_err(|(_, error)| error.to_string())?;
    let mut resolve = Resolve::default();
    let package = resolve
        .push_group(group)
        .map_err(|error| format!("{error:#}"))?;
    let world = resolve
        .select_world(&[package], Some("predictor"))
        .map_err(|error| format!("{error:#}"))?;
    Ok((resolve, world))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(wat: &str) -> Vec<String> {
        check(&wat::parse_str(wat).unwrap())
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_import_is_refused_by_its_name() {
        let found = refusals(
            r#"(component
                (import "wasi:filesystem/types@0.2.3" (instance))
                (import "foretell:plugin/log@0.2.0" (instance))
                (import "foretell:plugin/log@0.1.7" (instance)))"#,
        );
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0]
                .starts_with("import_refused: wasi:filesystem/types@0.2.3: plugins have no files"),
            "{}",
            found[0]
        );
        assert!(
            found[1].starts_with("import_refused: foretell:plugin/log@0.2.0: this server has"),
            "{}",
            found[1]
        );
        assert!(
            found[2].starts_with("wrong_world: foretell:plugin/inference: it does not export"),
            "{}",
            found[2]
        );
    }

    #[test]
    fn another_version_of_the_interface_is_called_older_or_newer() {
        for (version, word) in [
            ("0.2.0", "newer"),
            ("1.0.0", "newer"),
            ("0.0.9", "older"),
            ("0.1.0-rc1", "older"),
        ] {
            let found = refusals(&format!(
                r#"(component (instance $i) (export "foretell:plugin/inference@{version}" (instance $i)))"#
            ));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].contains(&format!("inference@{version}: its interface is")),
                "{}",
                found[0]
            );
            // A pre-release of our own version is neither; it is refused all the same.
            assert!(
                found[0].contains(word) || version.contains("rc"),
                "{}",
                found[0]
            );
        }
    }

    #[test]
    fn each_missing_function_is_named() {
        let found = refusals(
            r#"(component (instance $i) (export "foretell:plugin/inference@0.1.3" (instance $i)))"#,
        );
        let subjects: Vec<_> = found
            .iter()
            .map(|refusal| refusal.split(": ").nth(1).unwrap().to_owned())
            .collect();
        assert_eq!(
            subjects,
            ["load", "describe", "predict"]
                .map(|function| format!("foretell:plugin/inference@0.1.3#{function}"))
        );
    }

    #[test]
    fn a_core_module_without_a_world_is_told_how_to_have_one() {
        let module = wat::parse_str("(module)").unwrap();
        let refusals = componentise(&module).unwrap_err();
        assert_eq!(refusals[0].subject, "component-type");
        assert!(refusals[0].message.contains("build it with the SDK"));
    }

    #[test]
    fn every_import_of_a_core_module_is_named() {
        let module = wat::parse_str(
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (import "env" "memory" (memory 1)))"#,
        )
        .unwrap();
        let subjects: Vec<_> = componentise(&module)
            .unwrap_err()
            .into_iter()
            .map(|refusal| refusal.subject)
            .collect();
        assert_eq!(subjects, ["wasi_snapshot_preview1.fd_write", "env.memory"]);
    }

    #[test]
    fn names_from_an_upload_are_shown_escaped_and_cut() {
        let names = [format!("a\n\u{1b}{}", "x".repeat(1_000))];
        let refusal = &refuse_imports(&names)[0];
        assert!(
            refusal.subject.starts_with("a\\n\\u{1b}"),
            "{}",
            refusal.subject
        );
        assert!(refusal.subject.len() < 300);
    }
}
