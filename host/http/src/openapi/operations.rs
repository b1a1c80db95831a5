//! What an operation is: path and method, what goes in, what comes out, what may go wrong. They stand in `table`.

mod governance;
mod recordings;
mod table;
mod users;

use std::sync::LazyLock;

use foretell_types::ErrorKind;

/// One method of one path.
#[derive(Debug)]
pub(crate) struct Operation {
    /// As in the logs.
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) access: Access,
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<(u16, &'static str, Content)>,
    /// Whether it makes what an `Idempotency-Key` keeps from being made twice.
    makes_once: bool,
    /// What may go wrong besides what may with every route of its kind.
    errors: &'static [ErrorKind],
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Public,
    /// Anybody, and with a key one sees more.
    PublicOrKey,
    /// A key with any of these scopes.
    Scopes(&'static [&'static str]),
    /// The same; and an operator that names no tenant is shown those of all.
    Views(&'static [&'static str]),
    /// A key with any of these scopes; and an operator that names no tenant manages the operators.
    Manages(&'static [&'static str]),
    /// Whoever is in, by its session.
    Session,
}

/// What a request brings.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) required: bool,
    /// Media types with their schemas.
    pub(super) types: &'static [(&'static str, &'static str)],
}

/// What an answer brings.
#[derive(Debug)]
pub(super) enum Content {
    Nothing,
    Json(&'static str),
    /// Media types with their schemas; without one it is text, or bytes.
    Either(&'static [(&'static str, &'static str)]),
}

/// What reading a body may come to.
const BODY: &[ErrorKind] = &[
    ErrorKind::InvalidInput,
    ErrorKind::TooLarge,
    ErrorKind::UnsupportedEncoding,
];
/// What asking who calls may come to; `NotFound`: another tenant's prefix.
const KEYED: &[ErrorKind] = &[
    ErrorKind::TenantRequired,
    ErrorKind::Unauthenticated,
    ErrorKind::Forbidden,
    ErrorKind::NotFound,
    ErrorKind::Unavailable,
];
/// What asking who is in may come to.
const IN_SESSION: &[ErrorKind] = &[
    ErrorKind::Unauthenticated,
    ErrorKind::Forbidden,
    ErrorKind::Unavailable,
];
/// What an `Idempotency-Key` may come to.
const ONCE: &[ErrorKind] = &[ErrorKind::InvalidInput, ErrorKind::Conflict];
/// What may happen with every route.
const ANY: &[ErrorKind] = &[ErrorKind::Malformed, ErrorKind::Internal];

/// Every operation that there is.
pub(crate) static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(table::all);

impl Operation {
    fn of(
        method: &'static str,
        path: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            path,
            method,
            tag,
            summary,
            access: Access::Public,
            query: &[],
            body: None,
            answers: Vec::new(),
            makes_once: false,
            errors: &[],
        }
    }

    const fn needs(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// A body of JSON that has to be there.
    fn takes(self, schema: &'static [(&'static str, &'static str)]) -> Self {
        self.body(true, schema)
    }

    fn body(mut self, required: bool, types: &'static [(&'static str, &'static str)]) -> Self {
        self.body = Some(Body { required, types });
        self
    }

    /// 200 with JSON.
    fn gives(self, schema: &'static str) -> Self {
        self.answers(200, "done", Content::Json(schema))
    }

    fn answers(mut self, status: u16, about: &'static str, content: Content) -> Self {
        self.answers.push((status, about, content));
        self
    }

    /// It is done once for each `Idempotency-Key`.
    const fn once(mut self) -> Self {
        self.makes_once = true;
        self
    }

    const fn fails(mut self, errors: &'static [ErrorKind]) -> Self {
        self.errors = errors;
        self
    }

    /// `get_v2_models_model`: method and path, without what no name has.
    pub(super) fn id(&self) -> String {
        let path = self.path.replace(':', "_");
        let words = path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut id = self.method.to_ascii_lowercase();
        for word in words.filter(|word| !word.is_empty()) {
            id.push('_');
            id.push_str(word);
        }
        id
    }

    pub(super) fn description(&self) -> String {
        match self.access {
            Access::Public => "Without a key.".to_owned(),
            Access::PublicOrKey => "Without a key; with one, more is shown.".to_owned(),
            Access::Scopes(scopes) => format!("Scope {}.", any_of(scopes)),
            Access::Views(scopes) => format!(
                "Scope {}. An operator without a tenant's prefix is shown all tenants.",
                any_of(scopes)
            ),
            Access::Manages(scopes) => format!(
                "Scope {}. An operator without a tenant's prefix manages the operators.",
                any_of(scopes)
            ),
            Access::Session => "In a session; a key is none.".to_owned(),
        }
    }

    /// Whether its errors look as clients of inference expect them.
    pub(super) fn is_inference(&self) -> bool {
        ["/v1", "/v2", "/api/predict"]
            .iter()
            .any(|prefix| self.path == *prefix || self.path.starts_with(&format!("{prefix}/")))
    }

    pub(super) fn is_prediction(&self) -> bool {
        self.errors.contains(&ErrorKind::DeadlineExceeded)
    }

    /// Whether it predicts what was predicted before: its request says nothing but which request that was.
    pub(super) fn is_replay(&self) -> bool {
        self.path.ends_with("/replay")
    }

    /// Whether it takes an `Idempotency-Key`.
    pub(super) fn is_once(&self) -> bool {
        self.makes_once || self.is_prediction()
    }

    /// Whether what it names is gone afterwards, or out of service.
    pub(super) fn takes_away(&self) -> bool {
        self.method == "DELETE"
            || self.path.ends_with("/unload")
            // What may use nothing is as good as out of service.
            || self.method == "PUT" && self.path.ends_with("/limits")
    }

    /// Every kind of error that it may answer.
    pub(super) fn errors(&self) -> Vec<ErrorKind> {
        let body = if self.body.is_some() { BODY } else { &[] };
        let keyed = match self.access {
            Access::Public => &[],
            Access::PublicOrKey => &[ErrorKind::Unauthenticated, ErrorKind::Unavailable][..],
            Access::Session => IN_SESSION,
            Access::Scopes(_) | Access::Views(_) | Access::Manages(_) => KEYED,
        };
        // A path that is longer than a URL may be: 414, with the code of what is too large.
        let query: &[ErrorKind] = if self.query.is_empty() {
            &[]
        } else {
            &[ErrorKind::InvalidInput]
        };
        let once = if self.is_once() { ONCE } else { &[] };
        [ANY, body, keyed, query, once, self.errors].concat()
    }
}

/// `infer` or `models`, as code.
fn any_of(scopes: &[&str]) -> String {
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
    scopes.join(" or ")
}
