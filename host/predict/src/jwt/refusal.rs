//! Why a token opens nothing, in words for its bearer.

use thiserror::Error;

/// A claim that this server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// `iss`: who signed. Required.
    Iss,
    /// `sub`: for whom. Required: 1 to 256 bytes without control characters.
    Sub,
    /// `aud`: where it may be shown. Required: a text, or a list of texts.
    Aud,
    /// `exp`: when it ends. Required: seconds since 1970.
    Exp,
    /// `nbf`: when it begins. Seconds since 1970.
    Nbf,
    /// `iat`: when it was made. Seconds since 1970.
    Iat,
    /// The claim of the tenant's name.
    Tenant,
    /// The claim of the roles' names: a list of texts, or one text with spaces between names.
    Roles,
}

/// Why a token opens nothing. Each says what its bearer should do next, and nothing that a stranger may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}", self.message())]
pub enum JwtRefusal {
    /// Longer than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES).
    TooLong,
    /// Not three parts of base64url, or not two JSON objects and a signature.
    Malformed,
    /// `typ` is there and names something else.
    Type,
    /// The header brings a key, or says where one is.
    KeyInHeader,
    /// The header demands something that not everybody understands.
    Critical,
    /// Not the algorithm of the key that it should be signed with; or none.
    Algorithm,
    /// Nobody whom the operator has configured.
    UnknownIssuer,
    /// The issuer's set has no key of this name; or several, and the header names none.
    UnknownKey,
    /// The issuer's set could not be read, so the key may well be in it: the token is not to blame.
    KeysUnavailable,
    /// The signature is not one of the key's over these claims.
    Signature,
    /// A required claim is not there.
    Missing(Claim),
    /// A claim is not what it should be.
    Unreadable(Claim),
    /// Over, the leeway included.
    Expired,
    /// Good for longer than any token should be.
    EndsTooLate,
    /// Not begun, the leeway included.
    NotYetValid,
    /// Made later than now, the leeway included.
    IssuedInFuture,
    /// Made for another server.
    Audience,
}

impl JwtRefusal {
    /// The message for the bearer.
    pub const fn message(self) -> &'static str {
        match self {
            Self::TooLong => {
                "the token is longer than 8 KiB; ask its issuer for one with fewer claims"
            }
            Self::Malformed => {
                "the token is not a signed JSON Web Token: send its three parts of base64url as the issuer gave them"
            }
            Self::Type => "the token's `typ` is neither JWT nor at+jwt; send an access token",
            Self::KeyInHeader => {
                "the token's header brings its own key (jku, jwk, x5c or x5u); have it sent with `kid` alone"
            }
            Self::Critical => {
                "the token's header has `crit`, and no extension is known here; ask its issuer for one without"
            }
            Self::Algorithm => {
                "the token is not signed with the algorithm that its issuer's key is for; ask its issuer for one that is"
            }
            Self::UnknownIssuer => {
                "the token's issuer is not known here; get one of an issuer that the operator has configured"
            }
            Self::UnknownKey => "the token names no key of its issuer's set; get a new one",
            Self::KeysUnavailable => {
                "the keys of the token's issuer cannot be had now; try again in a minute"
            }
            Self::Signature => "the token's signature does not hold; get a new one",
            Self::Missing(claim) => claim.missing(),
            Self::Unreadable(claim) => claim.unreadable(),
            Self::Expired => "the token is expired; get a new one",
            Self::EndsTooLate => {
                "the token expires more than 24 hours from now; ask its issuer for one that ends earlier"
            }
            Self::NotYetValid => "the token is not valid yet (`nbf`); use it later",
            Self::IssuedInFuture => {
                "the token was issued later than now (`iat`); have its issuer's clock set, or use it later"
            }
            Self::Audience => {
                "the token is not for this server (`aud`); ask its issuer for one that names it"
            }
        }
    }
}

impl Claim {
    const fn missing(self) -> &'static str {
        match self {
            Self::Iss => "the token does not tell its issuer (`iss`); get one that does",
            Self::Sub => "the token does not tell for whom it is (`sub`); get one that does",
            Self::Aud => "the token does not tell where it may be shown (`aud`); get one that does",
            Self::Exp => "the token does not tell when it ends (`exp`); get one that does",
            // These may be absent.
            Self::Nbf | Self::Iat | Self::Tenant | Self::Roles => {
                "the token lacks a claim; get a new one"
            }
        }
    }

    const fn unreadable(self) -> &'static str {
        match self {
            Self::Iss => "the token's `iss` is not a text; get one whose is",
            Self::Sub => {
                "the token's `sub` is not a text of 1 to 256 bytes without control characters; get one whose is"
            }
            Self::Aud => {
                "the token's `aud` is neither a text nor a list of texts; get one whose is"
            }
            Self::Exp => {
                "the token's `exp` is not a number of seconds since 1970; get one whose is"
            }
            Self::Nbf => {
                "the token's `nbf` is not a number of seconds since 1970; get one whose is"
            }
            Self::Iat => {
                "the token's `iat` is not a number of seconds since 1970; get one whose is"
            }
            Self::Tenant => {
                "the token's tenant is not a tenant name (1 to 63 of a-z, 0-9 and -); have its issuer mend the claim"
            }
            Self::Roles => {
                "the token's roles are neither a list of names nor a text with spaces between them; have its issuer mend the claim"
            }
        }
    }
}
