//! Callers who show a token of another identity provider.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use foretell_predict::jwt::{Issuer, KeySet, KeySource};
use foretell_predict::manage::{Act, AuditQuery, Page};
use foretell_predict::{CacheLimits, Governance, Limits, PredictError, Records, Rights};
use foretell_types::{ErrorKind, TenantId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::house::{House, OPERATOR, call, on};

const ISSUER: &str = "https://id.example";
const OTHER: &str = "https://bank.example";
const SECRET: &[u8] = b"thirty-two bytes make one secret";
/// Seconds since 1970 at which a house begins.
const NOW: i64 = 1_000 * 86_400;

/// A house with tenants `a` and `bank`, each with its model `m`. The first issuer may speak for everybody, the second for `bank`.
async fn house() -> House {
    let secret = || KeySource::Secret {
        secret: SECRET.to_vec(),
    };
    let all = Rights {
        operators: true,
        ..Rights::default()
    };
    let bank = Rights {
        tenants: Some([TenantId::parse("bank").unwrap()].into()),
        ..Rights::default()
    };
    trusting(vec![
        (Issuer::new(ISSUER, "foretell", secret()), all),
        (Issuer::new(OTHER, "foretell", secret()), bank),
    ])
    .await
}

async fn trusting(issuers: Vec<(Issuer, Rights)>) -> House {
    let house = House::trusting(
        Limits::default(),
        CacheLimits::default(),
        Governance::unlimited(),
        Records::default(),
        issuers,
    )
    .await;
    for tenant in ["a", "bank"] {
        let key = house.tenant(tenant, &["infer", "models"]).await;
        house.push(&key, "m", "1", b"one").await.unwrap();
    }
    house
}

fn token(change: &Value) -> String {
    signed(&Header::new(Algorithm::HS256), SECRET, change)
}

fn signed(header: &Header, secret: &[u8], change: &Value) -> String {
    let mut claims = json!({
        "iss": ISSUER, "aud": "foretell", "sub": "ada", "exp": NOW + 600, "tenant": "a", "roles": ["caller"],
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    jsonwebtoken::encode(header, &claims, &EncodingKey::from_secret(secret)).unwrap()
}

async fn kind(house: &House, token: &str) -> Option<ErrorKind> {
    let answer = house.predict(&call(token), "m", None, 1.0).await;
    answer.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_token_opens_what_its_roles_are_for_and_is_recorded_by_its_subject() {
    let house = house().await;
    let caller = token(&json!({}));
    assert_eq!(kind(&house, &caller).await, None);
    let keys = house.manager.list_keys(&call(&caller)).await;
    assert_eq!(keys.unwrap_err().kind(), ErrorKind::Forbidden);
    let owner = token(&json!({"sub": "bob", "roles": "owner"}));
    let key = house.key(&call(&owner), &["infer"]).await;
    assert_eq!(kind(&house, &key).await, None);

    let query = AuditQuery::default();
    let page = house
        .manager
        .audit(&on(OPERATOR, "a"), query, Page::After(0), 1_000)
        .await;
    let page = page.unwrap();
    let actors = |act| {
        let mut of_act = page.iter().filter(|record| record.entry.act == act);
        of_act.next().map(|record| record.entry.actor.to_string())
    };
    assert_eq!(
        actors(Act::Predict).as_deref(),
        Some("jwt:https://id.example|ada")
    );
    assert!(
        page.iter().any(
            |record| record.entry.act == Act::KeyCreate && record.entry.actor.ends_with("|bob")
        )
    );
}

#[tokio::test]
async fn a_token_of_one_tenant_sees_nothing_of_another() {
    let house = house().await;
    let of_a = token(&json!({}));
    let there = house.predict(&on(&of_a, "bank"), "m", None, 1.0).await;
    let nowhere = house.predict(&on(&of_a, "nobody"), "m", None, 1.0).await;
    let (there, nowhere) = (there.unwrap_err(), nowhere.unwrap_err());
    assert_eq!(
        there.to_string().replace("bank", "nobody"),
        nowhere.to_string()
    );
    assert_eq!(there.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_issuer_says_no_more_than_it_was_trusted_with() {
    let house = house().await;
    let good = token(&json!({"iss": OTHER, "tenant": "bank"}));
    assert_eq!(kind(&house, &good).await, None);
    for change in [
        json!({"iss": OTHER, "tenant": "a"}),
        json!({"iss": OTHER, "tenant": null, "roles": ["operator"]}),
        json!({"iss": OTHER, "tenant": null}),
        json!({"tenant": null}),
        json!({"tenant": "absent"}),
    ] {
        let refused = kind(&house, &token(&change)).await;
        assert_eq!(refused, Some(ErrorKind::Unauthenticated), "{change}");
    }
    let operator = token(&json!({"tenant": null, "roles": ["operator"]}));
    assert_eq!(
        house
            .manager
            .list_tenants(&call(&operator))
            .await
            .unwrap()
            .len(),
        2
    );
    let not_one = token(&json!({"roles": ["operator"]}));
    let refused = house
        .manager
        .list_tenants(&call(&not_one))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_token_that_was_taken_before_ends_when_it_says_so() {
    let house = house().await;
    let short = token(&json!({"exp": NOW + 10}));
    assert_eq!(kind(&house, &short).await, None);
    // The leeway of 30 s.
    house.now.fetch_add(39_000, Ordering::Relaxed);
    assert_eq!(kind(&house, &short).await, None);
    house.now.fetch_add(1_000, Ordering::Relaxed);
    assert_eq!(kind(&house, &short).await, Some(ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn the_tokens_of_a_deleted_tenant_open_nothing() {
    let house = house().await;
    let token = token(&json!({}));
    assert_eq!(kind(&house, &token).await, None);
    let operator = call(OPERATOR);
    house.manager.delete_tenant(&operator, "a").await.unwrap();
    assert_eq!(kind(&house, &token).await, Some(ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn a_server_without_issuers_says_that_it_takes_no_tokens() {
    let house = House::build().await;
    let error = house
        .predict(&call(&token(&json!({}))), "m", None, 1.0)
        .await;
    let Err(PredictError::Unauthenticated(message)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "this server takes no tokens; use an API key");
}

/// A provider whose set of keys can be changed, and can be out of reach.
struct Provider {
    document: Mutex<String>,
    is_down: AtomicBool,
}

#[async_trait]
impl KeySet for Provider {
    async fn fetch(&self) -> Result<Bytes, String> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err("out of reach".to_owned());
        }
        Ok(self.document.lock().unwrap().clone().into())
    }
}

/// The first two keys of RFC 8032, 7.1: `(name, private key as PKCS 8, public key)`.
const PAIRS: [(&str, &str, &str); 2] = [
    (
        "old",
        "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v_VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g",
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    ),
    (
        "new",
        "MC4CAQAwBQYDK2VwBCIEIEzNCJso_5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7",
        "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
    ),
];

fn jwk(name: &str) -> String {
    let (_, _, x) = PAIRS.iter().find(|(pair, ..)| *pair == name).unwrap();
    format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{name}","x":"{x}"}}"#)
}

fn published(names: &[&str]) -> String {
    let keys: Vec<_> = names.iter().map(|name| jwk(name)).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

fn of_key(name: &str) -> String {
    let (_, der, _) = PAIRS.iter().find(|(pair, ..)| *pair == name).unwrap();
    let der = URL_SAFE_NO_PAD.decode(der).unwrap();
    let header = Header {
        kid: Some(name.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    let claims = json!({
        "iss": ISSUER, "aud": "foretell", "sub": "ada", "exp": NOW + 3_600, "tenant": "a", "roles": ["caller"],
    });
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&der)).unwrap()
}

#[tokio::test]
async fn keys_rotate_with_an_overlap_and_a_key_that_was_taken_back_opens_nothing() {
    let provider = Arc::new(Provider {
        document: Mutex::new(published(&["old"])),
        is_down: AtomicBool::new(false),
    });
    let keys = KeySource::Set(Arc::clone(&provider) as _);
    let house = trusting(vec![(
        Issuer::new(ISSUER, "foretell", keys),
        Rights::default(),
    )])
    .await;
    let (old, new) = (of_key("old"), of_key("new"));
    assert_eq!(kind(&house, &old).await, None);
    assert_eq!(kind(&house, &new).await, Some(ErrorKind::Unauthenticated));

    // Overlap: both are published.
    *provider.document.lock().unwrap() = published(&["old", "new"]);
    house.now.fetch_add(61_000, Ordering::Relaxed);
    assert_eq!(kind(&house, &new).await, None);
    assert_eq!(kind(&house, &old).await, None);

    // Out of reach: what was read goes on to hold.
    provider.is_down.store(true, Ordering::Relaxed);
    house.now.fetch_add(301_000, Ordering::Relaxed);
    assert_eq!(kind(&house, &old).await, None);

    // Taken back.
    provider.is_down.store(false, Ordering::Relaxed);
    *provider.document.lock().unwrap() = published(&["new"]);
    house.now.fetch_add(301_000, Ordering::Relaxed);
    assert_eq!(kind(&house, &new).await, None);
    // Nobody waited for the fetch, since the last one had failed: its task is let run.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    house.now.fetch_add(61_000, Ordering::Relaxed);
    assert_eq!(kind(&house, &old).await, Some(ErrorKind::Unauthenticated));
}
