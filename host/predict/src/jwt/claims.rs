//! What a token says: for whom, where, until when. Read once its signature holds.

use foretell_store::port::UnixMs;
use foretell_types::TenantId;
use serde_json::Value;

use super::token::Members;
use super::{Claim, JwtRefusal};

/// How far off the end of a token may be. A token cannot be revoked, so a stolen one opens doors until it ends; a day is a
/// working shift and a night, and whoever needs longer access has API keys, which can be revoked.
const MAX_LIFE_MS: UnixMs = 24 * 60 * 60 * 1000;

/// Longer names are no names, and this one goes into every line of the log and of the audit trail.
const MAX_SUBJECT_BYTES: usize = 256;

/// What a genuine token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who signed it, as configured.
    pub issuer: String,
    /// Whom it is for: unique with this issuer, 1 to 256 bytes, no control characters.
    pub subject: String,
    /// The tenant that it names; none = it names none.
    pub tenant: Option<TenantId>,
    /// The names in its roles claim, as written and in that order; empty = it has none.
    pub roles: Vec<String>,
    /// When it ends, without leeway.
    pub expires_at: UnixMs,
}

/// On which terms an issuer's tokens are taken.
pub(super) struct Terms {
    pub issuer: String,
    pub audience: String,
    pub tenant_claim: String,
    pub roles_claim: String,
    pub leeway_ms: UnixMs,
}

/// Who says to have signed the token.
///
/// # Errors
/// `Missing`, `Unreadable`.
pub(super) fn issuer(claims: &Members) -> Result<&str, JwtRefusal> {
    text(claims, "iss", Claim::Iss)
}

/// Reads the claims of a token whose signature holds.
///
/// # Errors
/// The first claim that speaks against it.
pub(super) fn check(claims: &Members, terms: &Terms, now: UnixMs) -> Result<Verified, JwtRefusal> {
    let expires_at = time(claims, "exp", Claim::Exp)?.ok_or(JwtRefusal::Missing(Claim::Exp))?;
    if now >= expires_at.saturating_add(terms.leeway_ms) {
        return Err(JwtRefusal::Expired);
    }
    if expires_at > now.saturating_add(MAX_LIFE_MS) {
        return Err(JwtRefusal::EndsTooLate);
    }
    let latest = now.saturating_add(terms.leeway_ms);
    if time(claims, "nbf", Claim::Nbf)?.is_some_and(|begins_at| begins_at > latest) {
        return Err(JwtRefusal::NotYetValid);
    }
    if time(claims, "iat", Claim::Iat)?.is_some_and(|issued_at| issued_at > latest) {
        return Err(JwtRefusal::IssuedInFuture);
    }
    if !names(claims, &terms.audience)? {
        return Err(JwtRefusal::Audience);
    }
    Ok(Verified {
        issuer: terms.issuer.clone(),
        subject: subject(claims)?,
        tenant: tenant(claims, &terms.tenant_claim)?,
        roles: roles(claims, &terms.roles_claim)?,
        expires_at,
    })
}

fn text<'a>(claims: &'a Members, name: &str, claim: Claim) -> Result<&'a str, JwtRefusal> {
    claims
        .get(name)
        .ok_or(JwtRefusal::Missing(claim))?
        .as_str()
        .ok_or(JwtRefusal::Unreadable(claim))
}

fn time(claims: &Members, name: &str, claim: Claim) -> Result<Option<UnixMs>, JwtRefusal> {
    claims
        .get(name)
        .map(|value| milliseconds(value).ok_or(JwtRefusal::Unreadable(claim)))
        .transpose()
}

/// Seconds since 1970, whole or not (RFC 7519), as milliseconds.
fn milliseconds(seconds: &Value) -> Option<UnixMs> {
    if let Some(whole) = seconds.as_i64() {
        return whole.checked_mul(1000);
    }
    let milliseconds = (seconds.as_f64()? * 1000.0).floor();
    // Up to 2^53 a float counts in steps of one or less, and the cast below changes nothing.
    (milliseconds.abs() < 9_007_199_254_740_992.0).then_some(milliseconds as UnixMs)
}

/// Whether `aud` is the audience, or has it among others.
fn names(claims: &Members, audience: &str) -> Result<bool, JwtRefusal> {
    let unreadable = JwtRefusal::Unreadable(Claim::Aud);
    match claims.get("aud") {
        None => Err(JwtRefusal::Missing(Claim::Aud)),
        Some(Value::String(only)) => Ok(only == audience),
        Some(Value::Array(several)) => {
            let texts: Option<Vec<&str>> = several.iter().map(Value::as_str).collect();
            Ok(texts.ok_or(unreadable)?.contains(&audience))
        }
        Some(_) => Err(unreadable),
    }
}

fn subject(claims: &Members) -> Result<String, JwtRefusal> {
    let subject = text(claims, "sub", Claim::Sub)?;
    let valid =
        (1..=MAX_SUBJECT_BYTES).contains(&subject.len()) && !subject.chars().any(char::is_control);
    valid
        .then(|| subject.to_owned())
        .ok_or(JwtRefusal::Unreadable(Claim::Sub))
}

fn tenant(claims: &Members, name: &str) -> Result<Option<TenantId>, JwtRefusal> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    value
        .as_str()
        .and_then(|tenant| TenantId::parse(tenant).ok())
        .map(Some)
        .ok_or(JwtRefusal::Unreadable(Claim::Tenant))
}

fn roles(claims: &Members, name: &str) -> Result<Vec<String>, JwtRefusal> {
    match claims.get(name) {
        None => Ok(Vec::new()),
        Some(Value::String(names)) => Ok(names
            .split(' ')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()),
        Some(Value::Array(names)) => {
            let names: Option<Vec<String>> = names
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect();
            names.ok_or(JwtRefusal::Unreadable(Claim::Roles))
        }
        Some(_) => Err(JwtRefusal::Unreadable(Claim::Roles)),
    }
}
