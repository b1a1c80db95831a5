//! A token taken apart: the rules of its form and its header. Nothing of it is proven yet.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{JwtRefusal, key};

/// How long a token may be: what servers and proxies commonly take of a header. Real ones have 1 to 3 KiB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Header members that bring a key or say where one is. A reader that follows them checks a token by its own word.
const KEYS_OF_STRANGERS: [&str; 4] = ["jku", "jwk", "x5c", "x5u"];

/// A token whose form is right.
pub(super) struct Token<'a> {
    /// What the signature is over.
    pub message: &'a str,
    /// The algorithm that the header names.
    pub algorithm: Algorithm,
    /// The key that the header names.
    pub kid: Option<String>,
    /// What the token says.
    pub claims: Members,
    /// The third part, decoded.
    pub signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// `TooLong`, `Malformed`, `KeyInHeader`, `Critical`, `Type`, or `Algorithm` for one that no key here can have.
    pub(super) fn read(text: &'a str) -> Result<Self, JwtRefusal> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(JwtRefusal::TooLong);
        }
        // A further point is left in the claims, and is no base64.
        let (message, signature) = text.rsplit_once('.').ok_or(JwtRefusal::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(JwtRefusal::Malformed)?;
        let (header, claims) = (decoded(header)?, decoded(claims)?);
        let signature = decoded(signature)?;
        let mut header = Members::read(&header)?;
        let algorithm = algorithm(&header)?;
        let kid = match header.remove("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid),
            Some(_) => return Err(JwtRefusal::Malformed),
        };
        Ok(Self {
            message,
            algorithm,
            kid,
            claims: Members::read(&claims)?,
            signature,
        })
    }
}

/// The algorithm that a header names, if nothing in the header speaks against it.
fn algorithm(header: &Members) -> Result<Algorithm, JwtRefusal> {
    if KEYS_OF_STRANGERS
        .iter()
        .any(|name| header.get(name).is_some())
    {
        return Err(JwtRefusal::KeyInHeader);
    }
    // No extension is known here, and RFC 7515 asks to refuse a token with an unknown one.
    if header.get("crit").is_some() {
        return Err(JwtRefusal::Critical);
    }
    // Other things that issuers sign, such as notices of a logout, must not pass for tokens (RFC 8725, 3.11).
    match header.get("typ") {
        None => {}
        Some(Value::String(typ))
            if ["jwt", "at+jwt"]
                .iter()
                .any(|known| typ.eq_ignore_ascii_case(known)) => {}
        Some(_) => return Err(JwtRefusal::Type),
    }
    match header.get("alg") {
        Some(Value::String(name)) => key::algorithm(name).ok_or(JwtRefusal::Algorithm),
        _ => Err(JwtRefusal::Malformed),
    }
}

/// Base64url without padding, and with one spelling alone for each text.
fn decoded(part: &str) -> Result<Vec<u8>, JwtRefusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| JwtRefusal::Malformed)
}

/// The members of a JSON object, each of which stands in it once. What objects inside it hold is not read here.
pub(super) struct Members(HashMap<String, Value>);

impl Members {
    fn read(json: &[u8]) -> Result<Self, JwtRefusal> {
        serde_json::from_slice(json).map_err(|_| JwtRefusal::Malformed)
    }

    /// The value of a member.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without repeated members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
        let mut members = HashMap::new();
        while let Some((name, value)) = object.next_entry::<String, Value>()? {
            // Readers differ in which of two they take, so a token with two says different things to them.
            if members.insert(name, value).is_some() {
                return Err(de::Error::custom("a member is repeated"));
            }
        }
        Ok(Members(members))
    }
}
