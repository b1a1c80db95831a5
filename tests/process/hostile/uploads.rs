//! Group B: uploads that are bombs, damaged, forged or many; and of group A what is refused before it ever predicts.

use std::thread;
use std::time::Duration;

use foretell_tests::Parts;
use foretell_tests::guests as kit;
use foretell_tests::host::files;
use foretell_tests::wait::until;
use serde_json::json;

use super::siege::upload_label;
use super::{Attack, Siege, guests, long, shapes};

/// What an upload is, the upload, and the answer that is meant; where the machine decides, several with `|` between.
type Upload = (&'static str, Vec<u8>, &'static str);

/// How soon an upload that was refused for want of room is tried again.
const RUDE: Duration = Duration::from_millis(200);

impl Siege {
    /// Uploads each again and again, each as a version of its own; any other answer than the one that is meant is named.
    fn upload(&mut self, attack: &Attack<'_>, uploads: &[Upload]) {
        let client = self.attacker.clone();
        let model = format!("model-{}", self.attacks);
        let (must, may): (Vec<_>, Vec<_>) = uploads
            .iter()
            .map(|(.., meant)| *meant)
            .partition(|meant| !meant.contains('|'));
        let may: Vec<_> = may.iter().flat_map(|meant| meant.split('|')).collect();
        let attack = Attack {
            times: attack.times.map(|times| times.max(uploads.len() as u64)),
            must: &must,
            may: &may,
            connections: 1,
            ..*attack
        };
        self.attack(&attack, |_, number| {
            let (what, upload, meant) = &uploads[number as usize % uploads.len()];
            let parts = Parts::plugin(upload.clone());
            let found = upload_label(&client.push(&model, &number.to_string(), &parts));
            if meant.split('|').any(|meant| meant == found) {
                found
            } else {
                format!("{found} for: {what}")
            }
        });
    }
}

#[test]
fn a_guests_that_could_not_predict_safely_are_refused_at_their_upload() {
    let mut siege = Siege::lay("a_uploads", &[("FORETELL_UPLOADS__COMPILE_CPU", "2s")]);
    let attack = |id, what| Attack {
        id,
        what,
        times: [0, 20],
        ..Attack::default()
    };
    siege.upload(
        &attack("A1", "loops in its start function"),
        &[("a loop", kit::loops_at_start(), "422 limit")],
    );
    siege.upload(
        &attack("A3", "begins with 4 GiB, or has a memory of 64 bits"),
        &[
            ("4 GiB", kit::four_gib(), "422 limit"),
            (
                "memory64",
                shapes::module("(memory i64 1)"),
                "422 too_complex",
            ),
        ],
    );
    siege.upload(
        &attack(
            "A4",
            "a table of 10 million elements, a table that grows, 65 MiB of data",
        ),
        &[
            ("10 million", shapes::table(10_000_000), "422 too_complex"),
            ("grows", shapes::growing_table(), "422 compile_failed"),
            ("65 MiB", shapes::data(65), "413 too_large"),
        ],
    );
    let mut imports: Vec<Upload> = [
        "wasi:cli/environment@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:sockets/network@0.2.0",
        "wasi:clocks/monotonic-clock@0.2.0",
        "wasi:random/random@0.2.0",
        "acme:secrets/all@1.0.0",
        "foretell:plugin/log@9.0.0",
    ]
    .map(|name| (name, shapes::importing(name), "422 import_refused"))
    .to_vec();
    imports.push((
        "a module's import",
        shapes::module("(import \"env\" \"steal\" (func))"),
        "422 import_refused",
    ));
    siege.upload(
        &attack(
            "A8",
            "imports environment, files, sockets, clock, random, and what is unknown",
        ),
        &imports,
    );
    siege.upload(
        &attack("A9", "threads, shared memory, relaxed SIMD"),
        &[
            (
                "shared memory",
                shapes::module("(memory 1 1 shared)"),
                "422 too_complex",
            ),
            (
                "atomics",
                shapes::module("(memory 1 1) (func (drop (i32.atomic.load (i32.const 0))))"),
                "422 too_complex",
            ),
            (
                "relaxed SIMD",
                shapes::module(
                    "(func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0))))",
                ),
                "422 too_complex",
            ),
        ],
    );
}

#[test]
fn b1_bombs_for_the_compiler_are_refused_or_end_at_their_limit() {
    // In full with the defaults; for every change with less time, which is all that such a bomb costs.
    let few: &[(&str, &str)] = &[("FORETELL_UPLOADS__COMPILE_CPU", "3s")];
    let mut siege = Siege::lay("b1", if long() { &[] } else { few });
    // Each is admitted; what it costs beyond its time ends it.
    const EITHER: &str = "201|422 limit|422 compile_failed";
    let below: [Upload; 12] = [
        ("2,000 loops", shapes::loops(2_000), EITHER),
        ("900 x 900", shapes::locals_by_branches(900), EITHER),
        ("9,000 blocks", shapes::nested_blocks(9_000), EITHER),
        ("jumps of 60,000", shapes::jump_table(60_000), EITHER),
        ("49,000 functions", shapes::functions(49_000), EITHER),
        ("300,000 additions", shapes::straight_line(300_000), EITHER),
        ("500 loops", shapes::loops(500), EITHER),
        ("500 x 500", shapes::locals_by_branches(500), EITHER),
        ("2,000 blocks", shapes::nested_blocks(2_000), EITHER),
        ("jumps of 10,000", shapes::jump_table(10_000), EITHER),
        ("10,000 functions", shapes::functions(10_000), EITHER),
        ("10,000 additions", shapes::straight_line(10_000), EITHER),
    ];
    let attack = |what| Attack {
        id: "B1",
        what,
        times: [0, 60],
        // The server holds the compiled code of one until it is stored.
        peak_mib: 128,
        ..Attack::default()
    };
    siege.upload(
        &attack("bombs for the compiler just below the limits of structure: loops, locals x branches, nested blocks, jump tables"),
        if long() { &below } else { &below[..4] },
    );
    siege.upload(
        &attack("the same beyond the limits"),
        &[
            ("20,000 loops", shapes::loops(20_000), "422 too_complex"),
            (
                "8,000 x 8,000",
                shapes::locals_by_branches(8_000),
                "422 too_complex",
            ),
            (
                "100,000 functions",
                shapes::functions(100_000),
                "422 too_complex",
            ),
            (
                "1,000,000 blocks",
                shapes::nested_blocks(1_000_000),
                "422 too_complex",
            ),
            (
                "jumps of 2,000,000",
                shapes::jump_table(2_000_000),
                "422 too_complex",
            ),
            (
                "1,000,000 additions",
                shapes::straight_line(1_000_000),
                "422 too_complex",
            ),
        ],
    );
}

#[test]
fn b3_damaged_plugins_are_refused_or_run_and_never_our_fault() {
    let mut siege = Siege::lay("b3", &[("FORETELL_UPLOADS__COMPILE_CPU", "5s")]);
    let client = siege.attacker.clone();
    let (whole, module) = (
        guests::guest(),
        foretell_engine::testkit::chameleon_module(),
    );
    siege.attack(
        &Attack {
            id: "B3",
            what: "plugins cut off at every offset in turn, and with one bit changed",
            times: [60, 10_000],
            connections: 2,
            must: &["422 not_wasm"],
            may: &[
                "201",
                "200",
                "422 wrong_world",
                "422 import_refused",
                "422 too_complex",
                "422 limit",
                "422 load_failed",
                "422 self_test_failed",
                "422 compile_failed",
            ],
            ..Attack::default()
        },
        |_, number| {
            let mut bytes = if number % 2 == 0 {
                whole.clone()
            } else {
                module.clone()
            };
            let at = number as usize * 7_919 % bytes.len();
            if number / 2 % 2 == 0 {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << (number % 8);
            }
            upload_label(&client.push("b3", &number.to_string(), &Parts::plugin(bytes)))
        },
    );
}

#[test]
fn b4_to_b7_forged_and_packed_uploads_are_told_what_they_are() {
    let mut siege = Siege::lay("b4", &[("FORETELL_UPLOADS__COMPILE_CPU", "5s")]);
    let plugin = guests::guest();
    let attack = |id, what| Attack {
        id,
        what,
        times: [0, 100],
        ..Attack::default()
    };

    let spool = siege.folder.path().join("tmp");
    let bomb = shapes::gzip(&vec![0; 256 << 20]);
    siege.upload(
        &attack("B4", "a gzip bomb of 256 MiB, gzip in gzip, zip with a path that climbs"),
        &[
            ("a bomb", bomb, "413 too_large"),
            ("gzip in gzip", shapes::gzip(&shapes::gzip(&plugin)), "422 not_wasm"),
            ("zip", b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0../../../etc/cron".to_vec(), "422 not_wasm"),
        ],
    );
    until("what was spooled to be gone", || {
        files(&spool).is_empty().then_some(())
    });

    let compiled = files(&siege.folder.path().join("blobs"));
    let (code, _) = compiled.iter().max_by_key(|(_, bytes)| *bytes).unwrap();
    siege.upload(
        &attack(
            "B5",
            "the server's own compiled code, ELF, WebAssembly text, a script",
        ),
        &[
            ("its own code", std::fs::read(code).unwrap(), "422 not_wasm"),
            (
                "a .cwasm",
                b"\x7fELF\x02\x01\x01\xc8rest of it".to_vec(),
                "422 not_wasm",
            ),
            (
                "ELF",
                std::fs::read("/proc/self/exe").unwrap()[..1 << 20].to_vec(),
                "422 not_wasm",
            ),
            ("text", b"(module)".to_vec(), "422 not_wasm"),
            (
                "a script",
                b"#!/bin/sh\nrm -rf /\n".to_vec(),
                "422 not_wasm",
            ),
        ],
    );

    let of_track = |version: &[u8]| shapes::replaced(plugin.clone(), b"inference@0.1.0", version);
    siege.upload(
        &attack(
            "B6",
            "another world, an older and a newer interface, a core module that describes nonsense",
        ),
        &[
            ("no world", shapes::module(""), "422 wrong_world"),
            (
                "empty",
                wat::parse_str("(component)").unwrap(),
                "422 wrong_world",
            ),
            ("0.0.9", of_track(b"inference@0.0.9"), "422 wrong_world"),
            ("9.9.9", of_track(b"inference@9.9.9"), "422 wrong_world"),
            (
                "nonsense",
                shapes::with_section(shapes::module(""), "component-type", b"nonsense"),
                "422 wrong_world",
            ),
        ],
    );

    let named = format!(
        r#"(func (@name "\1b[31mforged\0aline") {})"#,
        "(loop)".repeat(3_000)
    );
    siege.upload(
        &Attack {
            // The server holds what the worker made of an upload until it is stored.
            peak_mib: 128,
            ..attack(
                "B7",
                "30 MiB of custom section, more than the limits of it, names with control characters",
            )
        },
        &[
            (
                "30 MiB",
                shapes::with_section(plugin.clone(), "notes", &vec![7; 30 << 20]),
                "201",
            ),
            (
                "60 MiB",
                shapes::with_section(plugin.clone(), "notes", &vec![7; 60 << 20]),
                "422 too_complex",
            ),
            (
                "70 MiB",
                shapes::with_section(plugin.clone(), "notes", &vec![7; 70 << 20]),
                "413 too_large",
            ),
            ("names", guests::with(&named, 2), "422 too_complex"),
            (
                "a section's name",
                shapes::with_section(plugin.clone(), "\u{1b}[31m\n", b""),
                "201",
            ),
        ],
    );
    let shown = siege
        .attacker
        .push("b7", "names", &Parts::plugin(guests::with(&named, 2)));
    for text in [shown.text(), siege.server.said()] {
        assert!(
            !text.contains('\u{1b}'),
            "an escape sequence is shown as it is"
        );
    }
    assert!(shown.message().contains("forged"), "{}", shown.message());
}

#[test]
fn b8_uploads_of_one_name_and_of_many_at_once_are_told_apart_and_bounded() {
    let mut siege = Siege::lay("b8", &[]);
    let parts = |number: u64| {
        Parts::plugin(guests::guest()).runtime(json!({"deadline_ms": 100 + number % 1_000}))
    };
    let client = siege.attacker.clone();
    siege.attack(
        &Attack {
            id: "B8",
            what: "two versions under one name at once: exactly one wins",
            times: [5, 100],
            connections: 1,
            must: &["201 and 409 conflict"],
            ..Attack::default()
        },
        |_, number| {
            let mut answers = thread::scope(|scope| {
                let push = |other: u64| client.push("one", &number.to_string(), &parts(other));
                let first = scope.spawn(move || upload_label(&push(1)));
                let second = upload_label(&push(2));
                [first.join().unwrap(), second]
            });
            answers.sort();
            answers.join(" and ")
        },
    );

    // Of one tenant, whose share is small, and of many, which fill the server's.
    let crowd: Vec<_> = (0..20)
        .map(|number| siege.server.tenant(&format!("many-{number}")))
        .collect();
    for (what, clients, refused) in [
        (
            "100 uploads at once of one tenant",
            &crowd[..1],
            "429 rate_limited",
        ),
        (
            "100 uploads at once of 20 tenants",
            &crowd[..],
            "503 overloaded",
        ),
    ] {
        siege.attack(
            &Attack {
                id: "B8",
                what,
                times: [100, 2_000],
                connections: 100,
                must: &["201", refused],
                may: &["429 rate_limited", "503 overloaded"],
                // Each upload under way holds its answer until it is stored.
                peak_mib: 64,
            },
            |_, number| {
                let client = &clients[number as usize % clients.len()];
                let answer = client.push(
                    "many",
                    &format!("{number}-of-{}", clients.len()),
                    &parts(number),
                );
                if matches!(answer.status, 429 | 503) && answer.header("retry-after").is_none() {
                    return format!("{} without Retry-After", answer.status);
                }
                if answer.status != 201 {
                    // Rude, and no more than that: it does not wait for as long as it is told.
                    thread::park_timeout(RUDE);
                }
                upload_label(&answer)
            },
        );
    }
}
