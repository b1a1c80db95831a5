//! Things to store. Numbers stand for names, so that tests can count.

use std::fmt::Debug;
use std::sync::Arc;

use foretell_types::run::Isolation;
use foretell_types::signature::{
    Bounds, Column, Domain, Example, Input, Output, Promises, Role, Vocabulary,
};
use foretell_types::tensor::Blobs;
use foretell_types::{
    Datatype, Digest, Elements, ModelName, ModelVersion, PluginDigest, Signature, TenantId, Tensor,
    VersionDigest,
};

use crate::port::UnixMs;
use crate::{
    Act, AuditKey, AuditQuery, Entry, EntryOf, NewVersion, Page, Runtime, Stores, TenantRecord,
};

/// A time like those of today, to see that nothing is cut to 32 bits.
pub(super) const NOW: UnixMs = 1_795_000_000_123;

/// A key that every backend of the suite seals its audit log with.
pub fn audit_key() -> AuditKey {
    AuditKey::new(&[0; 32])
}

/// What is recorded of an act whose record is not looked at.
pub fn recorded() -> Entry {
    Entry {
        at: NOW,
        tenant: None,
        actor: "server".into(),
        act: Act::CachePurge,
        object: String::new(),
        outcome: "ok".into(),
        request_id: None,
        origin: None,
        detail: "{}".into(),
        once: None,
    }
}

/// The same, whatever was before.
pub fn recorded_of<Before>() -> EntryOf<Before> {
    Arc::new(|_| recorded())
}

/// What is recorded where it tells what was there before, or what was done.
pub(super) fn telling<T: Debug + 'static>() -> EntryOf<T> {
    Arc::new(|of: &T| Entry {
        detail: format!("{of:?}"),
        ..recorded()
    })
}

/// The last row of the log.
pub(super) async fn newest(stores: &Stores) -> Entry {
    let (query, page) = (AuditQuery::default(), Page::Before(None));
    let page = stores.audit.page(&query, page, 1).await;
    page.unwrap().remove(0).entry
}

/// The name of tenant `n`, in the order of `n` up to 9.
pub fn tenant(n: u8) -> TenantId {
    TenantId::parse(&format!("tenant-{n}")).unwrap()
}

/// The name of model `n`, in the order of `n` up to 9.
pub fn model(n: u8) -> ModelName {
    ModelName::parse(&format!("Model_{n}.x")).unwrap()
}

/// The name of version `n`.
pub fn version_name(n: u8) -> ModelVersion {
    ModelVersion::parse(&n.to_string()).unwrap()
}

/// Version `number` of model `name`, with content `content`: equal numbers, equal versions.
pub fn version(name: u8, number: u8, content: u8) -> NewVersion {
    NewVersion {
        model: model(name),
        version: version_name(number),
        digest: VersionDigest(Digest::from_bytes([content; 32])),
        plugin: PluginDigest(Digest::from_bytes([content ^ 0x55; 32])),
        artifact: (content.is_multiple_of(2)).then(|| Digest::from_bytes([content ^ 0xAA; 32])),
        settings: format!("{{\"content\":{content},\"text\":\"é\\u0000'\"}}"),
        runtime: Runtime {
            isolation: if content.is_multiple_of(3) {
                Isolation::Reuse
            } else {
                Isolation::Fresh
            },
            deadline_ms: u32::MAX,
            memory_mib: 128,
            max_rows: u32::from(content),
            cache: content % 2 == 1,
        },
        signature: signature(content),
        bytes: (1 << 40) + u64::from(content),
        created_at: NOW + i64::from(content),
    }
}

/// Creates tenants 1 to `count`.
pub(super) async fn create_tenants(stores: &Stores, count: u8) {
    for n in 1..=count {
        stores
            .tenants
            .create(
                &TenantRecord {
                    id: tenant(n),
                    created_at: NOW,
                },
                &recorded(),
            )
            .await
            .unwrap();
    }
}

/// One with everything that has a stored form of its own: open bounds, absent values, each kind of elements.
///
/// NaN is left out of what is compared, because it equals nothing; the tests of the stored form in `foretell-types`
/// have it.
fn signature(content: u8) -> Signature {
    let columns = [
        Domain::Real(Bounds {
            min: f64::NEG_INFINITY,
            max: 0.1,
        }),
        Domain::Integer(Bounds {
            min: -3.0,
            max: f64::INFINITY,
        }),
        Domain::Truth,
        Domain::Category(Vocabulary {
            values: vec!["a, \"b\"".into(), "ü".into()],
            unseen: Some(-1.0),
        }),
    ];
    let columns = columns.into_iter().enumerate().map(|(i, domain)| Column {
        name: format!("column {i}"),
        doc: String::new(),
        domain,
        absent: (i == 0).then_some(f64::NEG_INFINITY),
    });
    let mut strings = Blobs::default();
    assert!(strings.push(b"\0\xff") && strings.push(b""));
    let elements = [
        Elements::Bool(vec![0, 1]),
        Elements::Uint64(vec![0, u64::MAX]),
        Elements::Int64(vec![i64::MIN, i64::MAX]),
        Elements::Fp16(vec![1, u16::MAX]),
        Elements::Fp32(vec![f32::MIN_POSITIVE, 16_777_217.0]),
        Elements::Fp64(vec![0.1 + 0.2, f64::INFINITY]),
        Elements::Bytes(strings),
    ];
    let outputs = elements.iter().map(|elements| Output {
        name: elements.datatype().as_str().to_owned(),
        doc: "an output".to_owned(),
        datatype: elements.datatype(),
        shape: vec![2],
        role: Role::Other,
        classes: vec!["one".to_owned()],
    });
    Signature {
        doc: format!("signature {content}"),
        inputs: vec![Input {
            name: "features".to_owned(),
            doc: String::new(),
            datatype: Datatype::Fp64,
            shape: vec![-1, 4],
            columns: columns.collect(),
        }],
        outputs: outputs.collect(),
        examples: vec![Example {
            name: "one".to_owned(),
            inputs: vec![
                Tensor::new(vec![1, 4], Elements::Fp64(vec![0.0, 1.0, 1.0, -1.0])).unwrap(),
            ],
            outputs: elements
                .into_iter()
                .map(|elements| Tensor::new(vec![2], elements).unwrap())
                .collect(),
            tolerance: 1e-9,
        }],
        promises: Promises {
            deterministic: true,
            independent_rows: content.is_multiple_of(2),
        },
    }
}
