//! Whether the time that a wrong key takes tells how wrong it is.
//!
//! Two classes of keys that do not exist are asked for in turn, in random order: those that are a real key but for its last
//! character, and those that have nothing in common with it. Welch's t over the logarithms of their times says whether they
//! differ; the slowest twentieth of each is left out, as what the machine did meanwhile. By convention |t| < 4.5 is no
//! difference (Reparaz, Balasch, Verbauwhede: Dude, is my code constant time?, 2017).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up is a failure, and what it finds is printed"
)]

use std::sync::Arc;
use std::time::Instant;

use foretell_predict::key::{Pepper, with_checksum};
use foretell_predict::{Clock, Credentials, Identity, Registry};
use foretell_store::suite::recorded;
use foretell_store::{KeyRecord, NewKey};
use foretell_types::{KeyId, Scopes};
use tokio::runtime::Builder;

const PAIRS: usize = 1_000_000;
const REAL: &str = "ftl_live_0123456789abcdefghijABCDEFGHIJxy";

/// The same number of guesses of both classes, each another one.
fn guess(is_near: bool, n: usize) -> Credentials {
    let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = n as u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(alphabet[(random >> 33) as usize % alphabet.len()])
    };
    let (head, _) = REAL.split_at(if is_near { REAL.len() - 1 } else { 9 });
    let mut text = head.to_owned();
    while text.len() < REAL.len() {
        text.push(next());
    }
    if text == REAL {
        text.pop();
        text.push('_');
    }
    Credentials::new(Some(with_checksum(text)))
}

#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    /// Mean and variance of the mean, without the slowest twentieth.
    fn mean(mut self) -> (f64, f64) {
        self.0.sort_by(f64::total_cmp);
        let kept = self.0.len() - self.0.len() / 20;
        self.0.truncate(kept);
        let count = kept as f64;
        let mean = self.0.iter().sum::<f64>() / count;
        let squares: f64 = self.0.iter().map(|time| (time - mean).powi(2)).sum();
        (mean, squares / (count - 1.0) / count)
    }
}

fn main() {
    // `cargo test` runs benches to see that they work.
    let pairs = if std::env::args().any(|argument| argument == "--bench") {
        PAIRS
    } else {
        100
    };
    let stores = foretell_store::memory::stores();
    let keys = Arc::clone(&stores.keys);
    let registry = Arc::new(Registry::new(stores.models));
    let pepper = Pepper::new(&[7; 32]);
    let real = KeyRecord {
        id: KeyId::parse("key_0000000000000000").unwrap(),
        tenant: None,
        label: String::new(),
        scopes: Scopes::OPERATOR,
        models: None,
        created_at: 0,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    let real = NewKey {
        record: real,
        hash: pepper.hash(&with_checksum(REAL.to_owned())),
    };
    let identity = Identity::new(
        stores.keys,
        stores.tenants,
        registry,
        pepper,
        Clock::system(),
    );
    let runtime = Builder::new_current_thread().build().unwrap();
    let (mut near, mut far) = (Times::default(), Times::default());
    runtime.block_on(async {
        keys.create(&real, &recorded()).await.unwrap();
        let real = Credentials::new(Some(with_checksum(REAL.to_owned())));
        assert!(identity.principal(&real).await.is_ok());
        for n in 0..pairs {
            // Which comes first changes without a pattern.
            let first = (n.wrapping_mul(0x9E37_79B9) >> 16) & 1 == 1;
            for is_near in [first, !first] {
                let guess = guess(is_near, n);
                let began = Instant::now();
                let answer = identity.principal(&guess).await;
                let took = began.elapsed();
                assert!(answer.is_err());
                let times = if is_near { &mut near } else { &mut far };
                times.0.push((took.as_nanos() as f64).ln());
            }
        }
    });
    let ((near, near_variance), (far, far_variance)) = (near.mean(), far.mean());
    let t = (near - far) / (near_variance + far_variance).sqrt();
    println!(
        "{pairs} pairs: {:.0} ns for a real key but its end, {:.0} ns for any other; t = {t:.2}",
        near.exp(),
        far.exp()
    );
    assert!(
        t.abs() < 4.5 || pairs < PAIRS,
        "guesses take different times"
    );
}
