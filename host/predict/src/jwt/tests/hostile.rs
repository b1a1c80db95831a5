//! Tokens that are wrong, most of them on purpose. Each is refused for its own fault and for no other.

// A table is read by its columns: each token has one line.
#[rustfmt::skip]
mod tables;

use super::*;
use crate::key::Pepper;
use crate::{Credentials, Identity, Issuers, PredictError, Registry, Rights};

/// What is wrong, the token, and why it must be refused.
type Case = (&'static str, String, JwtRefusal);

#[tokio::test]
async fn every_wrong_token_is_refused_for_its_own_fault() {
    let cases = tables::all();
    assert!(cases.len() > 300, "{} cases", cases.len());
    let tokens = tokens();
    let mut wrong = Vec::new();
    for (name, text, expected) in &cases {
        let outcome = tokens.verify(text).await;
        if outcome != Err(*expected) {
            wrong.push(format!("{name}: {outcome:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn no_wrong_token_is_anybody() {
    let stores = foretell_store::memory::stores();
    let clock = clock().0;
    let trusted = issuers().into_iter().map(|issuer| {
        let rights = Rights {
            operators: true,
            ..Rights::default()
        };
        (issuer, rights)
    });
    let issuers = Issuers::new(trusted.collect(), clock.clone()).unwrap();
    let registry = Arc::new(Registry::new(stores.models));
    let pepper = Pepper::new(&[7; 32]);
    let identity = Identity::new(stores.keys, stores.tenants, registry, pepper, clock);
    let identity = identity.with_issuers(issuers);
    for (name, text, _) in tables::all() {
        let who = identity.principal(&Credentials::new(Some(text))).await;
        let refused = matches!(who, Err(PredictError::Unauthenticated(_)));
        assert!(refused, "{name}: {who:?}");
    }
    // And one that is right is somebody.
    let operator = hs(json!({"roles": ["operator"]}));
    let who = identity.principal(&Credentials::new(Some(operator))).await;
    assert!(who.unwrap().is_operator());
}

#[test]
fn every_refusal_tells_what_to_do_and_nothing_of_the_token() {
    for (name, _, refusal) in tables::all() {
        let message = refusal.to_string();
        assert!(message.starts_with("the token"), "{name}: {message}");
        assert!(
            message.contains(';') || message.contains(':'),
            "{name}: {message}"
        );
        assert!(
            !message.ends_with('.') && message.len() < 160,
            "{name}: {message}"
        );
    }
}

/// A token with this header, and everything else right.
fn headed(header: &str) -> String {
    Pen::secret().write(header, good(HS).to_string())
}

/// A token with these bytes in place of claims.
fn claiming(claims: impl AsRef<[u8]>) -> String {
    Pen::secret().token(claims)
}

/// A token without one claim and with further ones as they are written here.
fn written(without: &str, members: &str) -> String {
    let mut claims = good(HS);
    claims.as_object_mut().unwrap().remove(without);
    let text = claims.to_string();
    claiming(format!("{},{members}}}", text.strip_suffix('}').unwrap()))
}

/// A token with this header and this third part.
fn unsigned(header: &str, signature: &str) -> String {
    format!(
        "{}.{}.{signature}",
        part(header),
        part(good(HS).to_string())
    )
}

/// A token of an issuer with this header, by HMAC of these bytes.
fn forged(issuer: &str, header: &str, secret: &[u8]) -> String {
    Pen::of_secret(secret, By::HS256).write(header, good(issuer).to_string())
}

/// A token of an issuer with the header and the signature of this pen.
fn by(pen: &Pen, issuer: &str) -> String {
    pen.token(good(issuer).to_string())
}

/// A token of an issuer with this header and the signature of this pen.
fn mixed(pen: &Pen, issuer: &str, header: &str) -> String {
    pen.write(header, good(issuer).to_string())
}

/// A token of the set with this `kid`, which is JSON, by the key `ec-1`.
fn named(kid: &str) -> String {
    let header = format!(r#"{{"alg":"ES256","kid":{kid}}}"#);
    mixed(&Pen::ec(), SET, &header)
}

/// The token with another signature.
fn resigned(text: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (message, signature) = text.rsplit_once('.').unwrap();
    let mut bytes = decoded(signature);
    change(&mut bytes);
    format!("{message}.{}", part(bytes))
}

/// The token with another spelling of its last byte: two bits that mean nothing are set.
fn respelled(text: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    let at = alphabet.find(last).unwrap();
    assert_eq!(at % 4, 0);
    format!("{rest}{}", &alphabet[at + 3..at + 4])
}

/// The signature of ES256 as other formats write it: a sequence of two integers.
fn der(bytes: &[u8]) -> Vec<u8> {
    let integers: Vec<u8> = bytes
        .chunks(32)
        .flat_map(|half| [&[2_u8, 33, 0][..], half].concat())
        .collect();
    [&[0x30_u8, 70][..], integers.as_slice()].concat()
}
