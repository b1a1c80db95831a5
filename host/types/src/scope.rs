//! What a credential may do.

use std::fmt;

/// One right of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Predict, and read what is needed for it.
    Infer = 1,
    /// Upload, activate and delete models.
    Models = 2,
    /// Create and revoke keys of one's own tenant.
    Keys = 4,
    /// Read usage and cost.
    Usage = 8,
    /// Read the audit trail.
    Audit = 16,
    /// Run the host: tenants, any tenant's routes by prefix.
    Operator = 32,
}

impl Scope {
    /// Every scope, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Infer,
        Self::Models,
        Self::Keys,
        Self::Usage,
        Self::Audit,
        Self::Operator,
    ];

    /// The scope's name in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Models => "models",
            Self::Keys => "keys",
            Self::Usage => "usage",
            Self::Audit => "audit",
            Self::Operator => "operator",
        }
    }

    /// Reads a scope's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// What an operator's key holds.
    pub const OPERATOR: Self = Self(Scope::Operator as u8);

    /// The set of these scopes.
    pub const fn of(mut scopes: &[Scope]) -> Self {
        let mut set = 0;
        while let [first, rest @ ..] = scopes {
            set |= *first as u8;
            scopes = rest;
        }
        Self(set)
    }

    /// Whether `scope` is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }

    /// Whether every scope of `other` is in the set.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes in their order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope as u8))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}
