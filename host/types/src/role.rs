//! Names for the scopes of one kind of work.
//!
//! A role decides nothing: who makes a key may say a role instead of scopes, and what the key may do is decided by the scopes
//! that it was made with.

use crate::{Scope, Scopes};

/// A kind of work that keys are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The tenant's own: whatever a key of a tenant can do.
    Owner,
    /// Brings models, and tries them.
    Uploader,
    /// Predicts.
    Caller,
    /// Looks at what was used and what was done, and touches nothing.
    Auditor,
    /// Runs the host. No key of a tenant has this role.
    Operator,
}

impl Role {
    /// Every role, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Uploader,
        Self::Caller,
        Self::Auditor,
        Self::Operator,
    ];

    /// The role's name in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Uploader => "uploader",
            Self::Caller => "caller",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }

    /// Reads a role's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// What a key of this role may do.
    pub const fn scopes(self) -> Scopes {
        match self {
            Self::Owner => Scopes::of(&[
                Scope::Infer,
                Scope::Models,
                Scope::Keys,
                Scope::Usage,
                Scope::Audit,
            ]),
            Self::Uploader => Scopes::of(&[Scope::Infer, Scope::Models]),
            Self::Caller => Scopes::of(&[Scope::Infer]),
            Self::Auditor => Scopes::of(&[Scope::Usage, Scope::Audit]),
            Self::Operator => Scopes::OPERATOR,
        }
    }

    /// What the role is for, in one line for people.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Owner => {
                "does whatever a key of a tenant can do: predicts, brings models, makes keys, reads usage and audit"
            }
            Self::Uploader => {
                "brings models: uploads, activates and deletes versions, and tries them"
            }
            Self::Caller => "predicts, and reads what is needed for it",
            Self::Auditor => "reads what was used and what was done, and nothing else",
            Self::Operator => {
                "runs the host: makes and deletes tenants, and does for any of them what its owner can"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_by_the_name_that_it_is_shown_with() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        for none in ["", "Owner", " owner", "admin", "infer"] {
            assert_eq!(Role::parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn scopes_are_those_that_the_role_says() {
        let shown = Role::ALL.map(|role| role.scopes().to_string());
        assert_eq!(
            shown,
            [
                "infer,models,keys,usage,audit",
                "infer,models",
                "infer",
                "usage,audit",
                "operator"
            ]
        );
    }

    #[test]
    fn an_owner_can_make_keys_of_every_role_but_the_operators() {
        for role in Role::ALL {
            let is_operator = role == Role::Operator;
            assert_eq!(
                Role::Owner.scopes().covers(role.scopes()),
                !is_operator,
                "{role:?}"
            );
            assert_eq!(role.scopes().contains(Scope::Operator), is_operator);
        }
    }

    #[test]
    fn every_scope_is_in_some_role_and_every_role_is_told_in_one_line() {
        for scope in Scope::ALL {
            assert!(Role::ALL.iter().any(|role| role.scopes().contains(scope)));
        }
        for role in Role::ALL {
            let about = role.about();
            assert!(!about.is_empty() && !about.contains(['\n', '|']), "{about}");
        }
    }
}
