//! Keys that tell a genuine token, each with the one algorithm that it is for.
//!
//! The hazard is a key that is taken for one of another kind: everyone knows an RSA public key, and as a secret of HS256
//! it would let everyone sign. So the algorithm is settled where a key is read, and tokens are only compared with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
// By name: the backend that `jsonwebtoken` chooses by itself panics at the first token once any crate of the build turns
// a second one on.
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How a public PEM begins. The reader of `jsonwebtoken` also accepts certificates, and private keys, of which it takes
/// the wrong bytes.
const PUBLIC_PEM: [&str; 2] = [
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN RSA PUBLIC KEY-----",
];

/// What a public key verifies. Each key verifies one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, by a key of 2048 to 8192 bits.
    Rs256,
    /// ECDSA with SHA-256, by a key on P-256.
    Es256,
    /// EdDSA, by a key on Ed25519.
    EdDsa,
}

impl PublicAlgorithm {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its name in headers and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
    }
}

/// The algorithm that a header means, among those that a key here can have.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// Why a key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// Not a key of that kind.
    Unreadable,
    /// An RSA key of an unreasonable length.
    Weak,
}

impl From<jsonwebtoken::errors::Error> for KeyFault {
    fn from(_: jsonwebtoken::errors::Error) -> Self {
        Self::Unreadable
    }
}

/// A key and its algorithm.
pub(super) struct Key {
    algorithm: Algorithm,
    decoding: DecodingKey,
}

impl Key {
    /// A shared secret. Its length is the caller's to check.
    pub(super) fn of_secret(secret: &[u8]) -> Self {
        Self {
            algorithm: Algorithm::HS256,
            decoding: DecodingKey::from_secret(secret),
        }
    }

    /// A public key in PEM.
    ///
    /// # Errors
    /// `Unreadable` for anything but one public key of that kind; `Weak`.
    pub(super) fn of_pem(algorithm: PublicAlgorithm, pem: &str) -> Result<Self, KeyFault> {
        let is_public = PUBLIC_PEM.iter().any(|begin| pem.contains(*begin));
        if !is_public || pem.matches("-----BEGIN ").count() != 1 {
            return Err(KeyFault::Unreadable);
        }
        match algorithm {
            PublicAlgorithm::Rs256 => {
                let key = DecodingKey::from_rsa_pem(pem.as_bytes())?;
                let components = DEFAULT_PROVIDER
                    .key_utils
                    .rsa_pub_components_from_public_key;
                let (modulus, exponent) = components(key.try_get_as_bytes()?)?;
                Self::of_rsa(modulus, exponent)
            }
            PublicAlgorithm::Es256 => {
                let key = DecodingKey::from_ec_pem(pem.as_bytes())?;
                Self::of_point(key.try_get_as_bytes()?)
            }
            PublicAlgorithm::EdDsa => {
                let key = DecodingKey::from_ed_pem(pem.as_bytes())?;
                Self::of_edwards_point(key.try_get_as_bytes()?)
            }
        }
    }

    /// A key of a set; none if it is of a kind that is not used here, or for anything but signatures.
    pub(super) fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let is_for = |algorithm: &str| jwk.alg.as_deref().is_none_or(|alg| alg == algorithm);
        let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|acts| acts.iter().any(|act| act == "verify"));
        // A key whose private half is published too is everyone's.
        if !verifies || jwk.d.is_some() {
            return None;
        }
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) if is_for("RS256") => {
                Self::of_rsa(decoded(jwk.n.as_deref())?, decoded(jwk.e.as_deref())?).ok()
            }
            ("EC", Some("P-256")) if is_for("ES256") => {
                let (x, y) = (decoded(jwk.x.as_deref())?, decoded(jwk.y.as_deref())?);
                let whole = x.len() == 32 && y.len() == 32;
                let point = [&[4_u8][..], x.as_slice(), y.as_slice()].concat();
                whole.then(|| Self::of_point(&point).ok()).flatten()
            }
            ("OKP", Some("Ed25519")) if is_for("EdDSA") => {
                Self::of_edwards_point(&decoded(jwk.x.as_deref())?).ok()
            }
            _ => None,
        }
    }

    fn of_rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, KeyFault> {
        // Some who publish sets put a zero before the number, which the backend refuses.
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        // One bit is the exponent 1, by which every text is its own signature; the backend takes no more than 33.
        if !(2..=33).contains(&bits(&exponent)) {
            return Err(KeyFault::Unreadable);
        }
        // Shorter ones are within reach of a patient attacker (NIST SP 800-131A); longer ones the backend refuses.
        if !(2048..=8192).contains(&bits(&modulus)) {
            return Err(KeyFault::Weak);
        }
        Ok(Self {
            algorithm: Algorithm::RS256,
            decoding: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
        })
    }

    /// A point of P-256, not compressed: 4, x, y. Whether it lies on the curve is seen when it is used.
    fn of_point(point: &[u8]) -> Result<Self, KeyFault> {
        if point.len() != 65 || point.first() != Some(&4) {
            return Err(KeyFault::Unreadable);
        }
        Ok(Self {
            algorithm: Algorithm::ES256,
            decoding: DecodingKey::from_ec_der(point),
        })
    }

    fn of_edwards_point(point: &[u8]) -> Result<Self, KeyFault> {
        if point.len() != 32 {
            return Err(KeyFault::Unreadable);
        }
        Ok(Self {
            algorithm: Algorithm::EdDSA,
            decoding: DecodingKey::from_ed_der(point),
        })
    }

    /// The one algorithm of this key.
    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn signed(&self, message: &[u8], signature: Vec<u8>) -> bool {
        (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, &self.decoding)
            .is_ok_and(|verifier| verifier.verify(message, &signature).is_ok())
    }
}

/// One key of a set as it is written: the members that decide whether and how it is used.
#[derive(Deserialize)]
pub(super) struct Jwk {
    /// The name that headers use for it.
    pub kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

fn decoded(number: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(number?).ok()
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// The length of a big-endian number that begins with no zero byte.
fn bits(number: &[u8]) -> usize {
    number
        .first()
        .map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}
