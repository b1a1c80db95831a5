//! The tables: what is wrong, the token, and the refusal that names it.

use super::super::Claim::{Aud, Exp, Iat, Iss, Nbf, Roles, Sub, Tenant};
use super::super::JwtRefusal::{
    Algorithm, Audience, Critical, EndsTooLate, Expired, IssuedInFuture, KeyInHeader, Malformed,
    Missing, NotYetValid, Signature, TooLong, Type, UnknownIssuer, UnknownKey, Unreadable,
};
use super::*;

/// All of them.
pub(super) fn all() -> Vec<Case> {
    [
        forms(),
        objects(),
        headers(),
        algorithms(),
        confusions(),
        signatures(),
        names_of_keys(),
        ends(),
        times(),
        parties(),
        subjects(),
        rights(),
    ]
    .concat()
}

fn forms() -> Vec<Case> {
    let token = hs(json!({}));
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let standard = part(changed(HS, &json!({"sub": "????????"}))).replace('_', "/").replace('-', "+");
    assert!(standard.contains('/'));
    let jwe = part(r#"{"alg":"dir","enc":"A256GCM"}"#);
    let json_form =
        format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#);
    vec![
        ("empty", String::new(), Malformed),
        ("one point", ".".into(), Malformed),
        ("two points", "..".into(), Malformed),
        ("an API key", "ftl_live_0123456789".into(), Malformed),
        ("one part", header.into(), Malformed),
        ("two parts", format!("{header}.{claims}"), Malformed),
        ("four parts", format!("{token}.{signature}"), Malformed),
        ("five parts (JWE)", format!("{jwe}..AAAA.AAAA.AAAA"), Malformed),
        ("a point before", format!(".{token}"), Malformed),
        ("a point behind", format!("{token}."), Malformed),
        ("no header", format!(".{claims}.{signature}"), Malformed),
        ("no claims", format!("{header}..{signature}"), Malformed),
        ("JSON form of a signature", json_form, Malformed),
        ("a padded header", format!("{header}==.{claims}.{signature}"), Malformed),
        ("padded claims", format!("{header}.{claims}=.{signature}"), Malformed),
        ("a padded signature", format!("{token}="), Malformed),
        ("the standard alphabet", format!("{header}.{standard}.{signature}"), Malformed),
        ("a plus", format!("{header}.{claims}.+{signature}"), Malformed),
        ("a second spelling", respelled(&token), Malformed),
        ("a space before", format!(" {token}"), Malformed),
        ("a space behind", format!("{token} "), Malformed),
        ("a new line behind", format!("{token}\n"), Malformed),
        ("a new line inside", format!("{header}.\n{claims}.{signature}"), Malformed),
        ("a NUL behind", format!("{token}\0"), Malformed),
        ("the word Bearer", format!("Bearer {token}"), Malformed),
        ("quotes", format!("\"{token}\""), Malformed),
        ("percent encoding", token.replace('.', "%2E"), Malformed),
        ("wide points", token.replace('.', "．"), Malformed),
        ("trailing bytes", format!("{token}AAAA"), Signature),
        ("just too long", hs(json!({"pad": "x".repeat(6_100)})), TooLong),
        ("64 KiB", hs(json!({"pad": "x".repeat(48 << 10)})), TooLong),
        ("64 KiB of points", ".".repeat(64 << 10), TooLong),
        ("8 KiB of points", ".".repeat(8 << 10), Malformed),
    ]
}

fn objects() -> Vec<Case> {
    let token = hs(json!({}));
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let good = good(HS).to_string();
    let single_quotes = good.replace('"', "'");
    vec![
        ("header is no JSON", headed("alg=HS256"), Malformed),
        ("header is empty text", headed(""), Malformed),
        ("header is null", headed("null"), Malformed),
        ("header is a text", headed(r#""HS256""#), Malformed),
        ("header is a list", headed(r#"[{"alg":"HS256"}]"#), Malformed),
        ("header is cut", headed(r#"{"alg":"HS256""#), Malformed),
        ("header is followed", headed(r#"{"alg":"HS256"}{}"#), Malformed),
        ("header ends in a comma", headed(r#"{"alg":"HS256",}"#), Malformed),
        ("header has a comment", headed(r#"{"alg":"HS256"/**/}"#), Malformed),
        ("header has a mark of order", headed("\u{feff}{\"alg\":\"HS256\"}"), Malformed),
        ("alg stands twice", headed(r#"{"alg":"HS256","alg":"HS256"}"#), Malformed),
        ("alg, then none", headed(r#"{"alg":"HS256","alg":"none"}"#), Malformed),
        ("none, then alg", headed(r#"{"alg":"none","alg":"HS256"}"#), Malformed),
        ("alg is spelled otherwise", headed(r#"{"alg":"none","\u0061lg":"HS256"}"#), Malformed),
        ("kid stands twice", headed(r#"{"alg":"HS256","kid":"a","kid":"b"}"#), Malformed),
        ("an own member twice", headed(r#"{"alg":"HS256","a":1,"a":1}"#), Malformed),
        ("claims are no JSON", claiming("iss=me"), Malformed),
        ("claims are empty text", claiming(""), Malformed),
        ("claims are null", claiming("null"), Malformed),
        ("claims are a number", claiming("1"), Malformed),
        ("claims are a text", claiming(r#""iss""#), Malformed),
        ("claims are a list", claiming(format!("[{good}]")), Malformed),
        ("claims are followed", claiming(format!("{good}x")), Malformed),
        ("claims in single quotes", claiming(single_quotes), Malformed),
        ("claims are no UTF-8", claiming(b"{\"iss\":\"\xff\"}"), Malformed),
        ("half a character", written("sub", r#""sub":"\ud800""#), Malformed),
        ("deep claims", written("", &format!(r#""deep":{deep}"#)), Malformed),
        ("a token in a token", claiming(&token), Malformed),
        ("a token in a token as text", claiming(format!("\"{token}\"")), Malformed),
        ("iss stands twice", written("", r#""iss":"https://hs.example""#), Malformed),
        ("two issuers", written("", r#""iss":"https://rs.example""#), Malformed),
        ("exp stands twice", written("", r#""exp":9999999999"#), Malformed),
        ("aud stands twice", written("", r#""aud":"foretell""#), Malformed),
        ("sub is spelled otherwise", written("", r#""s\u0075b":"root""#), Malformed),
        ("tenant stands twice", written("", r#""tenant":"a","tenant":"b""#), Malformed),
        ("no claims at all", claiming("{}"), Missing(Iss)),
    ]
}

fn headers() -> Vec<Case> {
    vec![
        ("jku", headed(r#"{"alg":"HS256","jku":"https://e.example/k"}"#), KeyInHeader),
        ("x5u", headed(r#"{"alg":"HS256","x5u":"https://e.example/c"}"#), KeyInHeader),
        ("jwk", headed(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#), KeyInHeader),
        ("x5c", headed(r#"{"alg":"HS256","x5c":["MIIB"]}"#), KeyInHeader),
        ("jku is null", headed(r#"{"alg":"HS256","jku":null}"#), KeyInHeader),
        ("jwk of the very key", headed(&format!(r#"{{"jwk":{}}}"#, ec_jwk("a"))), KeyInHeader),
        ("jku beside none", headed(r#"{"alg":"none","jku":"https://e.example"}"#), KeyInHeader),
        ("crit b64", headed(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#), Critical),
        ("crit of what is known", headed(r#"{"alg":"HS256","crit":["exp"]}"#), Critical),
        ("crit of what is not", headed(r#"{"alg":"HS256","crit":["x"],"x":1}"#), Critical),
        ("crit is empty", headed(r#"{"alg":"HS256","crit":[]}"#), Critical),
        ("crit is null", headed(r#"{"alg":"HS256","crit":null}"#), Critical),
        ("typ JWE", headed(r#"{"alg":"HS256","typ":"JWE"}"#), Type),
        ("typ of a logout", headed(r#"{"alg":"HS256","typ":"logout+jwt"}"#), Type),
        ("typ of an event", headed(r#"{"alg":"HS256","typ":"secevent+jwt"}"#), Type),
        ("typ is longer", headed(r#"{"alg":"HS256","typ":"JWT "}"#), Type),
        ("typ is empty", headed(r#"{"alg":"HS256","typ":""}"#), Type),
        ("typ is null", headed(r#"{"alg":"HS256","typ":null}"#), Type),
        ("typ is a list", headed(r#"{"alg":"HS256","typ":["JWT"]}"#), Type),
        ("kid is a number", headed(r#"{"alg":"HS256","kid":1}"#), Malformed),
        ("kid is an object", headed(r#"{"alg":"HS256","kid":{"$ne":""}}"#), Malformed),
    ]
}

fn algorithms() -> Vec<Case> {
    let hmac = |by| Pen::of_secret(SECRET, by);
    vec![
        ("none", unsigned(r#"{"alg":"none"}"#, ""), Algorithm),
        ("None", unsigned(r#"{"alg":"None"}"#, ""), Algorithm),
        ("NONE", unsigned(r#"{"alg":"NONE"}"#, ""), Algorithm),
        ("nOnE", unsigned(r#"{"alg":"nOnE"}"#, ""), Algorithm),
        ("none with a typ", unsigned(r#"{"typ":"JWT","alg":"none"}"#, ""), Algorithm),
        ("none with a kid", unsigned(r#"{"alg":"none","kid":"ec-1"}"#, ""), Algorithm),
        ("none with a signature", unsigned(r#"{"alg":"none"}"#, "AAAA"), Algorithm),
        ("none over a good signature", headed(r#"{"alg":"none"}"#), Algorithm),
        ("none and a space", headed(r#"{"alg":"none "}"#), Algorithm),
        ("alg is missing", headed(r#"{"typ":"JWT"}"#), Malformed),
        ("alg is null", headed(r#"{"alg":null}"#), Malformed),
        ("alg is a number", headed(r#"{"alg":256}"#), Malformed),
        ("alg is a list", headed(r#"{"alg":["HS256"]}"#), Malformed),
        ("alg is an object", headed(r#"{"alg":{"name":"HS256"}}"#), Malformed),
        ("alg in other letters", headed(r#"{"ALG":"HS256"}"#), Malformed),
        ("alg is empty", headed(r#"{"alg":""}"#), Algorithm),
        ("hs256", headed(r#"{"alg":"hs256"}"#), Algorithm),
        ("Hs256", headed(r#"{"alg":"Hs256"}"#), Algorithm),
        ("HS256 and a space", headed(r#"{"alg":"HS256 "}"#), Algorithm),
        ("HS256 and a NUL", headed(r#"{"alg":"HS256\u0000"}"#), Algorithm),
        ("HS384 by the secret", by(&hmac(By::HS384), HS), Algorithm),
        ("HS512 by the secret", by(&hmac(By::HS512), HS), Algorithm),
        ("RS384 by the key", by(&Pen::rsa(By::RS384), RS), Algorithm),
        ("RS512 by the key", by(&Pen::rsa(By::RS512), RS), Algorithm),
        ("PS256 by the key", by(&Pen::rsa(By::PS256), RS), Algorithm),
        ("PS512 by the key", by(&Pen::rsa(By::PS512), RS), Algorithm),
        ("PS256 under RS256", mixed(&Pen::rsa(By::PS256), RS, r#"{"alg":"RS256"}"#), Signature),
        ("RS512 under RS256", mixed(&Pen::rsa(By::RS512), RS, r#"{"alg":"RS256"}"#), Signature),
        ("HS384 under HS256", mixed(&hmac(By::HS384), HS, r#"{"alg":"HS256"}"#), Signature),
        ("HS512 under HS256", mixed(&hmac(By::HS512), HS, r#"{"alg":"HS256"}"#), Signature),
        ("ES384 over ES256", mixed(&Pen::ec(), ES, r#"{"alg":"ES384"}"#), Algorithm),
        ("ES256K over ES256", mixed(&Pen::ec(), ES, r#"{"alg":"ES256K"}"#), Algorithm),
        ("Ed25519 over EdDSA", mixed(&Pen::ed(), ED, r#"{"alg":"Ed25519"}"#), Algorithm),
        ("an algorithm of JWE", headed(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#), Algorithm),
        ("a list in a text", headed(r#"{"alg":"HS256,none"}"#), Algorithm),
    ]
}

fn confusions() -> Vec<Case> {
    let (hs, rs) = (r#"{"alg":"HS256"}"#, r#"{"alg":"RS256"}"#);
    let (es, ed) = (r#"{"alg":"ES256"}"#, r#"{"alg":"EdDSA"}"#);
    let of_set = r#"{"alg":"HS256","kid":"ec-1"}"#;
    let other = r#"{"alg":"HS256","kid":"oct-1"}"#;
    let rsa = || Pen::rsa(By::RS256);
    let set = |pen: Pen, kid: &str| pen.token_of(kid, good(SET).to_string());
    vec![
        ("HMAC of the RSA key", forged(RS, hs, keys::RSA_PUBLIC.as_bytes()), Algorithm),
        ("HMAC of it trimmed", forged(RS, hs, keys::RSA_PUBLIC.trim().as_bytes()), Algorithm),
        ("HMAC of its modulus", forged(RS, hs, keys::RSA_MODULUS.as_bytes()), Algorithm),
        ("HMAC of the EC key", forged(ES, hs, keys::EC_PUBLIC.as_bytes()), Algorithm),
        ("HMAC of the Ed key", forged(ED, hs, keys::ED_PUBLIC.as_bytes()), Algorithm),
        ("HMAC of it as RS256", forged(RS, rs, keys::RSA_PUBLIC.as_bytes()), Signature),
        ("HMAC of it as ES256", forged(ES, es, keys::EC_PUBLIC.as_bytes()), Signature),
        ("HMAC of it as EdDSA", forged(ED, ed, keys::ED_PUBLIC.as_bytes()), Signature),
        ("HMAC of a key of the set", forged(SET, of_set, keys::EC_X.as_bytes()), Algorithm),
        ("HMAC of the set's secret", forged(SET, other, SECRET), UnknownKey),
        ("HMAC of a published secret", forged(ONE, hs, SECRET), Algorithm),
        // HMAC fills a short key up with zeros: this one is the empty secret.
        ("HMAC of no secret", forged(HS, hs, &[0]), Signature),
        ("HMAC of no secret for RSA", forged(RS, hs, &[0]), Algorithm),
        ("HMAC of the issuer's name", forged(HS, hs, HS.as_bytes()), Signature),
        ("HMAC of half the secret", forged(HS, hs, &SECRET[..16]), Signature),
        ("HMAC of `secret`", forged(HS, hs, b"secret"), Signature),
        ("RS256 for a secret", by(&rsa(), HS), Algorithm),
        ("RS256 over HMAC", forged(HS, rs, SECRET), Algorithm),
        ("ES256 for a secret", by(&Pen::ec(), HS), Algorithm),
        ("EdDSA for a secret", by(&Pen::ed(), HS), Algorithm),
        ("ES256 for an RSA key", by(&Pen::ec(), RS), Algorithm),
        ("EdDSA for an RSA key", by(&Pen::ed(), RS), Algorithm),
        ("EdDSA for an EC key", by(&Pen::ed(), ES), Algorithm),
        ("RS256 for an EC key", by(&rsa(), ES), Algorithm),
        ("ES256 for an Ed key", by(&Pen::ec(), ED), Algorithm),
        ("RS256 for an Ed key", by(&rsa(), ED), Algorithm),
        ("EdDSA under ES256", mixed(&Pen::ed(), ES, es), Signature),
        ("ES256 under EdDSA", mixed(&Pen::ec(), ED, ed), Signature),
        ("another EC key", by(&Pen::other_ec(), ES), Signature),
        ("another EC key for the only one", by(&Pen::ec(), ONE), Signature),
        ("another EC key by its name", set(Pen::other_ec(), "ec-1"), Signature),
        ("the set's Ed key by the EC name", set(Pen::ed(), "ec-1"), Algorithm),
        ("the set's EC key by the RSA name", set(Pen::ec(), "rsa-1"), Algorithm),
        ("the set's key for encryption", set(Pen::other_ec(), "enc-1"), UnknownKey),
    ]
}

fn signatures() -> Vec<Case> {
    let hs = hs(json!({}));
    let rs = by(&Pen::rsa(By::RS256), RS);
    let es = by(&Pen::ec(), ES);
    let ed = by(&Pen::ed(), ED);
    let own = |text: &str| decoded(text.rsplit('.').next().unwrap());
    let other = own(&by(&Pen::ec(), SET));
    let elsewhere = own(&claiming(changed(HS, &json!({"sub": "eve"}))));
    let message = hs.rsplit_once('.').unwrap().0;
    let claims = |change: Value| part(changed(HS, &change));
    let header = message.split('.').next().unwrap();
    let signature = hs.rsplit('.').next().unwrap();
    let root = claims(json!({"sub": "root"}));
    let longer = claims(json!({"exp": NOW + 601}));
    vec![
        ("HS256 stripped", resigned(&hs, Vec::clear), Signature),
        ("RS256 stripped", resigned(&rs, Vec::clear), Signature),
        ("ES256 stripped", resigned(&es, Vec::clear), Signature),
        ("EdDSA stripped", resigned(&ed, Vec::clear), Signature),
        ("HS256 cut by a byte", resigned(&hs, |bytes| bytes.truncate(31)), Signature),
        ("HS256 cut to half", resigned(&hs, |bytes| bytes.truncate(16)), Signature),
        ("HS256 cut to one byte", resigned(&hs, |bytes| bytes.truncate(1)), Signature),
        ("RS256 cut by a byte", resigned(&rs, |bytes| bytes.truncate(255)), Signature),
        ("ES256 cut by a byte", resigned(&es, |bytes| bytes.truncate(63)), Signature),
        ("EdDSA cut by a byte", resigned(&ed, |bytes| bytes.truncate(63)), Signature),
        ("HS256 and a byte", resigned(&hs, |bytes| bytes.push(0)), Signature),
        ("RS256 and a byte", resigned(&rs, |bytes| bytes.push(0)), Signature),
        ("RS256 after a zero", resigned(&rs, |bytes| bytes.insert(0, 0)), Signature),
        ("ES256 and a byte", resigned(&es, |bytes| bytes.push(0)), Signature),
        ("EdDSA and a byte", resigned(&ed, |bytes| bytes.push(0)), Signature),
        ("HS256 with one bit changed", resigned(&hs, |bytes| bytes[31] ^= 1), Signature),
        ("RS256 with one bit changed", resigned(&rs, |bytes| bytes[255] ^= 1), Signature),
        ("ES256 with one bit changed", resigned(&es, |bytes| bytes[63] ^= 1), Signature),
        ("EdDSA with one bit changed", resigned(&ed, |bytes| bytes[0] ^= 1), Signature),
        ("HS256 of zeros", resigned(&hs, |bytes| bytes.fill(0)), Signature),
        ("RS256 of zeros", resigned(&rs, |bytes| bytes.fill(0)), Signature),
        ("RS256 of ones", resigned(&rs, |bytes| bytes.fill(255)), Signature),
        ("ES256 with r = s = 0", resigned(&es, |bytes| bytes.fill(0)), Signature),
        ("ES256 with r = 0", resigned(&es, |bytes| bytes[..32].fill(0)), Signature),
        ("ES256 with s = 0", resigned(&es, |bytes| bytes[32..].fill(0)), Signature),
        ("ES256 of ones", resigned(&es, |bytes| bytes.fill(255)), Signature),
        ("ES256 in DER", resigned(&es, |bytes| *bytes = der(bytes)), Signature),
        ("ES256 with r and s swapped", resigned(&es, |bytes| bytes.rotate_left(32)), Signature),
        ("EdDSA of zeros", resigned(&ed, |bytes| bytes.fill(0)), Signature),
        ("HS256 of another token", resigned(&hs, |bytes| *bytes = elsewhere), Signature),
        ("ES256 of another token", resigned(&es, |bytes| *bytes = other), Signature),
        ("another subject", format!("{header}.{root}.{signature}"), Signature),
        ("a later end", format!("{header}.{longer}.{signature}"), Signature),
    ]
}

fn names_of_keys() -> Vec<Case> {
    let ec_2 = Pen::other_ec();
    let good_one = good(ONE).to_string();
    vec![
        ("no kid for a set of several", by(&Pen::ec(), SET), UnknownKey),
        ("an unknown kid", named(r#""ec-9""#), UnknownKey),
        ("an empty kid", named(r#""""#), UnknownKey),
        ("a kid in other letters", named(r#""EC-1""#), UnknownKey),
        ("the beginning of a kid", named(r#""ec""#), UnknownKey),
        ("a kid and more", named(r#""ec-10""#), UnknownKey),
        ("a kid after a space", named(r#"" ec-1""#), UnknownKey),
        ("a kid and a NUL", named(r#""ec-1\u0000""#), UnknownKey),
        ("a kid and a new line", named(r#""ec-1\n""#), UnknownKey),
        ("a kid in wide letters", named(r#""ｅｃ-1""#), UnknownKey),
        ("a pattern", named(r#""*""#), UnknownKey),
        ("a path upwards", named(r#""../../../../../../dev/null""#), UnknownKey),
        ("a path", named(r#""/dev/null""#), UnknownKey),
        ("a path to a key", named(r#""keys/ec-1""#), UnknownKey),
        ("an address of a file", named(r#""file:///etc/passwd""#), UnknownKey),
        ("an address", named(r#""https://evil.example/jwks.json""#), UnknownKey),
        ("SQL", named(r#""ec-1' OR '1'='1""#), UnknownKey),
        ("SQL with a secret", named(r#""x' UNION SELECT 'c2VjcmV0' -- ""#), UnknownKey),
        ("a command", named(r#""ec-1|sleep 9""#), UnknownKey),
        ("a template", named(r#""${ec-1}""#), UnknownKey),
        ("a name of an object's own", named(r#""__proto__""#), UnknownKey),
        ("an index", named(r#""0""#), UnknownKey),
        ("a long kid", named(&format!(r#""{}""#, "k".repeat(4_000))), UnknownKey),
        ("a list of kids", named(r#"["ec-1"]"#), Malformed),
        ("kid in an object", named(r#"{"kid":"ec-1"}"#), Malformed),
        ("kid is zero", named("0"), Malformed),
        ("kid is true", named("true"), Malformed),
        ("kid is null", named("null"), Malformed),
        ("a kid of another issuer", ec_2.token_of("ec-1", &good_one), UnknownKey),
        ("a kid of a key not used", ec_2.token_of("oct-2", &good_one), UnknownKey),
        ("a wrong kid for the only key", ec_2.token_of("x", &good_one), UnknownKey),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        ("expired by the leeway", hs(json!({"exp": NOW - 30})), Expired),
        ("expired by a fraction more", hs(json!({"exp": NOW as f64 - 30.5})), Expired),
        ("expired last year", hs(json!({"exp": NOW - 31_536_000})), Expired),
        ("exp is zero", hs(json!({"exp": 0})), Expired),
        ("exp is minus zero", written("exp", r#""exp":-0.0"#), Expired),
        ("exp is negative", hs(json!({"exp": -1})), Expired),
        ("exp is very negative", hs(json!({"exp": -9_000_000_000_000_000_i64})), Expired),
        ("exp is missing", hs(json!({"exp": null})), Missing(Exp)),
        ("exp in other letters", written("exp", r#""EXP":1800000600"#), Missing(Exp)),
        ("exp is null", written("exp", r#""exp":null"#), Unreadable(Exp)),
        ("exp is a text", hs(json!({"exp": "1800000600"})), Unreadable(Exp)),
        ("exp is a date", hs(json!({"exp": "2027-01-15T08:10:00Z"})), Unreadable(Exp)),
        ("exp is a list", hs(json!({"exp": [NOW + 600]})), Unreadable(Exp)),
        ("exp is an object", hs(json!({"exp": {}})), Unreadable(Exp)),
        ("exp is true", hs(json!({"exp": true})), Unreadable(Exp)),
        ("exp is NaN", written("exp", r#""exp":NaN"#), Malformed),
        ("exp is the text NaN", hs(json!({"exp": "NaN"})), Unreadable(Exp)),
        ("exp is Infinity", written("exp", r#""exp":Infinity"#), Malformed),
        ("exp is beyond floats", written("exp", r#""exp":1e400"#), Malformed),
        ("exp is hexadecimal", written("exp", r#""exp":0xffffffff"#), Malformed),
        ("exp begins with a zero", written("exp", r#""exp":01800000600"#), Malformed),
        ("exp has a plus", written("exp", r#""exp":+1800000600"#), Malformed),
        ("exp is a huge float", written("exp", r#""exp":1e300"#), Unreadable(Exp)),
        ("exp is a huge negative float", written("exp", r#""exp":-1e300"#), Unreadable(Exp)),
        ("exp is 2^63 - 1", hs(json!({"exp": i64::MAX})), Unreadable(Exp)),
        ("exp is 2^64 - 1", hs(json!({"exp": u64::MAX})), Unreadable(Exp)),
        ("exp is 2^64", written("exp", r#""exp":18446744073709551616"#), Unreadable(Exp)),
        ("exp is -2^63", hs(json!({"exp": i64::MIN})), Unreadable(Exp)),
        ("exp in a day and a second", hs(json!({"exp": NOW + 86_401})), EndsTooLate),
        ("exp in a year", hs(json!({"exp": NOW + 31_536_000})), EndsTooLate),
        ("exp in the year 9999", hs(json!({"exp": 253_402_300_799_i64})), EndsTooLate),
        ("exp in milliseconds", hs(json!({"exp": (NOW + 600) * 1000})), EndsTooLate),
        ("exp is a large float", written("exp", r#""exp":8e12"#), EndsTooLate),
    ]
}

fn times() -> Vec<Case> {
    vec![
        ("nbf in the future", hs(json!({"nbf": NOW + 31})), NotYetValid),
        ("nbf a fraction later", hs(json!({"nbf": NOW as f64 + 30.5})), NotYetValid),
        ("nbf after exp", hs(json!({"nbf": NOW + 601})), NotYetValid),
        ("nbf in milliseconds", hs(json!({"nbf": NOW * 1000})), NotYetValid),
        ("nbf is a text", hs(json!({"nbf": "0"})), Unreadable(Nbf)),
        ("nbf is null", written("", r#""nbf":null"#), Unreadable(Nbf)),
        ("nbf is false", hs(json!({"nbf": false})), Unreadable(Nbf)),
        ("nbf is huge", hs(json!({"nbf": i64::MAX})), Unreadable(Nbf)),
        ("iat in the future", hs(json!({"iat": NOW + 31})), IssuedInFuture),
        ("iat in milliseconds", hs(json!({"iat": NOW * 1000})), IssuedInFuture),
        ("iat is a text", hs(json!({"iat": "1800000000"})), Unreadable(Iat)),
        ("iat is null", written("", r#""iat":null"#), Unreadable(Iat)),
        ("iat is a list", hs(json!({"iat": [NOW]})), Unreadable(Iat)),
        ("iat is huge", hs(json!({"iat": u64::MAX})), Unreadable(Iat)),
    ]
}

fn parties() -> Vec<Case> {
    vec![
        ("iss is missing", hs(json!({"iss": null})), Missing(Iss)),
        ("iss is unknown", hs(json!({"iss": "https://evil.example"})), UnknownIssuer),
        ("iss is empty", hs(json!({"iss": ""})), UnknownIssuer),
        ("iss and a slash", hs(json!({"iss": "https://hs.example/"})), UnknownIssuer),
        ("iss is cut", hs(json!({"iss": "https://hs.exampl"})), UnknownIssuer),
        ("iss goes on", hs(json!({"iss": "https://hs.example.evil.example"})), UnknownIssuer),
        ("iss with a user", hs(json!({"iss": "https://hs.example@evil.example"})), UnknownIssuer),
        ("iss by another way", hs(json!({"iss": "http://hs.example"})), UnknownIssuer),
        ("iss in other letters", hs(json!({"iss": "https://HS.example"})), UnknownIssuer),
        ("iss after a space", hs(json!({"iss": " https://hs.example"})), UnknownIssuer),
        ("iss and a NUL", hs(json!({"iss": "https://hs.example\0"})), UnknownIssuer),
        ("iss in a list", hs(json!({"iss": [HS]})), Unreadable(Iss)),
        ("iss is null", written("iss", r#""iss":null"#), Unreadable(Iss)),
        ("iss is a number", hs(json!({"iss": 1})), Unreadable(Iss)),
        ("iss of another secret", hs(json!({"iss": RS})), Algorithm),
        ("aud is missing", hs(json!({"aud": null})), Missing(Aud)),
        ("aud is another", hs(json!({"aud": "other"})), Audience),
        ("aud is empty", hs(json!({"aud": ""})), Audience),
        ("aud is cut", hs(json!({"aud": "foretel"})), Audience),
        ("aud goes on", hs(json!({"aud": "foretell2"})), Audience),
        ("aud in other letters", hs(json!({"aud": "Foretell"})), Audience),
        ("aud among words", hs(json!({"aud": "foretell other"})), Audience),
        ("aud is a pattern", hs(json!({"aud": "*"})), Audience),
        ("aud is the issuer", hs(json!({"aud": HS})), Audience),
        ("aud is an empty list", hs(json!({"aud": []})), Audience),
        ("aud is a list of others", hs(json!({"aud": ["a", "foretell2"]})), Audience),
        ("aud in a list of lists", hs(json!({"aud": [[AUDIENCE]]})), Unreadable(Aud)),
        ("aud beside a number", hs(json!({"aud": [AUDIENCE, 1]})), Unreadable(Aud)),
        ("aud is a list of numbers", hs(json!({"aud": [1, 2]})), Unreadable(Aud)),
        ("aud is a number", hs(json!({"aud": 1})), Unreadable(Aud)),
        ("aud is true", hs(json!({"aud": true})), Unreadable(Aud)),
        ("aud is an object", hs(json!({"aud": {"foretell": true}})), Unreadable(Aud)),
        ("aud is null", written("aud", r#""aud":null"#), Unreadable(Aud)),
    ]
}

fn subjects() -> Vec<Case> {
    vec![
        ("sub is missing", hs(json!({"sub": null})), Missing(Sub)),
        ("sub is empty", hs(json!({"sub": ""})), Unreadable(Sub)),
        ("sub is too long", hs(json!({"sub": "x".repeat(257)})), Unreadable(Sub)),
        ("sub is too long in bytes", hs(json!({"sub": "é".repeat(129)})), Unreadable(Sub)),
        ("sub with a new line", hs(json!({"sub": "ada\nroot"})), Unreadable(Sub)),
        ("sub with a NUL", hs(json!({"sub": "ada\0"})), Unreadable(Sub)),
        ("sub with an escape", hs(json!({"sub": "\u{1b}[31mada"})), Unreadable(Sub)),
        ("sub with a delete", hs(json!({"sub": "ada\u{7f}"})), Unreadable(Sub)),
        ("sub with a C1 control", hs(json!({"sub": "ada\u{85}"})), Unreadable(Sub)),
        ("sub is a number", hs(json!({"sub": 7})), Unreadable(Sub)),
        ("sub is a list", hs(json!({"sub": ["ada"]})), Unreadable(Sub)),
        ("sub is an object", hs(json!({"sub": {"id": "ada"}})), Unreadable(Sub)),
        ("sub is null", written("sub", r#""sub":null"#), Unreadable(Sub)),
    ]
}

fn rights() -> Vec<Case> {
    vec![
        ("tenant in capitals", hs(json!({"tenant": "Acme"})), Unreadable(Tenant)),
        ("tenant is empty", hs(json!({"tenant": ""})), Unreadable(Tenant)),
        ("tenant is a path", hs(json!({"tenant": "../other"})), Unreadable(Tenant)),
        ("tenant is too long", hs(json!({"tenant": "a".repeat(64)})), Unreadable(Tenant)),
        ("tenant and a space", hs(json!({"tenant": "acme "})), Unreadable(Tenant)),
        ("tenant and a NUL", hs(json!({"tenant": "acme\0"})), Unreadable(Tenant)),
        ("tenant is a pattern", hs(json!({"tenant": "*"})), Unreadable(Tenant)),
        ("tenant is a number", hs(json!({"tenant": 1})), Unreadable(Tenant)),
        ("tenant in a list", hs(json!({"tenant": ["acme"]})), Unreadable(Tenant)),
        ("tenant is an object", hs(json!({"tenant": {"id": "acme"}})), Unreadable(Tenant)),
        ("tenant is null", written("", r#""tenant":null"#), Unreadable(Tenant)),
        ("roles are numbers", hs(json!({"roles": [1, 2]})), Unreadable(Roles)),
        ("roles hold a number", hs(json!({"roles": ["a", 1]})), Unreadable(Roles)),
        ("roles hold a list", hs(json!({"roles": [["a"]]})), Unreadable(Roles)),
        ("roles hold null", hs(json!({"roles": [null]})), Unreadable(Roles)),
        ("roles are a number", hs(json!({"roles": 1})), Unreadable(Roles)),
        ("roles are true", hs(json!({"roles": true})), Unreadable(Roles)),
        ("roles are an object", hs(json!({"roles": {"admin": true}})), Unreadable(Roles)),
        ("roles are null", written("", r#""roles":null"#), Unreadable(Roles)),
    ]
}
