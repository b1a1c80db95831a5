//! What uploads by the hundred are made of, and how their ends are counted.

use std::collections::BTreeMap;
use std::fmt;

use foretell_types::compile::{CompileError, Refusal};
use wasmparser::{Parser, Payload};

/// How many uploads ended how. A run in which all were refused for one reason has tested that reason, and nothing else:
/// a test looks at these numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Gauntlet {
    /// Made runnable.
    pub accepted: usize,
    /// Refused, by the code of the first reason.
    pub refused: BTreeMap<&'static str, usize>,
}

impl Gauntlet {
    /// Counts one end.
    ///
    /// # Panics
    /// If it is no end that an upload may have: trouble of ours, or a refusal without a reason.
    pub fn count<T>(&mut self, what: impl fmt::Display, ended: &Result<T, CompileError>) {
        match ended {
            Ok(_) => self.accepted += 1,
            Err(CompileError::Refused(refusals)) => self.count_refusals(what, refusals),
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Counts a refusal.
    ///
    /// # Panics
    /// If it has no reason.
    pub fn count_refusals(&mut self, what: impl fmt::Display, refusals: &[Refusal]) {
        let Some(first) = refusals.first() else {
            panic!("{what}: refused without a reason");
        };
        *self.refused.entry(first.code.as_str()).or_default() += 1;
    }

    /// All that were refused.
    pub fn refusals(&self) -> usize {
        self.refused.values().sum()
    }

    /// Refused with this code first.
    pub fn refused_as(&self, code: &str) -> usize {
        self.refused.get(code).copied().unwrap_or_default()
    }
}

/// The first bytes of a file, so many cuts spread over all offsets.
pub fn truncations(whole: &[u8], cuts: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..cuts).map(move |cut| {
        let at = whole.len() * cut / cuts;
        whole.get(..at).unwrap_or_default().to_vec()
    })
}

/// Files with one bit of another value, so many spread over all bits; a seed shifts them.
pub fn bit_flips(whole: &[u8], flips: usize, seed: usize) -> impl Iterator<Item = Vec<u8>> {
    let bits = whole.len() * 8;
    (0..flips).map(move |flip| {
        let mut damaged = whole.to_vec();
        // A prime step visits every bit before any twice, unless it divides their number.
        let bit = (seed + flip) * 1_000_003 % bits;
        if let Some(byte) = damaged.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        damaged
    })
}

/// A plugin with a core module beside its own, instantiated with every instance of the plugin.
pub fn beside_module(plugin: &[u8], module: &[u8]) -> Vec<u8> {
    let modules = top_level(plugin, |payload| {
        matches!(payload, Payload::ModuleSection { .. })
    });
    append(plugin, (1, 2), module, modules)
}

/// A plugin with a component within it, instantiated with every instance of the plugin.
pub fn beside_component(plugin: &[u8], component: &[u8]) -> Vec<u8> {
    let components = top_level(plugin, |payload| {
        matches!(payload, Payload::ComponentSection { .. })
    });
    append(plugin, (4, 5), component, components)
}

/// The section of what is added, and the section that instantiates it by its index, without arguments.
fn append(plugin: &[u8], (content, instance): (u8, u8), added: &[u8], index: u32) -> Vec<u8> {
    let mut whole = plugin.to_vec();
    whole.push(content);
    whole.extend(leb128(added.len()));
    whole.extend(added);
    let mut instances = vec![1, 0];
    instances.extend(leb128(index as usize));
    instances.push(0);
    whole.push(instance);
    whole.extend(leb128(instances.len()));
    whole.extend(instances);
    whole
}

/// How many such parts the component itself has, not one within it.
fn top_level(component: &[u8], is_one: impl Fn(&Payload<'_>) -> bool) -> u32 {
    let (mut depth, mut count) = (0_u32, 0);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.unwrap();
        count += u32::from(depth == 0 && is_one(&payload));
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    count
}

/// A number as WebAssembly writes it.
pub fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{admit, echo};

    #[test]
    fn what_stands_beside_a_plugin_leaves_it_a_plugin() {
        let module = wat::parse_str("(module)").unwrap();
        let component = wat::parse_str("(component (core module))").unwrap();
        let mut plugin = echo();
        for _ in 0..3 {
            plugin = beside_component(&beside_module(&plugin, &module), &component);
        }
        assert_eq!(admit(plugin.clone()).unwrap(), plugin);
    }

    #[test]
    fn flips_change_one_bit_each_and_cuts_shorten() {
        let whole = [0_u8; 100];
        let ones = bit_flips(&whole, 800, 7).inspect(|flipped| {
            let ones = flipped.iter().map(|byte| byte.count_ones()).sum::<u32>();
            assert_eq!(ones, 1);
        });
        let all: std::collections::BTreeSet<_> = ones.collect();
        assert_eq!(all.len(), 800, "no bit twice");
        let lengths: Vec<_> = truncations(&whole, 4).map(|cut| cut.len()).collect();
        assert_eq!(lengths, [0, 25, 50, 75]);
    }
}
