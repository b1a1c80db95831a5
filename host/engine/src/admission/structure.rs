//! How large and how tangled an upload may be.
//!
//! The compiler is quadratic in the loops of a function and in its locals times its branches, so a few kilobytes can cost
//! it minutes and gigabytes. What is counted here is linear to count.

use foretell_types::compile::{Refusal, RefusalCode};
use wasmparser::{FunctionBody, KnownCustom, Name, Parser, Payload, TypeRef};

use self::body::{Body, Types};
use super::{MAX_NAMED, damaged, shown};
use crate::config::{MEMORIES, StructureLimits};

mod body;

/// # Errors
/// Every limit that is passed, with what was found, what is allowed, and for a function which one.
pub(super) fn check(
    bytes: &[u8],
    limits: &StructureLimits,
    memory_bytes: u64,
) -> Result<(), Vec<Refusal>> {
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(bytes) {
        payload
            .and_then(|payload| found.take(payload, limits))
            .map_err(|error| damaged(&error))?;
    }
    let refusals = found.refusals(limits, memory_bytes);
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals)
    }
}

#[derive(Default)]
struct Found {
    modules: u64,
    components: u64,
    instances: u64,
    adapters: u64,
    globals: u64,
    declarations: u64,
    custom_bytes: u64,
    memories: u64,
    memory_bytes: u64,
    tables: u64,
    table_elements: u64,
    functions: u64,
    code_bytes: u64,
    locals_by_branches: u64,
    /// Index that the next body of the current module has, imports counted.
    next_function: u64,
    /// Of the current module.
    types: Types,
    excesses: Vec<Excess>,
}

/// A function beyond a limit.
struct Excess {
    module: u64,
    function: u64,
    limit: &'static str,
    found: u64,
    allowed: u64,
    name: Option<String>,
}

impl Found {
    fn take(&mut self, payload: Payload<'_>, limits: &StructureLimits) -> wasmparser::Result<()> {
        match payload {
            Payload::Version {
                encoding: wasmparser::Encoding::Module,
                ..
            } => {
                self.modules += 1;
                self.next_function = 0;
                self.types = Types::default();
            }
            // The upload itself is one, unless it is a core module.
            Payload::Version {
                encoding: wasmparser::Encoding::Component,
                ..
            } => self.components += 1,
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.declarations += 1;
                    if let TypeRef::Func(index) | TypeRef::FuncExact(index) = import?.ty {
                        self.next_function += 1;
                        self.types.function(index);
                    }
                }
            }
            Payload::FunctionSection(functions) => {
                for index in functions {
                    self.types.function(index?);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    self.memories += 1;
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(16).min(16);
                    self.memory_bytes = self
                        .memory_bytes
                        .saturating_add(memory.initial.saturating_mul(page));
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.tables += 1;
                    self.table_elements = self.table_elements.saturating_add(table?.ty.initial);
                }
            }
            Payload::InstanceSection(instances) => self.instances += u64::from(instances.count()),
            Payload::ComponentInstanceSection(instances) => {
                self.instances += u64::from(instances.count())
            }
            Payload::ComponentCanonicalSection(functions) => {
                self.adapters += u64::from(functions.count())
            }
            Payload::TypeSection(types) => {
                self.declarations += u64::from(types.count());
                self.types.declare(types)?;
            }
            Payload::GlobalSection(globals) => self.globals += u64::from(globals.count()),
            Payload::ExportSection(exports) => self.declarations += u64::from(exports.count()),
            Payload::ElementSection(elements) => self.declarations += u64::from(elements.count()),
            Payload::DataSection(data) => self.declarations += u64::from(data.count()),
            Payload::ComponentTypeSection(types) => self.declarations += u64::from(types.count()),
            Payload::CoreTypeSection(types) => self.declarations += u64::from(types.count()),
            Payload::ComponentAliasSection(aliases) => {
                self.declarations += u64::from(aliases.count())
            }
            Payload::ComponentImportSection(imports) => {
                self.declarations += u64::from(imports.count())
            }
            Payload::ComponentExportSection(exports) => {
                self.declarations += u64::from(exports.count())
            }
            Payload::CodeSectionEntry(body) => self.body(&body, limits)?,
            Payload::CustomSection(section) => {
                self.custom_bytes = self
                    .custom_bytes
                    .saturating_add(section.data().len() as u64);
                if !self.excesses.is_empty()
                    && let KnownCustom::Name(names) = section.as_known()
                {
                    // Names are for messages: damaged ones are no reason to refuse.
                    let _ = self.name_excesses(names);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn body(
        &mut self,
        body: &FunctionBody<'_>,
        limits: &StructureLimits,
    ) -> wasmparser::Result<()> {
        let Body {
            loops,
            nesting,
            targets_of_tables,
            tangle,
        } = Body::read(body, self.next_function, &self.types)?;
        let size = body.as_bytes().len() as u64;
        for (limit, found, allowed) in [
            ("bytes of one function", size, limits.body_bytes),
            ("loops of one function", loops, limits.loops),
            (
                "blocks of one function within each other",
                nesting,
                limits.nesting,
            ),
            (
                "targets of the branch tables of one function",
                targets_of_tables,
                limits.branch_targets,
            ),
            (
                "locals x branches of one function",
                tangle,
                limits.locals_by_branches,
            ),
        ] {
            if found > allowed && self.excesses.len() < MAX_NAMED {
                let (module, function) = (self.modules.saturating_sub(1), self.next_function);
                self.excesses.push(Excess {
                    module,
                    function,
                    limit,
                    found,
                    allowed,
                    name: None,
                });
            }
        }
        self.functions += 1;
        self.next_function += 1;
        self.code_bytes = self.code_bytes.saturating_add(size);
        self.locals_by_branches = self.locals_by_branches.saturating_add(tangle);
        Ok(())
    }

    /// The name section comes after the code of its module.
    fn name_excesses(
        &mut self,
        names: wasmparser::NameSectionReader<'_>,
    ) -> wasmparser::Result<()> {
        let module = self.modules.saturating_sub(1);
        for names in names {
            let Name::Function(map) = names? else {
                continue;
            };
            for naming in map {
                let naming = naming?;
                for excess in &mut self.excesses {
                    if excess.module == module && excess.function == u64::from(naming.index) {
                        excess.name = Some(shown(naming.name));
                    }
                }
            }
        }
        Ok(())
    }

    fn refusals(self, limits: &StructureLimits, memory_bytes: u64) -> Vec<Refusal> {
        let totals = [
            ("functions", self.functions, limits.functions),
            ("bytes of code", self.code_bytes, limits.code_bytes),
            (
                "locals x branches",
                self.locals_by_branches,
                limits.total_locals_by_branches,
            ),
            ("inner modules", self.modules, limits.modules),
            // Its own is none.
            (
                "inner components",
                self.components.saturating_sub(1),
                limits.components,
            ),
            ("component functions", self.adapters, limits.adapters),
            ("globals", self.globals, limits.globals),
            ("declarations", self.declarations, limits.declarations),
            (
                "bytes of custom sections",
                self.custom_bytes,
                limits.custom_bytes,
            ),
            ("instances", self.instances, limits.instances),
            ("memories", self.memories, MEMORIES.into()),
            ("tables", self.tables, limits.tables),
            ("table elements", self.table_elements, limits.table_elements),
        ];
        let mut refusals: Vec<_> = totals
            .into_iter()
            .filter(|(_, found, allowed)| found > allowed)
            .map(|(limit, found, allowed)| {
                Refusal::new(
                    RefusalCode::TooComplex,
                    limit,
                    format!("{found} found, {allowed} allowed"),
                )
            })
            .collect();
        refusals.extend(self.excesses.into_iter().map(|excess| {
            let Excess { module, function, limit, found, allowed, name } = excess;
            let name = name.map(|name| format!(" (`{name}`)")).unwrap_or_default();
            let message =
                format!("{found} found in function {function}{name} of module {module}, {allowed} allowed; split it");
            Refusal::new(RefusalCode::TooComplex, limit, message)
        }));
        if self.memory_bytes > memory_bytes {
            let message = format!(
                "it begins with {} MiB of memory, {} MiB are allowed; raise `memory_mib` or begin smaller",
                self.memory_bytes.div_ceil(1 << 20),
                memory_bytes >> 20
            );
            refusals.push(Refusal::new(RefusalCode::Limit, "memory", message));
        }
        refusals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(wat: &str) -> Vec<String> {
        let bytes = wat::parse_str(wat).unwrap();
        let limits = StructureLimits::default();
        check(&bytes, &limits, 1 << 20)
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_function_of_too_many_loops_is_named() {
        let loops = "(loop)".repeat(2_049);
        let wat = format!("(module (import \"a\" \"b\" (func)) (func) (func $tangled {loops}))");
        assert_eq!(
            refusals(&wat),
            [
                "too_complex: loops of one function: 2049 found in function 2 (`tangled`) of module 0, 2048 allowed; split it"
            ]
        );
    }

    #[test]
    fn locals_times_branches_are_counted_with_the_targets_of_tables() {
        let wat = format!(
            "(module (func {} (br_table {} (i32.const 0))))",
            "(local i32)".repeat(2_000),
            "0 ".repeat(2_001)
        );
        let found = refusals(&wat);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("locals x branches of one function: 4002000 found"),
            "{}",
            found[0]
        );
    }

    #[test]
    fn the_values_that_branches_blocks_and_calls_carry_are_counted() {
        let (values, drops) = ("i32.const 0 ".repeat(1_000), "drop ".repeat(1_000));
        let wide = "i32 ".repeat(1_000);
        let branches = "i32.const 0 br_if 0 ".repeat(2_001);
        let many = |text: &str| text.repeat(2_001);
        for inner in [
            format!("block (type $wide) {branches} end"),
            many("block (type $wide) end "),
            many("loop (type $wide) end ").replacen("loop", "block", 1_000),
            many("call $wide "),
            many("i32.const 0 call_indirect (type $wide) "),
        ] {
            let found = refusals(&format!(
                "(module (type $wide (func (param {wide}) (result {wide})))
                   (import \"a\" \"b\" (func $wide (type $wide))) (table 1 funcref)
                   (func {values} {inner} {drops}))"
            ));
            assert_eq!(found.len(), 1, "{found:?}");
            let subject = "too_complex: locals x branches of one function: 200";
            assert!(found[0].starts_with(subject), "{}", found[0]);
        }
    }

    #[test]
    fn blocks_within_each_other_are_bounded_and_those_beside_are_not() {
        let nested = |blocks: usize| {
            let (begins, ends) = ("block ".repeat(blocks), "end ".repeat(blocks));
            refusals(&format!("(module (func {begins} {ends} {begins} {ends}))"))
        };
        assert_eq!(nested(10_000), [""; 0]);
        let found = nested(10_001);
        assert!(
            found[0].contains("within each other: 10001 found"),
            "{found:?}"
        );
    }

    #[test]
    fn every_passed_limit_is_a_refusal_of_its_own() {
        let wat = "(module (memory 17) (table 100001 funcref))";
        assert_eq!(
            refusals(wat),
            [
                "too_complex: table elements: 100001 found, 100000 allowed",
                "limit: memory: it begins with 2 MiB of memory, 1 MiB are allowed; raise `memory_mib` or begin smaller",
            ]
        );
    }

    #[test]
    fn the_targets_of_branch_tables_are_bounded_without_locals_too() {
        let table = |targets| format!("(br_table {} (i32.const 0))", "0 ".repeat(targets));
        let wat = |targets| format!("(module (func {} {}))", table(60_000), table(targets));
        assert_eq!(
            refusals(&wat(5_537)),
            [
                "too_complex: targets of the branch tables of one function: 65537 found in function 0 of module 0, 65536 \
                 allowed; split it"
            ]
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        );
        assert_eq!(refusals(&wat(5_536)), Vec::<String>::new());
    }

    #[test]
    fn custom_sections_are_bounded_wherever_they_stand() {
        let limits = StructureLimits {
            custom_bytes: 20,
            ..StructureLimits::default()
        };
        let custom = |bytes: usize| format!("(@custom \"c\" \"{}\")", "x".repeat(bytes));
        let component = |inner, outer| {
            let text = format!(
                "(component (core module {}) {})",
                custom(inner),
                custom(outer)
            );
            check(&wat::parse_str(text).unwrap(), &limits, 1 << 20)
        };
        assert_eq!(component(10, 10), Ok(()));
        let refusals = component(10, 11).unwrap_err();
        assert_eq!(
            refusals[0].to_string(),
            "too_complex: bytes of custom sections: 21 found, 20 allowed"
        );
    }

    #[test]
    fn what_is_only_declared_is_counted_too() {
        let limits = StructureLimits {
            globals: 4,
            declarations: 4,
            components: 1,
            adapters: 1,
            ..StructureLimits::default()
        };
        let found = |text: &str| {
            let refusals = check(&wat::parse_str(text).unwrap(), &limits, 1 << 20);
            let refusals = refusals.err().unwrap_or_default().into_iter();
            refusals
                .map(|refusal| format!("{}: {}", refusal.subject, refusal.message))
                .collect::<Vec<_>>()
        };
        let many = |thing: &str, count| format!("(module {})", thing.repeat(count));
        for (thing, name) in [
            ("(global i32 (i32.const 0))", "globals"),
            ("(type (func (param i32)))", "declarations"),
        ] {
            assert_eq!(found(&many(thing, 4)), [""; 0]);
            let expected = format!("{name}: 5 found, 4 allowed");
            assert_eq!(found(&many(thing, 5)), [expected]);
        }
        assert_eq!(found("(component (component))"), [""; 0]);
        assert_eq!(
            found("(component (component) (component))"),
            ["inner components: 2 found, 1 allowed"]
        );
        let resource = "(type (resource (rep i32))) (core func (canon resource.rep 0))";
        assert_eq!(
            found(&format!(
                "(component {resource} (core func (canon resource.rep 0)))"
            )),
            ["component functions: 2 found, 1 allowed"]
        );
    }

    #[test]
    fn a_function_is_named_without_the_control_characters_of_its_name() {
        let loops = "(loop)".repeat(2_049);
        let found = refusals(&format!("(module (func $\"a\\n\\1b[2J\" {loops}))"));
        assert!(found[0].contains("(`a\\n\\u{1b}[2J`)"), "{}", found[0]);
    }

    #[test]
    fn inner_modules_and_instances_are_counted() {
        let modules: String = (0..65)
            .map(|i| format!("(core module $m{i}) (core instance (instantiate $m{i}))"))
            .collect();
        let found = refusals(&format!("(component {modules})"));
        assert_eq!(
            found,
            [
                "too_complex: inner modules: 65 found, 64 allowed",
                "too_complex: instances: 65 found, 64 allowed"
            ]
        );
    }

    #[test]
    fn four_gib_of_initial_memory_are_refused() {
        assert!(
            refusals("(module (memory 65536))")[0]
                .starts_with("limit: memory: it begins with 4096 MiB")
        );
    }
}
