use std::sync::OnceLock;

use async_trait::async_trait;
use foretell_store::{Act, EntryOf, StoreError, Stores, TenantRecord};
use foretell_types::signature::{Input, NamedTensor};
use foretell_types::{Datatype, Elements};

use super::*;
use crate::manage::acts;
use crate::registry::testing::target;
use crate::{CacheUse, Credentials};

/// A store that is away for the next calls of each kind, and counts what it was given.
struct Flaky {
    recordings: Arc<dyn Recordings>,
    keys_faults: AtomicUsize,
    insert_faults: AtomicUsize,
    batches: Mutex<Vec<usize>>,
}

fn fault(left: &AtomicUsize) -> Result<(), StoreError> {
    let less = |left: usize| left.checked_sub(1);
    match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
        Ok(_) => Err(StoreError::Unavailable("away".into())),
        Err(_) => Ok(()),
    }
}

#[async_trait]
impl Recordings for Flaky {
    async fn keys(
        &self,
        wanted: Arc<Vec<SubjectKey>>,
    ) -> Result<Vec<Option<WrappedKey>>, StoreError> {
        fault(&self.keys_faults)?;
        self.recordings.keys(wanted).await
    }

    async fn insert(&self, recordings: Arc<Vec<Recording>>) -> Result<u64, StoreError> {
        fault(&self.insert_faults)?;
        self.batches.lock().unwrap().push(recordings.len());
        self.recordings.insert(recordings).await
    }

    async fn find(
        &self,
        tenant: &TenantId,
        request_id: &RequestId,
    ) -> Result<Option<RecordingRow>, StoreError> {
        self.recordings.find(tenant, request_id).await
    }

    async fn page(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        after: u64,
        most: PageSize,
    ) -> Result<Vec<RecordingRow>, StoreError> {
        self.recordings.page(tenant, subject, after, most).await
    }

    async fn erase(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        entry: EntryOf<u64>,
    ) -> Result<u64, StoreError> {
        self.recordings.erase(tenant, subject, entry).await
    }
}

struct Bench {
    recorder: Recorder,
    stores: Stores,
    flaky: Arc<Flaky>,
    target: Arc<Target>,
}

impl Bench {
    /// Over a store with the tenant `a`, which is away so often for keys, and so often for recordings.
    async fn new(keys_faults: usize, insert_faults: usize) -> Self {
        let stores = foretell_store::memory::stores();
        let record = TenantRecord {
            id: TenantId::parse("a").unwrap(),
            created_at: 0,
        };
        let entry = acts::by_server(0, None, Act::TenantCreate, String::new());
        stores.tenants.create(&record, &entry).await.unwrap();
        let flaky = Arc::new(Flaky {
            recordings: Arc::clone(&stores.recordings),
            keys_faults: keys_faults.into(),
            insert_faults: insert_faults.into(),
            batches: Mutex::default(),
        });
        let pepper = Pepper::new(&[7; 32]);
        let retention = Arc::clone(&stores.retention);
        let recorder = Recorder::new(Arc::clone(&flaky) as _, retention, &pepper);
        Self {
            recorder,
            stores,
            flaky,
            target: Arc::new(of_tenant("a")),
        }
    }

    /// Takes the recording of a request of so many elements.
    fn keep(&self, target: &Arc<Target>, request: &str, elements: u32) {
        let inputs = inputs(target, elements);
        let draft = self.recorder.draft(&call(request), target, &inputs);
        if let Some(complete) = draft.unwrap().and_then(|draft| draft.answered(&[])) {
            self.recorder.keep(complete, 1);
        }
    }

    async fn write(&self) -> bool {
        self.recorder.gather().await;
        self.recorder.write().await.is_ok()
    }

    async fn has(&self, request: &str) -> bool {
        let request = RequestId::parse(request).unwrap();
        let tenant = TenantId::parse("a").unwrap();
        let found = self.recorder.find(&tenant, &request).await.unwrap();
        found.is_some_and(|recorded| recorded.content.is_ok())
    }

    /// Nothing waits any more, and nothing holds room.
    fn is_at_rest(&self) -> bool {
        self.recorder.is_idle() && self.recorder.held.lock().unwrap().all == 0
    }

    fn batches(&self) -> Vec<usize> {
        self.flaky.batches.lock().unwrap().clone()
    }
}

fn of_tenant(tenant: &str) -> Target {
    let input = Input {
        name: "x".into(),
        doc: String::new(),
        datatype: Datatype::Uint8,
        shape: vec![-1],
        columns: vec![],
    };
    target(tenant, 1, vec![input])
}

fn tensor(elements: u32) -> Tensor {
    let bytes = vec![1; elements as usize];
    Tensor::new(vec![elements], Elements::Uint8(bytes)).unwrap()
}

fn inputs(target: &Target, elements: u32) -> Checked {
    let input = NamedTensor {
        name: "x".into(),
        tensor: tensor(elements),
    };
    target.signature.check(vec![input]).unwrap()
}

fn call(request: &str) -> Call {
    Call {
        request_id: RequestId::parse(request).unwrap(),
        credentials: Credentials::default(),
        prefix: None,
        cache: CacheUse::default(),
        idempotency_key: None,
        subject: None,
        address: None,
        rate: OnceLock::new(),
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_kept_and_written_once() {
    let bench = Bench::new(1, 1).await;
    for request in ["one", "two"] {
        bench.keep(&bench.target, request, 10);
    }
    assert!(!bench.write().await, "no keys");
    bench.keep(&bench.target, "three", 10);
    assert!(!bench.write().await, "sealed, and not written");
    assert!(!bench.is_at_rest() && !bench.has("one").await);
    assert!(bench.write().await);
    assert_eq!(bench.batches(), [3]);
    for request in ["one", "two", "three"] {
        assert!(bench.has(request).await, "{request}");
    }
    assert!(bench.is_at_rest());
    assert!(
        bench.write().await && bench.batches().len() == 1,
        "nothing is left"
    );
}

#[tokio::test]
async fn batches_are_bounded_by_their_number_and_by_their_bytes() {
    let bench = Bench::new(0, 0).await;
    for _ in 0..2_500 {
        bench.keep(&bench.target, "small", 1);
    }
    for _ in 0..3 {
        bench.keep(&bench.target, "large", 3 << 20);
    }
    assert!(bench.write().await && bench.is_at_rest());
    assert_eq!(bench.batches(), [1_000, 1_000, 502, 1]);
}

#[tokio::test]
async fn what_is_too_large_for_any_store_is_not_recorded_and_holds_up_nobody() {
    let bench = Bench::new(0, 0).await;
    bench.keep(&bench.target, "inputs", (64 << 20) + 1);
    let inputs = inputs(&bench.target, 1);
    let draft = bench
        .recorder
        .draft(&call("outputs"), &bench.target, &inputs);
    let outputs = tensor(64 << 20);
    assert!(draft.unwrap().unwrap().answered(&[outputs]).is_none());
    assert!(bench.write().await && bench.is_at_rest());
    assert!(bench.batches().is_empty());
}

#[tokio::test]
async fn room_is_given_back_by_what_is_not_kept_too() {
    let bench = Bench::new(0, 0).await;
    let held = || bench.recorder.held.lock().unwrap().all;
    let tenant = |name| TenantId::parse(name).unwrap();
    let room = |name, bytes| Room::of(&bench.recorder.held, &tenant(name), bytes);
    let first = room("a", MAX_WAITING_BYTES_OF_TENANT - 1).unwrap();
    let mut last = room("a", 1_000).unwrap();
    last.grow(10);
    assert_eq!(held(), MAX_WAITING_BYTES_OF_TENANT + 1_009);
    assert!(room("a", 0).is_none(), "beyond its share");
    let others = ["b", "c", "d"].map(|name| room(name, MAX_WAITING_BYTES_OF_TENANT).unwrap());
    assert!(room("e", 0).is_none(), "beyond the bound of all");
    drop((last, others));
    assert!(room("a", 0).is_some() && room("e", 0).is_some());
    drop(first);
    assert_eq!(held(), 0);
    assert!(bench.recorder.held.lock().unwrap().of.is_empty());
}

#[tokio::test]
async fn who_is_erased_between_sealing_and_writing_is_not_written() {
    let bench = Bench::new(0, 1).await;
    bench.keep(&bench.target, "one", 10);
    assert!(!bench.write().await);
    let tenant = TenantId::parse("a").unwrap();
    let nobody = bench.recorder.pseudonym(&tenant, "");
    let entry: EntryOf<u64> =
        Arc::new(|_| acts::by_server(0, None, Act::SubjectErase, String::new()));
    let erased = bench.stores.recordings.erase(&tenant, &nobody, entry).await;
    assert_eq!(erased.unwrap(), 0);
    assert!(bench.write().await && bench.is_at_rest());
    assert!(!bench.has("one").await);
}

#[tokio::test]
async fn who_has_no_key_holds_up_nobody() {
    let bench = Bench::new(0, 0).await;
    // A tenant that is gone, and a person whose key was changed.
    bench.keep(&Arc::new(of_tenant("gone")), "one", 10);
    let record = TenantRecord {
        id: TenantId::parse("b").unwrap(),
        created_at: 0,
    };
    let entry = acts::by_server(0, None, Act::TenantCreate, String::new());
    bench.stores.tenants.create(&record, &entry).await.unwrap();
    let target = Arc::new(of_tenant("b"));
    let key = SubjectKey {
        tenant: target.tenant.clone(),
        subject: bench.recorder.pseudonym(&target.tenant, ""),
        wrapped: vec![0; 76].into(),
        created_at: 0,
    };
    let set = bench.stores.recordings.keys(Arc::new(vec![key])).await;
    assert_eq!(set.unwrap().len(), 1);
    bench.keep(&target, "two", 10);
    bench.keep(&bench.target, "three", 10);
    assert!(bench.write().await && bench.is_at_rest());
    assert_eq!(bench.batches(), [1]);
    assert!(bench.has("three").await);
}
