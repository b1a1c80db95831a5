//! The file of token issuers: whose JSON Web Tokens open something, and what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foretell_predict::jwt::{Issuer, KeySource, PublicAlgorithm};
use foretell_predict::{Clock, Issuers, Rights};
use foretell_types::{Role, TenantId};
use reqwest::Url;
use serde::Deserialize;

use crate::key_set::{FileKeys, UrlKeys};

/// An issuer as it stands in the file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenIssuer {
    name: String,
    audience: String,
    /// Of `public_key_file`.
    algorithm: Option<String>,
    secret_file: Option<PathBuf>,
    public_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    tenant_claim: Option<String>,
    roles_claim: Option<String>,
    leeway_seconds: Option<u64>,
    tenants: Option<Vec<String>>,
    #[serde(default)]
    operators: bool,
    #[serde(default)]
    roles: BTreeMap<String, String>,
    /// The folder that relative paths begin at.
    #[serde(skip)]
    folder: PathBuf,
}

/// What stands in it is public, and the names of files with keys; keys themselves do not.
impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenIssuer").field(&self.name).finish()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    issuers: Vec<TokenIssuer>,
}

/// Reads the file and all keys that it names but those behind a URL, so that what is wrong is told before the server starts.
///
/// # Errors
/// What is wrong, in one line.
pub(super) fn read(path: &Path) -> Result<Vec<TokenIssuer>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let File { mut issuers } =
        serde_saphyr::from_str(&text).map_err(|error| format!("cannot be used: {error}"))?;
    for issuer in &mut issuers {
        issuer.folder = path.parent().map(Path::to_owned).unwrap_or_default();
    }
    self::issuers(&issuers, Clock::system())?;
    Ok(issuers)
}

/// The issuers with their keys and rights.
///
/// # Errors
/// What is wrong with which of them, in one line.
pub fn issuers(files: &[TokenIssuer], clock: Clock) -> Result<Issuers, String> {
    let pairs: Result<Vec<_>, _> = files.iter().map(TokenIssuer::prepare).collect();
    Issuers::new(pairs?, clock).map_err(|error| error.to_string())
}

impl TokenIssuer {
    fn prepare(&self) -> Result<(Issuer, Rights), String> {
        let told = |what: String| format!("token issuer `{}`: {what}", self.name);
        if self.name.contains('|') {
            return Err(told(
                "its name holds `|`, which ends it in records".to_owned(),
            ));
        }
        if self.operators && self.tenants.is_some() {
            return Err(told(
                "`operators` makes operators of all tenants, and `tenants` names some; give one of the two".to_owned(),
            ));
        }
        let keys = self.keys().map_err(told)?;
        let rights = self.rights().map_err(told)?;
        let mut issuer = Issuer::new(self.name.as_str(), self.audience.as_str(), keys);
        if let Some(claim) = &self.tenant_claim {
            issuer.tenant_claim.clone_from(claim);
        }
        if let Some(claim) = &self.roles_claim {
            issuer.roles_claim.clone_from(claim);
        }
        if let Some(seconds) = self.leeway_seconds {
            issuer.leeway = Duration::from_secs(seconds);
        }
        Ok((issuer, rights))
    }

    fn keys(&self) -> Result<KeySource, String> {
        let beside = self.algorithm.as_deref();
        let source = match (
            &self.secret_file,
            &self.public_key_file,
            &self.jwks_file,
            &self.jwks_url,
        ) {
            (Some(file), None, None, None) => KeySource::Secret {
                secret: self.content(file)?.trim_ascii().to_vec(),
            },
            (None, Some(file), None, None) => {
                let algorithm = beside.and_then(PublicAlgorithm::parse).ok_or(
                    "`public_key_file` needs an `algorithm` beside it: RS256, ES256 or EdDSA",
                )?;
                let pem = String::from_utf8(self.content(file)?)
                    .map_err(|_| format!("{} is no text", file.display()))?;
                return Ok(KeySource::PublicPem { algorithm, pem });
            }
            (None, None, Some(file), None) => {
                self.content(file)?;
                KeySource::Set(Arc::new(FileKeys::new(self.folder.join(file))))
            }
            (None, None, None, Some(url)) => KeySource::Set(Arc::new(UrlKeys::new(address(url)?))),
            _ => {
                return Err(
                    "give one of `jwks_url`, `jwks_file`, `public_key_file` and `secret_file`"
                        .to_owned(),
                );
            }
        };
        match beside {
            None => Ok(source),
            Some(_) => Err(
                "`algorithm` belongs to `public_key_file` alone: a secret is for HS256, and the keys of a set say theirs"
                    .to_owned(),
            ),
        }
    }

    fn content(&self, file: &Path) -> Result<Vec<u8>, String> {
        let path = self.folder.join(file);
        std::fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    }

    fn rights(&self) -> Result<Rights, String> {
        let tenant = |name: &String| {
            TenantId::parse(name)
                .map_err(|_| format!("`tenants` holds `{name}`, which no tenant is called"))
        };
        let tenants = self.tenants.as_ref().map(|names| {
            let tenants: Result<BTreeSet<_>, _> = names.iter().map(tenant).collect();
            tenants
        });
        let role = |(name, role): (&String, &String)| {
            let known = Role::parse(role).ok_or_else(|| {
                let all = Role::ALL.map(Role::as_str).join(", ");
                format!("`roles` maps `{name}` to `{role}`, which is none of {all}")
            });
            known.map(|role| (name.clone(), role))
        };
        Ok(Rights {
            tenants: tenants.transpose()?,
            operators: self.operators,
            roles: self.roles.iter().map(role).collect::<Result<_, _>>()?,
        })
    }
}

/// Where a set of keys lies. Whoever answers in its stead makes keys for us, so the way there is secured.
fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`jwks_url` is no URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "`jwks_url` holds a name or a password, and published keys need neither".to_owned(),
        );
    }
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(format!(
            "`jwks_url` is `{text}`; use one that begins with https:// (http:// is for this machine alone)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn told(text: &str) -> Result<Vec<TokenIssuer>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        std::fs::write(folder.path().join("short"), "short").unwrap();
        std::fs::write(folder.path().join("keys.json"), "{\"keys\":[]}").unwrap();
        let file = folder.path().join("issuers.yaml");
        std::fs::write(&file, text).unwrap();
        read(&file)
    }

    fn one(rest: &str) -> Result<Vec<TokenIssuer>, String> {
        told(&format!(
            "issuers:\n  - name: https://id.example\n    audience: foretell\n{rest}"
        ))
    }

    #[test]
    fn an_issuer_has_one_source_of_keys() {
        for good in [
            "    secret_file: secret\n",
            "    jwks_file: keys.json\n",
            "    jwks_url: https://id.example/keys\n",
            "    jwks_url: http://127.0.0.1:1/keys\n    tenants: [acme]\n    roles: {admins: owner}\n",
        ] {
            let read = one(good);
            assert_eq!(read.as_ref().map(Vec::len), Ok(1), "{good}: {read:?}");
        }
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_issuer() {
        for (text, part) in [
            ("", "give one of `jwks_url`"),
            (
                "    secret_file: secret\n    jwks_file: keys.json\n",
                "give one of",
            ),
            ("    secret_file: none\n", "none cannot be read"),
            ("    secret_file: short\n", "5 bytes"),
            (
                "    secret_file: secret\n    algorithm: RS256\n",
                "belongs to `public_key_file`",
            ),
            (
                "    public_key_file: secret\n",
                "needs an `algorithm` beside it",
            ),
            (
                "    public_key_file: secret\n    algorithm: none\n",
                "needs an `algorithm` beside it",
            ),
            (
                "    public_key_file: secret\n    algorithm: RS256\n",
                "not one PEM public key for RS256",
            ),
            ("    jwks_url: keys\n", "is no URL"),
            (
                "    jwks_url: https://a:b@id.example/\n",
                "a name or a password",
            ),
            ("    jwks_url: http://id.example/\n", "begins with https://"),
            ("    jwks_url: file:///keys\n", "begins with https://"),
            (
                "    jwks_file: keys.json\n    tenants: [Acme]\n",
                "which no tenant is called",
            ),
            (
                "    jwks_file: keys.json\n    tenants: [acme]\n    operators: true\n",
                "give one of the two",
            ),
            (
                "    jwks_file: keys.json\n    roles: {a: admin}\n",
                "none of owner, uploader",
            ),
            (
                "    jwks_file: keys.json\n    leeway_seconds: 301\n",
                "leeway",
            ),
        ] {
            let message = one(text).unwrap_err();
            assert!(
                message.contains(part) && message.contains("https://id.example"),
                "{text}: {message}"
            );
        }
        for (text, part) in [
            ("", "cannot be used"),
            ("issuers: 7", "cannot be used"),
            (
                "issuers:\n  - name: a\n    audience: b\n    key: c\n",
                "unknown field `key`",
            ),
            (
                "issuers:\n  - name: a|b\n    audience: b\n    jwks_file: keys.json\n",
                "holds `|`",
            ),
        ] {
            let message = told(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
