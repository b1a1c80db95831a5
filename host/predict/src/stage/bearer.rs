//! Who shows a token of another identity provider: the tenant that they act for, and what their roles allow.
//!
//! [`jwt`](crate::jwt) tells genuine tokens; here is decided what a genuine one opens. The hazard is an issuer that says more
//! than it was trusted with: one customer's provider that names another customer's tenant, or makes an operator.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foretell_store::port::UnixMs;
use foretell_types::{Role, Scopes, TenantId};

use crate::jwt::{Issuer, JwtConfigError, JwtRefusal, Tokens, Verified};
use crate::{Clock, PredictError};

const NO_TENANT: &str =
    "the token names no tenant; ask its issuer for one that does, or use an API key";
const NOT_ITS_TENANT: &str =
    "the token names a tenant that its issuer may not speak for; ask the operator";

/// What the tokens of one issuer may open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Tenants that they may name; none = any.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// Whether they may name the role `operator`, which then holds for tokens without a tenant.
    pub operators: bool,
    /// What the issuer's names of roles mean, beside the names of [`Role`]s themselves.
    pub roles: BTreeMap<String, Role>,
}

/// The issuers whose tokens open something.
#[derive(Debug)]
pub struct Issuers {
    tokens: Tokens,
    rights: HashMap<String, Rights>,
}

/// Who shows a genuine token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// The issuer and its subject, in one name.
    pub actor: Arc<str>,
    /// None = an operator.
    pub tenant: Option<TenantId>,
    pub scopes: Scopes,
    pub expires_at: UnixMs,
}

impl Issuers {
    /// Prepares their keys. Nothing is fetched yet.
    ///
    /// # Errors
    /// As [`Tokens::new`].
    pub fn new(issuers: Vec<(Issuer, Rights)>, clock: Clock) -> Result<Self, JwtConfigError> {
        let (mut trusted, mut rights) = (Vec::new(), HashMap::new());
        for (issuer, its) in issuers {
            rights.insert(issuer.name.clone(), its);
            trusted.push(issuer);
        }
        let tokens = Tokens::new(trusted, clock)?;
        Ok(Self { tokens, rights })
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// `Unauthenticated`, with the rule that it breaks; `Unavailable` while its issuer's keys cannot be had.
    pub(crate) async fn bearer(&self, token: &str) -> Result<Bearer, PredictError> {
        let verified = self.tokens.verify(token).await.map_err(|refusal| {
            let message = refusal.message();
            match refusal {
                JwtRefusal::KeysUnavailable => PredictError::Unavailable(message.to_owned()),
                _ => PredictError::Unauthenticated(message),
            }
        })?;
        // Every issuer whose tokens are genuine was given rights with its keys.
        let rights = self.rights.get(&verified.issuer);
        let default = Rights::default();
        bearer(verified, rights.unwrap_or(&default)).map_err(PredictError::Unauthenticated)
    }
}

fn bearer(verified: Verified, rights: &Rights) -> Result<Bearer, &'static str> {
    let Verified {
        issuer,
        subject,
        tenant,
        roles,
        expires_at,
    } = verified;
    let named = roles
        .iter()
        .filter_map(|name| rights.roles.get(name).copied().or(Role::parse(name)));
    let (operators, others): (Vec<_>, Vec<_>) = named.partition(|role| *role == Role::Operator);
    let is_operator = !operators.is_empty() && rights.operators;
    let scopes = match &tenant {
        None if is_operator => Scopes::OPERATOR,
        None => return Err(NO_TENANT),
        Some(tenant) => {
            let mut tenants = rights.tenants.iter();
            if !tenants.all(|tenants| tenants.contains(tenant)) {
                return Err(NOT_ITS_TENANT);
            }
            let scopes = others.into_iter().flat_map(|role| role.scopes().iter());
            scopes.collect()
        }
    };
    Ok(Bearer {
        actor: format!("jwt:{issuer}|{subject}").into(),
        tenant,
        scopes,
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(
        tenant: Option<&str>,
        roles: &[&str],
        rights: &Rights,
    ) -> Result<Bearer, &'static str> {
        let verified = Verified {
            issuer: "https://id.example".to_owned(),
            subject: "ada".to_owned(),
            tenant: tenant.map(|name| TenantId::parse(name).unwrap()),
            roles: roles.iter().map(|name| (*name).to_owned()).collect(),
            expires_at: 7,
        };
        bearer(verified, rights)
    }

    fn scopes(roles: &[&str], rights: &Rights) -> String {
        let bearer = shown(Some("acme"), roles, rights).unwrap();
        bearer.scopes.to_string()
    }

    #[test]
    fn roles_open_what_they_are_for_and_unknown_ones_nothing() {
        let rights = Rights::default();
        assert_eq!(scopes(&["caller"], &rights), "infer");
        assert_eq!(scopes(&["auditor", "caller"], &rights), "infer,usage,audit");
        assert_eq!(scopes(&["Owner", "admin", ""], &rights), "");
        assert_eq!(scopes(&[], &rights), "");
    }

    #[test]
    fn an_issuers_own_names_mean_what_the_operator_says() {
        let rights = Rights {
            roles: [("ml-team".to_owned(), Role::Uploader)].into(),
            ..Rights::default()
        };
        assert_eq!(scopes(&["ml-team"], &rights), "infer,models");
        assert_eq!(scopes(&["auditor"], &rights), "usage,audit");
    }

    #[test]
    fn an_operator_is_made_only_where_the_issuer_may_and_only_without_a_tenant() {
        let (trusted, other) = (
            Rights {
                operators: true,
                ..Rights::default()
            },
            Rights::default(),
        );
        let operator = shown(None, &["operator"], &trusted).unwrap();
        assert_eq!((operator.tenant, operator.scopes), (None, Scopes::OPERATOR));
        assert_eq!(shown(None, &["operator"], &other), Err(NO_TENANT));
        assert_eq!(shown(None, &["owner"], &trusted), Err(NO_TENANT));
        for rights in [&trusted, &other] {
            assert_eq!(scopes(&["operator", "caller"], rights), "infer");
        }
        let mapped = Rights {
            roles: [("root".to_owned(), Role::Operator)].into(),
            ..Rights::default()
        };
        assert_eq!(shown(None, &["root"], &mapped), Err(NO_TENANT));
    }

    #[test]
    fn an_issuer_speaks_for_its_tenants_alone() {
        let rights = Rights {
            tenants: Some([TenantId::parse("acme").unwrap()].into()),
            ..Rights::default()
        };
        assert_eq!(scopes(&["caller"], &rights), "infer");
        let other = shown(Some("bank"), &["caller"], &rights);
        assert_eq!(other, Err(NOT_ITS_TENANT));
    }

    #[test]
    fn two_issuers_subjects_of_one_name_are_two_actors() {
        let bearer = shown(Some("acme"), &["caller"], &Rights::default()).unwrap();
        assert_eq!(&*bearer.actor, "jwt:https://id.example|ada");
    }
}
