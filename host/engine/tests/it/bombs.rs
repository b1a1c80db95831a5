//! Compile bombs: each is refused or compiled within its bounds, and the server notices nothing.

use std::fs;
use std::process::Command;
use std::time::Duration;

use foretell_engine::testkit::bombs::{BOMBS, Bomb};
use foretell_engine::testkit::{self, gauntlet::Gauntlet};
use foretell_types::compile::CompileError;

use crate::support::Host;

/// What the server may grow by while a bomb is in hand. It holds what the worker answers, and nothing of the compiler.
const GROWTH: u64 = 50 << 20;

/// Bytes of memory of this process, by their name in `/proc/self/status`.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    let kib = line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

/// Forgets the highest memory use so far.
fn forget_the_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

async fn explode(bomb: &Bomb) -> Gauntlet {
    let host = Host::with(|config| {
        // Less than by default, so that what only the worker stops is stopped in seconds.
        config.compile.cpu_seconds = 3;
        // On a busy machine the worker gets little, and its wall is not what is tested.
        config.compile.wall = Duration::from_secs(240);
    });
    let mut ends = Gauntlet::default();
    for size in bomb.sizes {
        let upload = bomb.of(size);
        let what = format!("{size} {} ({} bytes)", bomb.name, upload.len());
        forget_the_peak();
        let before = memory("VmRSS");
        let ended = host.prepare(&upload, &[], Vec::new()).await;
        let growth = memory("VmHWM").saturating_sub(before);
        assert!(
            growth <= GROWTH,
            "{what}: the server grew by {growth} bytes"
        );
        ends.count(&what, &ended);
        if let Err(CompileError::Refused(refusals)) = &ended {
            assert!(
                refusals
                    .iter()
                    .all(|refusal| ["too_complex", "limit"].contains(&refusal.code.as_str())),
                "{what}: {}",
                ended.unwrap_err()
            );
        }
    }
    let honest = host.push("acme", &testkit::echo()).await;
    assert_eq!(host.call(&honest, &[1.0]).await.unwrap(), [1.0]);
    ends
}

/// The smallest of each shape is a plugin like any other, the largest is not. In a process of its own, whose memory no
/// other test touches: this program again, with this one test.
fn check(test: &str, names: &[&str]) {
    const ALONE: &str = "FORETELL_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let alone = Command::new(std::env::current_exe().unwrap())
            .args([&format!("bombs::{test}"), "--exact", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(
            alone.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&alone.stderr)
        );
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for name in names {
        let bomb = BOMBS.iter().find(|bomb| bomb.name == *name).unwrap();
        let ends = runtime.block_on(explode(bomb));
        assert!(ends.accepted >= 1, "{name}: {ends:?}");
        assert!(ends.refusals() >= 1, "{name}: {ends:?}");
    }
}

#[test]
fn loops_are_bounded() {
    check(
        "loops_are_bounded",
        &["empty loops in one function", "functions of many loops"],
    );
}

#[test]
fn locals_and_branches_are_bounded() {
    check(
        "locals_and_branches_are_bounded",
        &["as many locals as branches in one function"],
    );
}

#[test]
fn values_of_branches_blocks_and_calls_are_bounded() {
    check(
        "values_of_branches_blocks_and_calls_are_bounded",
        &[
            "branches with many values",
            "blocks with many values",
            "calls with many values",
        ],
    );
}

#[test]
fn tangled_functions_are_bounded_together() {
    check(
        "tangled_functions_are_bounded_together",
        &["tangled functions"],
    );
}

#[test]
fn functions_are_bounded() {
    check(
        "functions_are_bounded",
        &["tiny functions", "nested blocks"],
    );
}

#[test]
fn code_is_bounded() {
    check(
        "code_is_bounded",
        &[
            "targets of one branch table",
            "straight code in one function",
        ],
    );
}

#[test]
fn declarations_are_bounded() {
    check(
        "declarations_are_bounded",
        &[
            "globals",
            "types of functions",
            "functions of the component",
        ],
    );
}

#[test]
fn types_and_modules_are_bounded() {
    check(
        "types_and_modules_are_bounded",
        &["tuples of tuples", "lists of lists", "inner modules"],
    );
}

#[test]
fn every_shape_is_tried() {
    let source = include_str!("bombs.rs");
    for bomb in BOMBS {
        assert!(
            source.contains(&format!("\"{}\"", bomb.name)),
            "{}",
            bomb.name
        );
    }
}
