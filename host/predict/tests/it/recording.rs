//! Predictions that are recorded for tenants that want it: sealed, run again, handed out, erased, and let go in time.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_predict::account::MICRO;
use foretell_predict::manage::{Act, AuditQuery, AuditRecord, Page, RecordingPolicy};
use foretell_predict::{
    CacheLimits, CacheUse, Cached, Call, Changed, Governance, Inputs, Limits, ModelRef,
    PredictError, Recorded, Records, Subject, Urgency, WhenFull,
};
use foretell_store::{AuditKey, PageSize, Recording, Stores};
use foretell_types::signature::NamedTensor;
use foretell_types::{Elements, ErrorKind, RequestId, TenantId, Tensor};
use serde_json::Value;
use tokio::time::timeout;

use crate::house::{House, OPERATOR, Ready, call, on, vector};

pub(crate) const OWNER: &[&str] = &["infer", "models", "keys", "usage", "audit"];
pub(crate) const ON: RecordingPolicy = RecordingPolicy {
    enabled: true,
    days: 30,
};
/// Whatever takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Values and names that stand nowhere but where they were sent.
const CANARY: f64 = 77.123_456_789;
pub(crate) const ADA: &str = "ada.lovelace@example.org";

/// A house over these stores with tenant `a`, its model `m` that is run each time, its model `same` that is cached, and its
/// owner's key. Nothing is recorded yet.
async fn house_over(stores: Stores, records: Records) -> (House, String) {
    let (limits, cache) = (Limits::default(), CacheLimits::default());
    let governance = Governance::unlimited();
    let house = House::over(stores, limits, cache, governance, records, vec![]).await;
    let key = house.tenant("a", OWNER).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    house.push(&key, "same", "1", b"same").await.unwrap();
    (house, key)
}

async fn house() -> (House, String) {
    house_over(foretell_store::memory::stores(), Records::default()).await
}

/// The same, recording.
pub(crate) async fn recording() -> (House, String) {
    let (house, key) = house().await;
    record(&house, &key, ON).await;
    (house, key)
}

pub(crate) async fn record(house: &House, key: &str, policy: RecordingPolicy) {
    let set = house.manager.set_recording(&call(key), policy).await;
    assert_eq!(set.unwrap(), policy);
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// A call of this request, about this person; the empty text names nobody.
pub(crate) fn about(key: &str, request: &str, subject: &str) -> Call {
    Call {
        request_id: RequestId::parse(request).unwrap(),
        subject: (!subject.is_empty()).then(|| Subject::parse(subject).unwrap()),
        ..call(key)
    }
}

pub(crate) async fn export(house: &House, key: &str, subject: &str) -> Vec<Recorded> {
    let manager = &house.manager;
    let page = manager.export_subject(&call(key), subject, 0, 1_000).await;
    page.unwrap()
}

pub(crate) async fn count(house: &House, key: &str) -> u64 {
    let preview = house.manager.retention_preview(&call(key)).await;
    preview.unwrap().recordings
}

pub(crate) async fn replay_error(house: &House, key: &str, request: &str) -> PredictError {
    let replayed = house.predictor.replay(&call(key), request).await;
    replayed.unwrap_err()
}

/// All rows of tenant `a` of an act, oldest first.
pub(crate) async fn rows(house: &House, act: Act) -> Vec<AuditRecord> {
    let query = AuditQuery {
        act: Some(act),
        ..AuditQuery::default()
    };
    let page = house
        .manager
        .audit(&on(OPERATOR, "a"), query, Page::After(0), 1_000)
        .await;
    page.unwrap()
}

pub(crate) fn detail(row: &AuditRecord) -> Value {
    serde_json::from_str(&row.entry.detail).unwrap()
}

/// The one number of each tensor's only row.
pub(crate) fn numbers(tensors: &[NamedTensor]) -> Vec<(&str, f64)> {
    let number = |named: &NamedTensor| named.tensor.elements().number(0).unwrap();
    tensors
        .iter()
        .map(|named| (named.name.as_str(), number(named)))
        .collect()
}

/// What the store holds of a request.
pub(crate) async fn stored(house: &House, tenant_name: &str, request: &str) -> Recording {
    let request = RequestId::parse(request).unwrap();
    let found = house
        .stores
        .recordings
        .find(&tenant(tenant_name), &request)
        .await;
    found.unwrap().unwrap().recording
}

#[tokio::test]
async fn nothing_is_recorded_unless_its_owner_wants_it() {
    let (house, key) = house().await;
    let found = house.manager.recording(&call(&key)).await.unwrap();
    assert_eq!((found.enabled, found.days), (false, 30));
    let asked = about(&key, "one", ADA);
    house.predict(&asked, "m", None, 1.0).await.unwrap();
    assert_eq!(count(&house, &key).await, 0);
    for subject in [ADA, ""] {
        assert_eq!(export(&house, &key, subject).await, []);
    }
    let error = replay_error(&house, &key, "one").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // From the next call on, and no longer than until it is turned off.
    record(&house, &key, ON).await;
    house.predict(&asked, "m", None, 2.0).await.unwrap();
    let off = RecordingPolicy {
        enabled: false,
        ..ON
    };
    record(&house, &key, off).await;
    house.predict(&asked, "m", None, 3.0).await.unwrap();
    let recorded = export(&house, &key, ADA).await;
    assert_eq!(recorded.len(), 1);
    let content = recorded[0].content.as_ref().unwrap();
    assert_eq!(numbers(&content.inputs), [("features", 2.0)]);
    assert_eq!(numbers(&content.outputs), [("y", 4.0)]);
    // What is refused, and what fails, has no answer to be kept.
    record(&house, &key, ON).await;
    house.predict(&asked, "m", None, 1e9).await.unwrap_err();
    assert_eq!(count(&house, &key).await, 1);
}

#[tokio::test]
async fn who_may_turn_it_on_and_for_how_long() {
    let (house, key) = house().await;
    let caller = house.key(&call(&key), &["infer", "models", "audit"]).await;
    let refused = house.manager.set_recording(&call(&caller), ON).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden);
    for days in [0, 3_651] {
        let policy = RecordingPolicy { days, ..ON };
        let refused = house.manager.set_recording(&call(&key), policy).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let longest = RecordingPolicy { days: 3_650, ..ON };
    record(&house, &key, longest).await;
    assert_eq!(house.manager.recording(&call(&key)).await.unwrap(), longest);
    let rows = rows(&house, Act::RecordingSet).await;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let detail = detail(row);
    assert_eq!(detail["before"]["enabled"], false);
    assert_eq!(detail["after"]["enabled"], true);
    assert_eq!(detail["before"]["days"], 30);
    assert_eq!(detail["after"]["days"], 3_650);
    // Another tenant has its own.
    let other = house.tenant("b", OWNER).await;
    let found = house.manager.recording(&call(&other)).await.unwrap();
    assert!(!found.enabled);
}

#[test]
fn a_person_is_named_by_visible_characters_and_never_shown() {
    for text in ["x", ADA, &"x".repeat(256), "~!"] {
        let subject = Subject::parse(text).unwrap();
        assert_eq!(format!("{subject:?}"), "Subject(…)");
    }
    for text in ["", &"x".repeat(257), "a b", "a\n", "é", "\u{7f}"] {
        let refused = Subject::parse(text).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{text:?}");
    }
}

#[tokio::test]
async fn what_was_recorded_is_nowhere_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let key = AuditKey::new(&[0; 32]);
    let sqlite = foretell_store::open("sqlite:", folder.path(), 2, key).unwrap();
    for (stores, folder) in [
        (foretell_store::memory::stores(), None),
        (sqlite, Some(folder.path())),
    ] {
        let (house, key) = house_over(stores, Records::default()).await;
        record(&house, &key, ON).await;
        let asked = about(&key, "request-of-the-canary", ADA);
        house.predict(&asked, "m", None, CANARY).await.unwrap();
        let recorded = export(&house, &key, ADA).await;
        let content = recorded[0].content.as_ref().unwrap();
        assert_eq!(numbers(&content.inputs), [("features", CANARY)]);
        let asked = call(&key);
        let replay = house.predictor.replay(&asked, "request-of-the-canary");
        assert!(replay.await.unwrap().identical);

        let mut everything = all_of(&house.stores).await;
        if let Some(folder) = folder {
            files(folder, &mut everything);
        }
        let is_there = |needle: &[u8]| {
            let mut windows = everything.windows(needle.len());
            windows.any(|window| window == needle)
        };
        assert!(is_there(b"request-of-the-canary"), "it is looked for");
        for number in [CANARY, 2.0 * CANARY] {
            assert!(!is_there(&number.to_le_bytes()), "{number}");
            assert!(!is_there(&number.to_be_bytes()), "{number}");
        }
        for text in ["77.123", "154.24", ADA, "lovelace"] {
            assert!(!is_there(text.as_bytes()), "{text}");
        }
    }
}

/// All that can be had of recordings and of the log, as it is stored.
async fn all_of(stores: &Stores) -> Vec<u8> {
    let query = AuditQuery::default();
    let log = stores.audit.page(&query, Page::After(0), 10_000).await;
    let mut all = format!("{:?}", log.unwrap()).into_bytes();
    let request = RequestId::parse("request-of-the-canary").unwrap();
    let found = stores.recordings.find(&tenant("a"), &request).await;
    let subject = found.unwrap().unwrap().recording.subject;
    let most = PageSize {
        rows: 1_000,
        bytes: u64::MAX,
    };
    let page = stores
        .recordings
        .page(&tenant("a"), &subject, 0, most)
        .await;
    for row in page.unwrap() {
        all.extend_from_slice(&row.recording.sealed);
        all.extend_from_slice(&row.recording.key);
        all.extend_from_slice(row.recording.request_id.as_str().as_bytes());
    }
    all
}

/// Every byte of every file in a folder.
fn files(folder: &Path, all: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.extend(fs::read(path).unwrap());
        }
    }
}

#[tokio::test]
async fn a_replay_gives_the_same_bits_and_tells_where_it_does_not() {
    let (house, key) = recording().await;
    let nan = |bits| vector(&[f64::from_bits(bits)]);
    let recorded = nan(0x7FF8_0000_DEAD_BEEF);
    let says = |digest, tensor: &Tensor| {
        let mut always = house.runner.always.lock().unwrap();
        always.insert(digest, Ok(vec![tensor.clone()]));
    };
    let first = house.answer(&about(&key, "zero", ""), "m", None, 1.0).await;
    let digest = first.unwrap().target.digest;
    says(digest, &recorded);
    house
        .answer(&about(&key, "one", ADA), "m", None, 1.0)
        .await
        .unwrap();
    let replay = house.predictor.replay(&call(&key), "one").await.unwrap();
    assert!(replay.identical);
    assert_eq!(replay.of.as_str(), "one");
    assert_eq!(replay.recorded_at, house.now.load(Ordering::Relaxed));
    assert_eq!(replay.answer.target.digest, digest);
    for tensor in [&replay.recorded[0].tensor, &replay.answer.outputs[0]] {
        let Elements::Fp64(values) = tensor.elements() else {
            panic!("{tensor:?}")
        };
        assert_eq!(values[0].to_bits(), 0x7FF8_0000_DEAD_BEEF);
    }
    // Another NaN, and another zero, are other answers.
    says(digest, &nan(0x7FF8_0000_DEAD_BEEE));
    let replay = house.predictor.replay(&call(&key), "one").await.unwrap();
    assert!(!replay.identical);
    let Elements::Fp64(values) = replay.recorded[0].tensor.elements() else {
        panic!("{replay:?}")
    };
    assert_eq!(values[0].to_bits(), 0x7FF8_0000_DEAD_BEEF);
    says(digest, &nan(0.0_f64.to_bits()));
    let asked = about(&key, "two", ADA);
    house.answer(&asked, "m", None, 1.0).await.unwrap();
    says(digest, &nan((-0.0_f64).to_bits()));
    let replay = house.predictor.replay(&call(&key), "two").await.unwrap();
    assert!(!replay.identical);
}

#[tokio::test]
async fn a_replay_goes_past_the_cache_and_its_record_says_what_it_is() {
    let (house, key) = recording().await;
    for (request, cached) in [("one", Cached::Miss), ("two", Cached::Hit)] {
        let asked = about(&key, request, ADA);
        let answer = house.answer(&asked, "same", None, 4.0).await.unwrap();
        assert_eq!(answer.lookup.cached, cached);
    }
    assert_eq!(count(&house, &key).await, 2, "a hit is recorded as well");
    let runs = house.runs();
    for (request, of) in [("three", "one"), ("four", "two")] {
        let replay = house.predictor.replay(&about(&key, request, ""), of).await;
        let replay = replay.unwrap();
        assert!(replay.identical);
        assert_eq!(replay.answer.lookup.cached, Cached::Bypass);
        assert_eq!(replay.answer.credits, MICRO);
    }
    assert_eq!(house.runs(), runs + 2);
    let rows = rows(&house, Act::Predict).await;
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let detail = detail(row);
            let of = detail["replay_of"].as_str().map(str::to_owned);
            (row.entry.request_id.clone().unwrap().to_string(), of)
        })
        .collect();
    let expected = [
        ("one", None),
        ("two", None),
        ("three", Some("one")),
        ("four", Some("two")),
    ];
    let expected = expected.map(|(id, of)| (id.to_owned(), of.map(str::to_owned)));
    assert_eq!(shown, expected);
    assert_eq!(&*rows[2].entry.outcome, "ok");
    let standing = house.manager.standing(&call(&key)).await.unwrap();
    assert_eq!(standing.account.spent, 4 * MICRO);
    // A replay is not recorded: it would lie under whoever its own caller names.
    assert_eq!(count(&house, &key).await, 2);
    assert_eq!(export(&house, &key, "").await, []);
}

#[tokio::test]
async fn of_one_request_id_the_newest_recording_is_replayed() {
    let (house, key) = recording().await;
    for x in [1.0, 2.0] {
        let asked = about(&key, "one", ADA);
        house.predict(&asked, "m", None, x).await.unwrap();
    }
    let replay = house.predictor.replay(&call(&key), "one").await.unwrap();
    assert_eq!(numbers(&replay.recorded), [("y", 4.0)]);
}

#[tokio::test]
async fn a_recording_that_was_changed_is_told() {
    let (house, key) = recording().await;
    for (request, x) in [("one", 1.0), ("two", 2.0)] {
        let asked = about(&key, request, ADA);
        house.predict(&asked, "m", None, x).await.unwrap();
    }
    assert_eq!(count(&house, &key).await, 2);
    let put = async |recording: Recording| {
        let added = house.stores.recordings.insert(Arc::new(vec![recording]));
        assert_eq!(added.await.unwrap(), 1);
    };
    // A bit, what another request was answered, another moment.
    let sound = stored(&house, "a", "one").await;
    let mut flipped = sound.clone();
    flipped.sealed[0] ^= 1;
    let mut moved = stored(&house, "a", "two").await;
    moved.request_id = sound.request_id.clone();
    let mut older = sound.clone();
    older.at -= 1;
    let mut empty = sound.clone();
    empty.sealed.clear();
    for changed in [flipped, moved, older, empty] {
        put(changed).await;
        let error = replay_error(&house, &key, "one").await;
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let message = error.to_string();
        assert!(message.contains("the recording was changed"), "{message}");
    }
    // The others are read all the same.
    let contents: Vec<_> = export(&house, &key, ADA)
        .await
        .into_iter()
        .map(|recorded| recorded.content.map(|content| content.outputs))
        .collect();
    let sound_ones = contents[..2].iter().map(|outputs| {
        let outputs = outputs.as_ref().unwrap();
        numbers(outputs)[0].1
    });
    assert_eq!(sound_ones.collect::<Vec<_>>(), [2.0, 4.0]);
    assert_eq!(contents.len(), 6);
    assert!(contents[2..].iter().all(|one| *one == Err(Changed)));
    put(sound).await;
    let replay = house.predictor.replay(&call(&key), "one").await.unwrap();
    assert!(replay.identical);
}

#[tokio::test]
async fn another_tenant_finds_nothing_in_the_words_for_nothing() {
    let (house, key) = recording().await;
    let other = house.tenant("b", OWNER).await;
    house.push(&other, "m", "1", b"one").await.unwrap();
    record(&house, &other, ON).await;
    let asked = about(&key, "one", ADA);
    house.predict(&asked, "m", None, 1.0).await.unwrap();
    let words = |id: &str| format!("there is no recording of the request `{id}`");
    for (key, id) in [(&other, "one"), (&key, "another"), (&other, "not an id")] {
        let error = replay_error(&house, key, id).await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), words(id));
    }
    assert_eq!(export(&house, &other, ADA).await, []);
    let receipt = house.manager.erase_subject(&call(&other), ADA).await;
    let receipt = receipt.unwrap();
    assert_eq!(receipt.recordings, 0);
    let mine = stored(&house, "a", "one").await.subject;
    assert_ne!(receipt.subject, mine, "one name is two persons");
    assert_eq!(export(&house, &key, ADA).await.len(), 1);
    // An operator acts for the tenant that it names.
    let replay = house.predictor.replay(&on(OPERATOR, "a"), "one").await;
    assert!(replay.unwrap().identical);
    let error = house.predictor.replay(&on(OPERATOR, "b"), "one").await;
    assert_eq!(error.unwrap_err().to_string(), words("one"));
    let nobody = house.predictor.replay(&call("nobody"), "one").await;
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let reader = house.key(&call(&key), &["usage"]).await;
    let error = replay_error(&house, &reader, "one").await;
    assert_eq!(error.kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_version_that_is_gone_cannot_be_replayed() {
    let (house, key) = recording().await;
    house.push(&key, "m", "2", b"two").await.unwrap();
    let asked = about(&key, "one", ADA);
    house.predict(&asked, "m", Some("2"), 1.0).await.unwrap();
    let replay = house.predictor.replay(&call(&key), "one").await.unwrap();
    assert_eq!(replay.answer.target.version.as_str(), "2");
    house
        .manager
        .delete_version(&call(&key), "m", "2")
        .await
        .unwrap();
    let error = replay_error(&house, &key, "one").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("has no version `2`"), "{error}");
    // What it answered is handed out all the same.
    let recorded = export(&house, &key, ADA).await;
    let content = recorded[0].content.as_ref().unwrap();
    assert_eq!(numbers(&content.outputs), [("y", 2.0)]);
}

#[tokio::test]
async fn recordings_are_written_without_being_asked_for() {
    let (house, key) = recording().await;
    let keeping = tokio::spawn(Arc::clone(&house.evidence).keep());
    for request in ["one", "two"] {
        let asked = about(&key, request, ADA);
        house.predict(&asked, "m", None, 1.0).await.unwrap();
        let request = RequestId::parse(request).unwrap();
        let written = async {
            let recordings = &house.stores.recordings;
            let tenant = tenant("a");
            while recordings.find(&tenant, &request).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, written).await.expect("it is not written");
    }
    keeping.abort();
}

/// Many rows in one call: about 160 kB of inputs and outputs.
async fn large(house: &House, key: &str) -> Result<(), PredictError> {
    const ROWS: u32 = 10_000;
    let values = (0..ROWS).map(|row| f64::from(row % 100)).collect();
    let tensor = Tensor::new(vec![ROWS, 1], Elements::Fp64(values)).unwrap();
    let name = "features".to_owned();
    let payload = Ready {
        model: ModelRef::parse("m", None)?,
        header: None,
        body: Some(foretell_predict::Decoded {
            inputs: Inputs::Tensors(vec![NamedTensor { name, tensor }]),
            urgency: Urgency::default(),
        }),
    };
    let asked = Call {
        cache: CacheUse::Bypass,
        ..about(key, "large", ADA)
    };
    house.predictor.predict(&asked, payload).await.map(drop)
}

#[tokio::test]
async fn what_waits_to_be_written_is_bounded() {
    // Nobody writes in this house unless it is asked to. A tenant's 16 MiB are some 105 of these calls.
    const CALLS: u64 = 200;
    for when_full in [WhenFull::Strict, WhenFull::Fold] {
        let records = Records {
            when_full,
            ..Records::default()
        };
        let (house, key) = house_over(foretell_store::memory::stores(), records).await;
        record(&house, &key, ON).await;
        let other = house.tenant("b", OWNER).await;
        house.push(&other, "m", "1", b"one").await.unwrap();
        // Whoever is asked for the first time has everything written that waits.
        large(&house, &other).await.unwrap();
        let mut passed = 0;
        for _ in 0..CALLS {
            match large(&house, &key).await {
                Ok(()) => passed += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable);
                    break;
                }
            }
        }
        // Another tenant, which records nothing, is answered in any case.
        large(&house, &other).await.unwrap();
        let kept = count(&house, &key).await;
        assert!((75..125).contains(&kept), "{when_full:?}: {kept}");
        match when_full {
            WhenFull::Strict => assert_eq!(passed, kept, "nothing is lost"),
            WhenFull::Fold => assert_eq!(passed, CALLS, "nobody is refused"),
        }
        // Written: there is room again.
        large(&house, &key).await.unwrap();
        assert_eq!(count(&house, &key).await, kept + 1);
    }
}
