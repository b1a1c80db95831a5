//! Whether the time that a wrong key takes tells how wrong it is.
//!
//! Two keys, and two servers, each of which has one of them. Every guess is one of the keys but for its last character, and is shown
//! to both: to the one it is nearly a real key, to the other it is nobody's. The texts are the same on either side, so what one
//! takes longer to read than another cancels out, and what is left is whether a key is there. The order changes without a
//! pattern, and the slowest twentieth of each class is left out, as what the machine did meanwhile. Each block has servers of its own,
//! which lie elsewhere in memory; Student's t over the differences of the blocks' logarithms says whether the sides differ: by
//! convention they do not while |t| < 4.5 (Reparaz, Balasch, Verbauwhede: Dude, is my code constant time?, 2017).
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

const BLOCKS: usize = 20;
/// Of each key, in a block.
const PAIRS: usize = 50_000;
const KEYS: [&str; 2] = [
    "ftl_live_0123456789abcdefghijABCDEFGHIJxy",
    "ftl_live_5678901234jihgfedcbaJIHGFEDCBAyx",
];

/// One of the keys but for its last character.
fn guess(of: &str, n: usize) -> Credentials {
    let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = n as u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(alphabet[(random >> 33) as usize % alphabet.len()])
    };
    let mut text = of.to_owned();
    let last = text.pop();
    let other = loop {
        let other = next();
        if Some(other) != last {
            break other;
        }
    };
    text.push(other);
    Credentials::new(Some(with_checksum(text)))
}

#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    /// The mean without the slowest twentieth.
    fn mean(mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0.truncate(self.0.len() - self.0.len() / 20);
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

fn main() {
    // `cargo test` runs benches to see that they work.
    let pairs = if std::env::args().any(|argument| argument == "--bench") {
        PAIRS
    } else {
        100
    };
    let runtime = Builder::new_current_thread().build().unwrap();
    let blocks: Vec<_> = (0..BLOCKS)
        .map(|block| runtime.block_on(measure(block * pairs, pairs)))
        .collect();
    let count = BLOCKS as f64;
    let side = |of: fn(&(f64, f64)) -> f64| blocks.iter().map(of).sum::<f64>() / count;
    let (near, nobodys) = (side(|block| block.0), side(|block| block.1));
    let mean = near - nobodys;
    let squares = blocks
        .iter()
        .map(|block| (block.0 - block.1 - mean).powi(2));
    let t = mean / (squares.sum::<f64>() / (count - 1.0) / count).sqrt();
    println!(
        "{BLOCKS} blocks of {pairs} pairs of each key: {:.2} ns where it is nearly a real one, {:.2} ns where it is nobody's; t = {t:.2}",
        near.exp(),
        nobodys.exp()
    );
    assert!(
        t.abs() < 4.5 || pairs < PAIRS,
        "guesses take different times"
    );
}

/// The logarithms of the times of guesses that are nearly a real key, and of those that are nobody's.
async fn measure(first: usize, pairs: usize) -> (f64, f64) {
    let servers = [server(KEYS[0]).await, server(KEYS[1]).await];
    // By text, and by server.
    let mut times: [[Times; 2]; 2] = Default::default();
    for n in first..first + pairs {
        let mut order = [(0, 0), (0, 1), (1, 0), (1, 1)];
        fastrand::shuffle(&mut order);
        for (text, server) in order {
            let guess = guess(KEYS[text], n);
            let began = Instant::now();
            let answer = servers[server].principal(&guess).await;
            let took = began.elapsed();
            assert!(answer.is_err());
            times[text][server].0.push((took.as_nanos() as f64).ln());
        }
    }
    let [[near, nobodys], [also_nobodys, also_near]] =
        times.map(|of_text| of_text.map(Times::mean));
    ((near + also_near) / 2.0, (nobodys + also_nobodys) / 2.0)
}

/// A server that has this key.
async fn server(key: &str) -> Identity {
    let stores = foretell_store::memory::stores();
    let registry = Arc::new(Registry::new(stores.models));
    let pepper = Pepper::new(&[7; 32]);
    let record = KeyRecord {
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
    let text = with_checksum(key.to_owned());
    let hash = pepper.hash(&text);
    let new = NewKey { record, hash };
    stores.keys.create(&new, &recorded()).await.unwrap();
    let clock = Clock::system();
    let identity = Identity::new(stores.keys, stores.tenants, registry, pepper, clock);
    let real = Credentials::new(Some(text));
    assert!(identity.principal(&real).await.is_ok());
    identity
}
