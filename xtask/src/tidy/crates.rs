//! Which crate may know which: directions between ours, and one crate for each heavy dependency.
//!
//! Cargo refuses cycles; it does not refuse an edge that skips a room. This does.

use crate::workspace::{Kind, Package};

/// Each of our crates with those of ours that it may depend on (`docs/ARCHITECTURE.md` draws the picture).
const DIRECTION: &[(&str, &[&str])] = &[
    ("foretell-types", &[]),
    ("foretell-store", &["foretell-types"]),
    ("foretell-engine", &["foretell-types"]),
    ("foretell-predict", &["foretell-types", "foretell-store"]),
    ("foretell-http", &["foretell-types", "foretell-predict"]),
    (
        "foretell",
        &[
            "foretell-types",
            "foretell-store",
            "foretell-engine",
            "foretell-predict",
            "foretell-http",
        ],
    ),
    ("foretell-sdk-macros", &[]),
    ("foretell-sdk", &["foretell-sdk-macros"]),
    // The engine for its kit of hostile guests, which are its own tests' too; the last two for what reads strangers' bytes.
    (
        "foretell-tests",
        &[
            "foretell",
            "foretell-bench",
            "foretell-types",
            "foretell-engine",
            "foretell-predict",
            "foretell-http",
        ],
    ),
    // The whole server and its rooms for what is measured in process; the kernel and the SDK for the native twin.
    (
        "foretell-bench",
        &[
            "foretell",
            "foretell-types",
            "foretell-store",
            "foretell-engine",
            "foretell-http",
            "foretell-sdk",
            "forest",
        ],
    ),
    ("xtask", &[]),
];

/// What everything under `plugins/` may depend on, of ours: the SDK, and the library that first-party plugins share.
const OF_PLUGINS: &[&str] = &["foretell-sdk", "artifact"];

/// Edges of `[dev-dependencies]` beyond those above, each with its reason.
const DEV_DIRECTION: &[(&str, &str, &str)] = &[
    (
        "foretell-http",
        "foretell-store",
        "routes are tested over the in-memory store",
    ),
    (
        "foretell-sdk-macros",
        "foretell-sdk",
        "the attribute is tested by using it, as an author does",
    ),
];

/// Heavy dependencies and the crates that may name them: a change of one of these must stay inside one room.
const HEAVY: &[(&str, &[&str])] = &[
    ("wasmtime", &["foretell-engine"]),
    ("wasmtime-wizer", &["foretell-engine"]),
    // The command line componentises what an author builds, so that an author has the component without a server.
    ("wasmparser", &["foretell-engine", "foretell"]),
    ("wit-component", &["foretell-engine", "foretell"]),
    // The benches edit an audit log as somebody does who has the file and not the program.
    ("rusqlite", &["foretell-store", "foretell-bench"]),
    ("r2d2", &["foretell-store"]),
    ("r2d2_sqlite", &["foretell-store"]),
    ("refinery", &["foretell-store"]),
    ("quick_cache", &["foretell-predict"]),
    ("warp", &["foretell-http"]),
    ("hyper", &["foretell-http"]),
    ("hyper-util", &["foretell-http"]),
    ("tonic", &["foretell-http"]),
    ("prost", &["foretell-http"]),
    ("multer", &["foretell-http"]),
    ("clap", &["foretell"]),
    ("reqwest", &["foretell", "foretell-tests"]),
    ("wit-bindgen", &["foretell-sdk"]),
];

/// Checks every member of the workspace.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .flat_map(|package| {
            direction(package, packages)
                .into_iter()
                .chain(weight(package))
        })
        .collect()
}

fn direction(package: &Package, packages: &[Package]) -> Vec<String> {
    let manifest = format!("{}/Cargo.toml", package.folder);
    let Some(allowed) = allowed(package) else {
        return vec![format!(
            "{manifest}: `{}` is new to the house; say in xtask/src/tidy/crates.rs whom it may know, and in an ADR why",
            package.name
        )];
    };
    package
        .dependencies
        .iter()
        .filter(|dependency| packages.iter().any(|package| package.name == dependency.name))
        .filter(|dependency| {
            let known = allowed.contains(&dependency.name.as_str());
            let known_in_tests =
                dependency.kind == Kind::Dev && known_in_tests(&package.name, &dependency.name);
            !known && !known_in_tests
        })
        .map(|dependency| {
            format!(
                "{manifest}: `{}` may not know `{}`; pass what it needs through foretell-types, or argue the new edge in \
                 an ADR and add it to xtask/src/tidy/crates.rs",
                package.name, dependency.name
            )
        })
        .collect()
}

fn allowed(package: &Package) -> Option<&'static [&'static str]> {
    if package.folder.starts_with("plugins/") {
        return Some(OF_PLUGINS);
    }
    DIRECTION
        .iter()
        .find(|(name, _)| *name == package.name)
        .map(|(_, allowed)| *allowed)
}

fn known_in_tests(from: &str, to: &str) -> bool {
    from == to
        || DEV_DIRECTION
            .iter()
            .any(|edge| (edge.0, edge.1) == (from, to))
}

fn weight(package: &Package) -> Vec<String> {
    package
        .dependencies
        .iter()
        .filter_map(|dependency| {
            let (_, owners) = HEAVY.iter().find(|(heavy, _)| *heavy == dependency.name)?;
            (!owners.contains(&package.name.as_str())).then(|| {
                format!(
                    "{}/Cargo.toml: `{}` is named by {} only; go through it instead",
                    package.folder,
                    dependency.name,
                    owners.join(" and ")
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, folder: &str, dependencies: &[(&str, Kind)]) -> Package {
        Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            builds_cdylib: false,
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency {
                    name: (*name).to_owned(),
                    kind: *kind,
                })
                .collect(),
        }
    }

    fn findings(name: &str, folder: &str, dependency: &str, kind: Kind) -> Vec<String> {
        check(&[
            package(name, folder, &[(dependency, kind)]),
            package("foretell-engine", "host/engine", &[]),
            package("foretell-types", "host/types", &[]),
            package("foretell-sdk", "sdk/rust", &[]),
        ])
    }

    #[test]
    fn an_edge_of_the_picture_is_fine() {
        let found = findings(
            "foretell-predict",
            "host/predict",
            "foretell-types",
            Kind::Normal,
        );
        assert_eq!(found, Vec::<String>::new());
        let found = findings("forest", "plugins/forest", "foretell-sdk", Kind::Normal);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_edge_that_is_not_in_the_picture_is_found() {
        let found = findings(
            "foretell-predict",
            "host/predict",
            "foretell-engine",
            Kind::Normal,
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("`foretell-predict` may not know `foretell-engine`"));
        let found = findings("forest", "plugins/forest", "foretell-types", Kind::Normal);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn an_edge_for_tests_needs_its_own_permission() {
        let of = |kind| findings("foretell-sdk-macros", "sdk/macros", "foretell-sdk", kind).len();
        assert_eq!((of(Kind::Dev), of(Kind::Normal)), (0, 1));
    }

    #[test]
    fn a_heavy_dependency_outside_its_room_is_found() {
        let found = findings("foretell-predict", "host/predict", "r2d2", Kind::Normal);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("foretell-store only"), "{}", found[0]);
    }

    #[test]
    fn a_crate_that_nobody_has_placed_is_found() {
        let found = findings("foretell-extra", "host/extra", "anyhow", Kind::Normal);
        assert!(found[0].contains("new to the house"));
    }
}
