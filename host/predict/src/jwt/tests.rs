//! Genuine tokens are taken, and what all tests need to make tokens of either sort.

mod hostile;
mod keys;
mod sets;

use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foretell_types::TenantId;
use jsonwebtoken::Algorithm as By;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;
use sets::Source;

/// Seconds since 1970 at which the tests take place.
const NOW: i64 = 1_800_000_000;

const AUDIENCE: &str = "foretell";
const SECRET: &[u8] = b"thirty-two bytes make one secret";

/// Issuers, by what their keys are.
const HS: &str = "https://hs.example";
const RS: &str = "https://rs.example";
const ES: &str = "https://es.example";
const ED: &str = "https://ed.example";
/// A set of several keys: `ec-1`, `rsa-1`, `ed-1`, and some that are not used.
const SET: &str = "https://set.example";
/// A set of one key, which is none of those: `ec-2`.
const ONE: &str = "https://one.example";

/// Signs whatever it is given.
struct Pen {
    key: EncodingKey,
    by: By,
}

impl Pen {
    fn of_secret(secret: &[u8], by: By) -> Self {
        let key = EncodingKey::from_secret(secret);
        Self { key, by }
    }

    fn secret() -> Self {
        Self::of_secret(SECRET, By::HS256)
    }

    fn rsa(by: By) -> Self {
        let key = EncodingKey::from_rsa_pem(keys::RSA_PRIVATE.as_bytes()).unwrap();
        Self { key, by }
    }

    fn ec() -> Self {
        let key = EncodingKey::from_ec_pem(keys::EC_PRIVATE.as_bytes()).unwrap();
        Self { key, by: By::ES256 }
    }

    fn other_ec() -> Self {
        let key = EncodingKey::from_ec_pem(keys::OTHER_EC_PRIVATE.as_bytes()).unwrap();
        Self { key, by: By::ES256 }
    }

    fn ed() -> Self {
        let key = EncodingKey::from_ed_pem(keys::ED_PRIVATE.as_bytes()).unwrap();
        Self { key, by: By::EdDSA }
    }

    /// A token of any header and claims, with a signature of this pen whatever the header says.
    fn write(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.by).unwrap();
        format!("{message}.{signature}")
    }

    /// A token with the header that belongs to this pen.
    fn token(&self, claims: impl AsRef<[u8]>) -> String {
        self.write(format!(r#"{{"typ":"JWT","alg":"{:?}"}}"#, self.by), claims)
    }

    /// The same for a key of a set.
    fn token_of(&self, kid: &str, claims: impl AsRef<[u8]>) -> String {
        let header = format!(r#"{{"kid":"{kid}","alg":"{:?}"}}"#, self.by);
        self.write(header, claims)
    }
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

fn good(issuer: &str) -> Value {
    json!({"iss": issuer, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 600})
}

/// The claims of a good token with other members, or without those that are null.
fn changed(issuer: &str, change: &Value) -> String {
    let mut claims = good(issuer);
    let members = claims.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims.to_string()
}

/// A token of HS256 that is good but for these claims.
fn hs(change: Value) -> String {
    Pen::secret().token(changed(HS, &change))
}

fn ec_jwk(kid: &str) -> String {
    let (x, y) = (keys::EC_X, keys::EC_Y);
    format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{y}"}}"#)
}

fn rsa_jwk(kid: &str) -> String {
    let n = keys::RSA_MODULUS;
    format!(
        r#"{{"kty":"RSA","use":"sig","alg":"RS256","kid":"{kid}","n":"{n}","e":"AQAB","x5t":"aaaa"}}"#
    )
}

fn ed_jwk(kid: &str) -> String {
    let x = keys::ED_X;
    format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}","key_ops":["verify"]}}"#)
}

fn other_ec_jwk(kid: &str, members: &str) -> String {
    let (x, y) = (keys::OTHER_EC_X, keys::OTHER_EC_Y);
    format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{y}"{members}}}"#)
}

fn oct_jwk(kid: &str) -> String {
    format!(
        r#"{{"kty":"oct","kid":"{kid}","alg":"HS256","k":"{}"}}"#,
        part(SECRET)
    )
}

fn public(algorithm: PublicAlgorithm, pem: &str) -> KeySource {
    KeySource::PublicPem {
        algorithm,
        pem: pem.to_owned(),
    }
}

fn secret(secret: &[u8]) -> KeySource {
    KeySource::Secret {
        secret: secret.to_vec(),
    }
}

/// A clock that stands at [`NOW`] until it is moved.
fn clock() -> (Clock, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(NOW * 1000));
    let clock = {
        let now = Arc::clone(&now);
        Clock::from_fn(move || now.load(Ordering::Relaxed))
    };
    (clock, now)
}

/// All issuers at [`NOW`].
fn tokens() -> Tokens {
    Tokens::new(issuers(), clock().0).unwrap()
}

fn issuers() -> Vec<Issuer> {
    let set = Source::of(&[
        ec_jwk("ec-1"),
        rsa_jwk("rsa-1"),
        ed_jwk("ed-1"),
        oct_jwk("oct-1"),
        other_ec_jwk("enc-1", r#","use":"enc""#),
    ]);
    let one = Source::of(&[other_ec_jwk("ec-2", ""), oct_jwk("oct-2")]);
    vec![
        Issuer::new(HS, AUDIENCE, secret(SECRET)),
        Issuer::new(
            RS,
            AUDIENCE,
            public(PublicAlgorithm::Rs256, keys::RSA_PUBLIC),
        ),
        Issuer::new(
            ES,
            AUDIENCE,
            public(PublicAlgorithm::Es256, keys::EC_PUBLIC),
        ),
        Issuer::new(
            ED,
            AUDIENCE,
            public(PublicAlgorithm::EdDsa, keys::ED_PUBLIC),
        ),
        Issuer::new(SET, AUDIENCE, KeySource::Set(set)),
        Issuer::new(ONE, AUDIENCE, KeySource::Set(one)),
    ]
}

#[tokio::test]
async fn each_kind_of_key_tells_its_own_tokens() {
    let tokens = tokens();
    let genuine = [
        (HS, Pen::secret().token(good(HS).to_string())),
        (RS, Pen::rsa(By::RS256).token(good(RS).to_string())),
        (ES, Pen::ec().token(good(ES).to_string())),
        (ED, Pen::ed().token(good(ED).to_string())),
        (SET, Pen::ec().token_of("ec-1", good(SET).to_string())),
        (SET, Pen::ed().token_of("ed-1", good(SET).to_string())),
        (
            SET,
            Pen::rsa(By::RS256).token_of("rsa-1", good(SET).to_string()),
        ),
        (ONE, Pen::other_ec().token_of("ec-2", good(ONE).to_string())),
        // A set of one usable key needs no name, and a single key does not mind one.
        (ONE, Pen::other_ec().token(good(ONE).to_string())),
        (HS, Pen::secret().token_of("whatever", good(HS).to_string())),
    ];
    for (issuer, text) in genuine {
        assert!(Tokens::looks_like(&text), "{issuer}");
        let expected = Verified {
            issuer: issuer.to_owned(),
            subject: "ada".to_owned(),
            tenant: None,
            roles: vec![],
            expires_at: (NOW + 600) * 1000,
        };
        assert_eq!(tokens.verify(&text).await, Ok(expected), "{issuer}");
    }
}

#[tokio::test]
async fn tenant_and_roles_are_read_in_either_form() {
    let tokens = &tokens();
    let verified = |change: Value| async move { tokens.verify(&hs(change)).await.unwrap() };
    let one = verified(json!({"tenant": "acme-2", "roles": "reader  writer "})).await;
    assert_eq!(one.tenant, TenantId::parse("acme-2").ok());
    assert_eq!(one.roles, ["reader", "writer"]);
    let other = verified(json!({"roles": ["a b", "c"], "scope": 5, "nested": {"a": [1]}})).await;
    assert_eq!(other.tenant, None);
    assert_eq!(other.roles, ["a b", "c"]);
    assert!(verified(json!({"roles": []})).await.roles.is_empty());
    assert!(verified(json!({"roles": ""})).await.roles.is_empty());
}

#[tokio::test]
async fn an_issuer_may_name_its_claims_otherwise() {
    let mut issuer = Issuer::new(HS, AUDIENCE, secret(SECRET));
    issuer.tenant_claim = "https://example.org/org".to_owned();
    issuer.roles_claim = "scope".to_owned();
    let tokens = Tokens::new(vec![issuer], clock().0).unwrap();
    let text = hs(json!({
        "https://example.org/org": "acme",
        "scope": "infer usage",
        "tenant": "other",
        "roles": ["operator"],
    }));
    let verified = tokens.verify(&text).await.unwrap();
    assert_eq!(verified.tenant, TenantId::parse("acme").ok());
    assert_eq!(verified.roles, ["infer", "usage"]);
}

#[tokio::test]
async fn what_may_differ_between_issuers_is_taken() {
    let tokens = tokens();
    let headers = [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":"at+JWT"}"#,
        r#" { "typ" : "JWT", "alg" : "HS256", "x5t" : "thumb", "own" : { "a" : 1 } } "#,
    ];
    for header in headers {
        let text = Pen::secret().write(header, good(HS).to_string());
        assert!(tokens.verify(&text).await.is_ok(), "{header}");
    }
    let claims = [
        json!({"aud": [AUDIENCE]}),
        json!({"aud": ["other", AUDIENCE, "third"]}),
        json!({"exp": NOW as f64 + 0.5}),
        json!({"nbf": NOW - 5, "iat": NOW - 5, "jti": "7", "auth_time": "unread"}),
        json!({"nbf": 0, "iat": 1.5e9}),
        json!({"sub": "x".repeat(256)}),
        json!({"sub": "auth0|Zoë Ångström <z@example.org>"}),
    ];
    for change in claims {
        assert!(tokens.verify(&hs(change.clone())).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn the_leeway_of_both_ends_is_exact() {
    let (clock, now) = clock();
    let tokens = Tokens::new(vec![Issuer::new(HS, AUDIENCE, secret(SECRET))], clock).unwrap();
    let text = hs(json!({"nbf": NOW, "iat": NOW, "exp": NOW + 600}));
    let edges = [
        (NOW * 1000 - 30_001, Err(JwtRefusal::NotYetValid)),
        (NOW * 1000 - 30_000, Ok(())),
        ((NOW + 600) * 1000, Ok(())),
        ((NOW + 630) * 1000 - 1, Ok(())),
        ((NOW + 630) * 1000, Err(JwtRefusal::Expired)),
    ];
    for (at_ms, expected) in edges {
        now.store(at_ms, Ordering::Relaxed);
        let outcome = tokens.verify(&text).await.map(|_| ());
        assert_eq!(outcome, expected, "{at_ms}");
    }
    now.store(NOW * 1000, Ordering::Relaxed);
    let day = 24 * 60 * 60;
    let longest = tokens.verify(&hs(json!({"exp": NOW + day}))).await;
    assert!(longest.is_ok());
    let longer = tokens.verify(&hs(json!({"exp": NOW + day + 1}))).await;
    assert_eq!(longer, Err(JwtRefusal::EndsTooLate));
}

#[tokio::test]
async fn a_token_may_have_eight_kibibytes() {
    let longest = (5_500..)
        .map(|pad| hs(json!({"pad": "x".repeat(pad)})))
        .take_while(|text| text.len() <= MAX_TOKEN_BYTES)
        .last()
        .unwrap();
    assert!(longest.len() > MAX_TOKEN_BYTES - 3, "{}", longest.len());
    assert!(tokens().verify(&longest).await.is_ok());
}

#[test]
fn a_token_is_told_from_a_key_by_its_form() {
    for token in ["eyJ.eyJ.sig", "eyA.e30.", "eyJhbGciOi.eyJ_-9.A-_z"] {
        assert!(Tokens::looks_like(token), "{token}");
    }
    let others = [
        "",
        "ey",
        "..",
        "ftl_live_0123456789ABCDEFGHIJKLMNOPQRSTUV0abcde",
        "my-own-operator-key",
        "eyJ.eyJ",
        "eyJ.eyJ.sig.more",
        "eyJ.a.b.c.d",
        "EYJ.eyJ.sig",
        "abc.eyJ.sig",
        " eyJ.eyJ.sig",
        "eyJ.eyJ.sig\n",
        "eyJ.eyJ.s+g",
        "eyJ.eyJ.s/g",
        "eyJ.eyJ.sig=",
        "eyJ.eyJ.sïg",
    ];
    for other in others {
        assert!(!Tokens::looks_like(other), "{other:?}");
    }
}

#[test]
fn issuers_that_let_no_one_or_anyone_in_are_refused_at_start() {
    let issuer = || HS.to_owned();
    let unreadable = |algorithm| JwtConfigError::UnreadableKey {
        issuer: issuer(),
        algorithm,
    };
    let empty = |what| JwtConfigError::Empty {
        issuer: issuer(),
        what,
    };
    let of = |keys| vec![Issuer::new(HS, AUDIENCE, keys)];
    let changed = |change: fn(&mut Issuer)| {
        let mut issuer = Issuer::new(HS, AUDIENCE, secret(SECRET));
        change(&mut issuer);
        vec![issuer]
    };
    let both = format!("{}{}", keys::EC_PUBLIC, keys::EC_PRIVATE);
    let certificate = keys::RSA_PUBLIC.replace("PUBLIC KEY", "CERTIFICATE");
    let cut = keys::EC_PUBLIC.replace("684ah9IeTUrpBnK", "");
    let (rs, es, ed) = (
        PublicAlgorithm::Rs256,
        PublicAlgorithm::Es256,
        PublicAlgorithm::EdDsa,
    );
    let short = JwtConfigError::ShortSecret {
        issuer: issuer(),
        bytes: 31,
    };
    let none = JwtConfigError::ShortSecret {
        issuer: issuer(),
        bytes: 0,
    };
    let nameless = JwtConfigError::Empty {
        issuer: String::new(),
        what: "name",
    };
    let twice = vec![
        Issuer::new(HS, AUDIENCE, secret(SECRET)),
        Issuer::new(HS, "other", public(es, keys::EC_PUBLIC)),
    ];
    let cases = [
        (of(secret(&SECRET[1..])), short),
        (of(secret(b"")), none),
        (of(public(rs, "")), unreadable(rs)),
        (of(public(rs, "-----BEGIN PUBLIC KEY-----")), unreadable(rs)),
        (of(public(rs, keys::RSA_PRIVATE)), unreadable(rs)),
        (of(public(rs, &certificate)), unreadable(rs)),
        (of(public(rs, keys::EC_PUBLIC)), unreadable(rs)),
        (of(public(rs, keys::ED_PUBLIC)), unreadable(rs)),
        (of(public(es, keys::RSA_PUBLIC)), unreadable(es)),
        (of(public(es, keys::P384_PUBLIC)), unreadable(es)),
        (of(public(es, keys::EC_PRIVATE)), unreadable(es)),
        (of(public(es, &both)), unreadable(es)),
        (of(public(es, &cut)), unreadable(es)),
        (of(public(ed, keys::EC_PUBLIC)), unreadable(ed)),
        (of(public(ed, keys::ED_PRIVATE)), unreadable(ed)),
        (
            of(public(rs, keys::WEAK_RSA_PUBLIC)),
            JwtConfigError::WeakKey { issuer: issuer() },
        ),
        (twice, JwtConfigError::Twice { issuer: issuer() }),
        (changed(|issuer| issuer.name.clear()), nameless),
        (changed(|issuer| issuer.audience.clear()), empty("audience")),
        (
            changed(|issuer| issuer.tenant_claim.clear()),
            empty("tenant claim"),
        ),
        (
            changed(|issuer| issuer.roles_claim.clear()),
            empty("roles claim"),
        ),
        (
            changed(|issuer| issuer.leeway = Duration::from_secs(301)),
            JwtConfigError::LongLeeway { issuer: issuer() },
        ),
    ];
    for (issuers, expected) in cases {
        let message = expected.to_string();
        assert_eq!(
            Tokens::new(issuers, clock().0).err(),
            Some(expected),
            "{message}"
        );
    }
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let issuer = Issuer::new(HS, AUDIENCE, secret(SECRET));
    let shown = format!("{issuer:?}");
    assert!(shown.contains("Secret(…)"), "{shown}");
    let tokens = Tokens::new(vec![issuer], clock().0).unwrap();
    assert_eq!(format!("{tokens:?}"), format!("{{{HS:?}}}"));
}

#[test]
fn a_name_of_an_algorithm_is_read_as_it_is_written() {
    for algorithm in PublicAlgorithm::ALL {
        assert_eq!(PublicAlgorithm::parse(algorithm.as_str()), Some(algorithm));
    }
    for other in ["", "HS256", "none", "rs256", "ES384"] {
        assert_eq!(PublicAlgorithm::parse(other), None, "{other}");
    }
}
