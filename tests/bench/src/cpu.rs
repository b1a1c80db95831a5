//! What processes have spent of the processor, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// Time that all living threads of these processes have run. A process that is gone counts as nothing.
pub fn time_of(processes: &[u32]) -> Duration {
    let tasks = processes
        .iter()
        .filter_map(|id| fs::read_dir(format!("/proc/{id}/task")).ok())
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| running(&fs::read_to_string(task.path().join("schedstat")).ok()?))
        .sum()
}

/// Time that this thread has run.
pub fn time_of_this_thread() -> Duration {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| running(&text))
        .unwrap_or_default()
}

/// The process and its descendants.
pub fn family(process: u32) -> Vec<u32> {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
    let mut family = vec![process];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        family.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// The parent: the second field behind the program's name, which stands in brackets and may hold any character.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}

/// The first of three numbers: nanoseconds on a processor.
fn running(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_is_seen() {
        let before = (time_of_this_thread(), time_of(&[std::process::id()]));
        let mut sum = 0_u64;
        while time_of_this_thread() < before.0 + Duration::from_millis(20) {
            sum = (0..10_000).fold(sum, |sum, next| std::hint::black_box(sum ^ next));
        }
        assert!(time_of(&[std::process::id()]) >= before.1 + Duration::from_millis(10));
        assert_eq!(time_of(&[u32::MAX]), Duration::ZERO);
    }

    #[test]
    fn children_belong_to_the_family() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let family = family(std::process::id());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(family.contains(&child.id()), "{family:?}");
    }
}
