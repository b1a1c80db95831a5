//! Sets of keys over time: rotation, and sources that are slow, silent or wrong.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, timeout};

use super::*;

/// A source that answers as a test says.
pub(super) struct Source {
    fetches: AtomicUsize,
    answer: Mutex<Answer>,
}

#[derive(Clone)]
enum Answer {
    Document(Bytes),
    Down,
    Never,
    /// When a permit is there.
    Later(Arc<Semaphore>, Bytes),
}

impl Source {
    /// A source of these keys.
    pub(super) fn of(keys: &[String]) -> Arc<Self> {
        Arc::new(Self {
            fetches: AtomicUsize::new(0),
            answer: Mutex::new(Answer::Document(document(keys))),
        })
    }
}

#[async_trait]
impl KeySet for Source {
    async fn fetch(&self) -> Result<Bytes, String> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Answer::Document(document) => Ok(document),
            Answer::Down => Err("connection refused".to_owned()),
            Answer::Never => std::future::pending().await,
            Answer::Later(gate, document) => {
                gate.acquire().await.unwrap().forget();
                Ok(document)
            }
        }
    }
}

fn document(keys: &[String]) -> Bytes {
    Bytes::from(format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

/// One issuer with a source, and a clock to move.
struct World {
    tokens: Arc<Tokens>,
    source: Arc<Source>,
    now: Arc<AtomicI64>,
}

impl World {
    fn new(keys: &[String]) -> Self {
        let source = Source::of(keys);
        let set: Arc<dyn KeySet> = source.clone();
        let (clock, now) = clock();
        let issuers = vec![Issuer::new(SET, AUDIENCE, KeySource::Set(set))];
        Self {
            tokens: Arc::new(Tokens::new(issuers, clock).unwrap()),
            source,
            now,
        }
    }

    fn answer(&self, answer: Answer) {
        *self.source.answer.lock().unwrap() = answer;
    }

    fn publish(&self, keys: &[String]) {
        self.answer(Answer::Document(document(keys)));
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    fn fetches(&self) -> usize {
        self.source.fetches.load(Ordering::Relaxed)
    }

    /// A token of now, by the one key that all names mean here.
    fn token(&self, kid: &str) -> String {
        let now = self.now.load(Ordering::Relaxed) / 1000;
        Pen::ec().token_of(kid, changed(SET, &json!({"exp": now + 600})))
    }

    async fn verify(&self, kid: &str) -> Result<(), JwtRefusal> {
        self.tokens.verify(&self.token(kid)).await.map(|_| ())
    }
}

const UNKNOWN: Result<(), JwtRefusal> = Err(JwtRefusal::UnknownKey);
const UNAVAILABLE: Result<(), JwtRefusal> = Err(JwtRefusal::KeysUnavailable);

#[tokio::test]
async fn a_set_is_fetched_when_it_is_needed_and_kept_for_five_minutes() {
    let world = World::new(&[ec_jwk("a")]);
    assert_eq!(world.fetches(), 0);
    for (pause, fetches) in [(0, 1), (1, 1), (298, 1), (1, 2), (299, 2), (1, 3)] {
        world.pass(pause);
        assert_eq!(world.verify("a").await, Ok(()));
        assert_eq!(world.fetches(), fetches);
    }
}

#[tokio::test]
async fn a_key_is_good_until_it_has_left_the_set() {
    let world = World::new(&[ec_jwk("old")]);
    assert_eq!(world.verify("old").await, Ok(()));
    world.publish(&[ec_jwk("old"), ec_jwk("new")]);
    world.pass(60);
    assert_eq!(world.verify("new").await, Ok(()));
    assert_eq!(world.verify("old").await, Ok(()));
    assert_eq!(world.fetches(), 2);
    world.publish(&[ec_jwk("new")]);
    world.pass(299);
    assert_eq!(world.verify("old").await, Ok(()), "until the set is stale");
    world.pass(1);
    assert_eq!(world.verify("old").await, UNKNOWN);
    assert_eq!(world.verify("new").await, Ok(()));
    assert_eq!(world.fetches(), 3);
}

#[tokio::test]
async fn names_that_nobody_knows_lead_to_one_fetch_a_minute() {
    let world = World::new(&[ec_jwk("a")]);
    for (pause, fetches) in [(0, 1), (0, 1), (59, 1), (1, 2), (0, 2), (59, 2), (1, 3)] {
        world.pass(pause);
        for kid in ["x", "y", "../a"] {
            assert_eq!(world.verify(kid).await, UNKNOWN);
        }
        assert_eq!(world.verify("a").await, Ok(()));
        assert_eq!(world.fetches(), fetches);
    }
}

#[tokio::test]
async fn a_source_that_is_down_from_the_start_is_asked_once_a_minute() {
    let world = World::new(&[]);
    world.answer(Answer::Down);
    for (pause, fetches) in [(0, 1), (0, 1), (59, 1), (1, 2)] {
        world.pass(pause);
        assert_eq!(world.verify("a").await, UNAVAILABLE);
        assert_eq!(world.fetches(), fetches);
    }
    world.publish(&[ec_jwk("a")]);
    world.pass(59);
    assert_eq!(world.verify("a").await, UNAVAILABLE);
    world.pass(1);
    assert_eq!(world.verify("a").await, Ok(()));
    assert_eq!(world.verify("b").await, UNKNOWN);
}

#[tokio::test]
async fn the_last_good_set_outlives_its_source_by_a_day() {
    let world = World::new(&[ec_jwk("a")]);
    assert_eq!(world.verify("a").await, Ok(()));
    world.answer(Answer::Down);
    for pause in [300, 60, 60, 3_600, 40_000, 42_380] {
        world.pass(pause);
        assert_eq!(world.verify("a").await, Ok(()));
        let new = world.verify("b").await;
        assert_eq!(new, UNAVAILABLE, "it may be in the set that is not there");
    }
    assert_eq!(world.now.load(Ordering::Relaxed), (NOW + 86_400) * 1000);
    world.now.fetch_add(1, Ordering::Relaxed);
    assert_eq!(world.verify("a").await, UNAVAILABLE);
    world.publish(&[ec_jwk("a")]);
    world.pass(60);
    assert_eq!(world.verify("a").await, Ok(()));
}

#[tokio::test]
async fn nonsense_is_not_taken_for_a_set() {
    let pad = "x".repeat(10 << 20);
    let many: Vec<String> = (0..101).map(|number| ec_jwk(&number.to_string())).collect();
    let nonsense = [
        Bytes::new(),
        Bytes::from("null"),
        Bytes::from("[]"),
        Bytes::from("{}"),
        Bytes::from(r#"{"keys":{}}"#),
        Bytes::from(r#"{"keys":null}"#),
        Bytes::from(r#"{"keys":[1,2]}"#),
        Bytes::from(r#"{"keys":[],"keys":[]}"#),
        Bytes::from(r#"{"keys":["#),
        Bytes::from("<html>sign in</html>"),
        Bytes::from_static(b"{\"keys\":[],\"\xff\":1}"),
        Bytes::from(format!(r#"{{"keys":[],"pad":"{pad}"}}"#)),
        document(&many),
    ];
    for text in nonsense {
        let world = World::new(&[ec_jwk("a")]);
        assert_eq!(world.verify("a").await, Ok(()));
        let shown = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        world.answer(Answer::Document(text.clone()));
        world.pass(300);
        assert_eq!(
            world.verify("a").await,
            Ok(()),
            "the last good one: {shown}"
        );
        assert_eq!(world.fetches(), 2, "{shown}");
        let world = World::new(&[]);
        world.answer(Answer::Document(text));
        assert_eq!(world.verify("a").await, UNAVAILABLE, "{shown}");
    }
}

#[tokio::test]
async fn a_set_of_a_hundred_keys_and_of_a_mebibyte_is_read() {
    let many: Vec<String> = (0..100).map(|number| ec_jwk(&number.to_string())).collect();
    let world = World::new(&many);
    assert_eq!(world.verify("99").await, Ok(()));
    let bare = format!(r#"{{"keys":[{}],"pad":""}}"#, ec_jwk("a")).len();
    for (bytes, outcome) in [(MAX_SET_BYTES, Ok(())), (MAX_SET_BYTES + 1, UNAVAILABLE)] {
        let pad = "x".repeat(bytes - bare);
        let text = format!(r#"{{"keys":[{}],"pad":"{pad}"}}"#, ec_jwk("a"));
        let world = World::new(&[]);
        world.answer(Answer::Document(Bytes::from(text)));
        assert_eq!(world.verify("a").await, outcome, "{bytes}");
    }
}

#[tokio::test]
async fn an_empty_set_takes_all_keys_back() {
    let world = World::new(&[ec_jwk("a")]);
    assert_eq!(world.verify("a").await, Ok(()));
    world.publish(&[]);
    world.pass(300);
    assert_eq!(world.verify("a").await, UNKNOWN);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_costs_five_seconds_once() {
    let world = World::new(&[ec_jwk("a")]);
    assert_eq!(world.verify("a").await, Ok(()));
    world.answer(Answer::Never);
    world.pass(300);
    let began = Instant::now();
    assert_eq!(world.verify("a").await, Ok(()));
    assert_eq!(began.elapsed().as_secs(), 5);
    for (pause, fetches) in [(59, 2), (1, 3)] {
        world.pass(pause);
        let began = Instant::now();
        assert_eq!(world.verify("a").await, Ok(()), "nobody waits again");
        assert_eq!(began.elapsed(), Duration::ZERO);
        // What is begun runs as soon as this test lets it.
        yield_now().await;
        assert_eq!(world.fetches(), fetches);
    }
    let began = Instant::now();
    assert_eq!(world.verify("new").await, UNAVAILABLE, "only a fetch tells");
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(world.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_first_fetch_that_never_ends_is_given_up() {
    let world = World::new(&[]);
    world.answer(Answer::Never);
    let began = Instant::now();
    assert_eq!(world.verify("a").await, UNAVAILABLE);
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn callers_share_one_fetch() {
    let world = World::new(&[]);
    let gate = Arc::new(Semaphore::new(0));
    world.answer(Answer::Later(Arc::clone(&gate), document(&[ec_jwk("a")])));
    let mut callers = JoinSet::new();
    for kid in ["a", "a", "a", "a", "b", "b"] {
        let (tokens, text) = (Arc::clone(&world.tokens), world.token(kid));
        callers.spawn(async move { (kid, tokens.verify(&text).await.map(|_| ())) });
    }
    // Each has had many turns, and none can have got further than the gate.
    for _ in 0..100 {
        yield_now().await;
    }
    assert!(callers.try_join_next().is_none());
    gate.add_permits(1);
    while let Some(caller) = callers.join_next().await {
        let (kid, outcome) = caller.unwrap();
        let expected = if kid == "a" { Ok(()) } else { UNKNOWN };
        assert_eq!(outcome, expected);
    }
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_does_not_take_the_fetch_along() {
    let world = World::new(&[]);
    let gate = Arc::new(Semaphore::new(0));
    world.answer(Answer::Later(Arc::clone(&gate), document(&[ec_jwk("a")])));
    let gone = timeout(Duration::from_millis(10), world.verify("a")).await;
    assert!(gone.is_err());
    gate.add_permits(1);
    assert_eq!(world.verify("a").await, Ok(()));
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_leads_to_a_fetch() {
    let world = World::new(&[ec_jwk("a")]);
    assert_eq!(world.verify("a").await, Ok(()));
    world.pass(-3_600);
    assert_eq!(world.verify("a").await, Ok(()));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test]
async fn keys_that_are_not_for_signatures_here_are_passed_over() {
    let (x, y) = (keys::EC_X, keys::EC_Y);
    let ec = |members: &str| {
        format!(r#"{{"kid":"k","kty":"EC","crv":"P-256","x":"{x}","y":"{y}"{members}}}"#)
    };
    let point = |curve: &str, x: &str, y: &str| {
        format!(r#"{{"kid":"k","kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#)
    };
    let other = |members: &str| format!(r#"{{"kid":"k",{members}}}"#);
    let unusable = [
        oct_jwk("k"),
        ec(r#","use":"enc""#),
        ec(r#","use":"tls""#),
        ec(r#","use":5"#),
        ec(r#","key_ops":["sign"]"#),
        ec(r#","key_ops":[]"#),
        ec(r#","alg":"ES384""#),
        ec(r#","alg":"HS256""#),
        ec(r#","alg":"none""#),
        ec(r#","alg":"es256""#),
        ec(r#","d":"AAAA""#),
        point("P-384", keys::P384_X, keys::P384_Y),
        point("P-256", keys::P384_X, keys::P384_Y),
        point("secp256k1", x, y),
        point("p-256", x, y),
        point("P-256", &x[..42], y),
        point("P-256", "", ""),
        point("P-256", x, "***"),
        other(r#""kty":"EC","crv":"P-256","x":"AAAA""#),
        other(r#""kty":"EC""#),
        other(r#""kty":"ec","crv":"P-256""#),
        other(r#""kty":"AKP","alg":"ML-DSA-65","pub":"AAAA""#),
        other(r#""kty":5"#),
        other(r#""x":"AAAA""#),
    ];
    for key in unusable {
        let world = World::new(&[key.clone(), ec_jwk("good")]);
        assert_eq!(world.verify("k").await, UNKNOWN, "{key}");
        assert_eq!(world.verify("good").await, Ok(()), "{key}");
    }
}

#[tokio::test]
async fn a_name_that_two_keys_have_means_neither() {
    let world = World::new(&[ec_jwk("a"), ed_jwk("a"), ec_jwk("b")]);
    assert_eq!(world.verify("a").await, UNKNOWN);
    assert_eq!(world.verify("b").await, Ok(()));
}

#[tokio::test]
async fn rsa_keys_of_a_set_have_a_length_and_an_exponent_that_hold() {
    let rsa = |modulus: &str, exponent: &str, members: &str| {
        format!(r#"{{"kid":"k","kty":"RSA","n":"{modulus}","e":"{exponent}"{members}}}"#)
    };
    let modulus = keys::RSA_MODULUS;
    let mut padded = decoded(modulus);
    padded.insert(0, 0);
    let cases = [
        (rsa(modulus, "AQAB", ""), Ok(())),
        (rsa(&part(padded), "AAEAAQ", ""), Ok(())),
        (rsa(keys::WEAK_RSA_MODULUS, "AQAB", ""), UNKNOWN),
        (rsa(&part([255_u8; 1025]), "AQAB", ""), UNKNOWN),
        (rsa(modulus, "AQ", ""), UNKNOWN),
        (rsa(modulus, "AA", ""), UNKNOWN),
        (rsa(modulus, "", ""), UNKNOWN),
        (rsa(modulus, "AQABAQABAQAB", ""), UNKNOWN),
        (rsa("", "AQAB", ""), UNKNOWN),
        (rsa("***", "AQAB", ""), UNKNOWN),
        (rsa(modulus, "AQAB", r#","alg":"PS256""#), UNKNOWN),
        (rsa(modulus, "AQAB", r#","alg":"RSA-OAEP""#), UNKNOWN),
        (rsa(modulus, "AQAB", r#","use":"enc""#), UNKNOWN),
        (rsa(modulus, "AQAB", r#","d":"AAAA""#), UNKNOWN),
    ];
    for (key, expected) in cases {
        let world = World::new(std::slice::from_ref(&key));
        let text = Pen::rsa(By::RS256).token_of("k", good(SET).to_string());
        let outcome = world.tokens.verify(&text).await.map(|_| ());
        assert_eq!(outcome, expected, "{key}");
    }
}

#[tokio::test]
async fn edwards_keys_of_a_set_are_of_the_one_curve() {
    let x = keys::ED_X;
    let okp = |curve: &str, x: &str, members: &str| {
        format!(r#"{{"kid":"k","kty":"OKP","crv":"{curve}","x":"{x}"{members}}}"#)
    };
    let cases = [
        (okp("Ed25519", x, ""), Ok(())),
        (okp("Ed25519", x, r#","alg":"EdDSA","use":"sig""#), Ok(())),
        (okp("X25519", x, ""), UNKNOWN),
        (okp("Ed448", x, ""), UNKNOWN),
        (okp("Ed25519", &x[..40], ""), UNKNOWN),
        (okp("Ed25519", x, r#","alg":"ES256""#), UNKNOWN),
    ];
    for (key, expected) in cases {
        let world = World::new(std::slice::from_ref(&key));
        let text = Pen::ed().token_of("k", good(SET).to_string());
        let outcome = world.tokens.verify(&text).await.map(|_| ());
        assert_eq!(outcome, expected, "{key}");
    }
}
