//! The closed list of ways in which a request ends without its answer.

/// What went wrong, as a caller's program sees it.
///
/// Every error of every crate maps to one of these (`kind()`), and one table in `foretell-http` maps these to HTTP
/// statuses. The [`code`](ErrorKind::code) is a promise: it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The body is not what the route reads: JSON syntax, wrong JSON type, missing field.
    Malformed,
    /// The inputs do not match the model's signature: names, datatypes, shapes, lengths.
    InvalidInput,
    /// A record lacks a feature that has no value for "absent".
    MissingFeature,
    /// A record names a feature that the model does not have.
    UnknownFeature,
    /// A text that is not in the feature's vocabulary.
    UnknownCategory,
    /// A number outside the feature's bounds.
    OutOfRange,
    /// No credential, or one that opens nothing.
    Unauthenticated,
    /// The credential lacks the scope.
    Forbidden,
    /// No such thing, or not yours: the two look the same.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The name is taken by something else, or the state forbids the act.
    Conflict,
    /// The body is longer than its limit.
    TooLarge,
    /// A content encoding that is not supported.
    UnsupportedEncoding,
    /// An operator's key on a tenant's route without the `/tenants/{t}` prefix.
    TenantRequired,
    /// The upload is not accepted; the reasons are listed.
    UploadRefused,
    /// Too many requests in the window.
    RateLimited,
    /// The quota or the credits are used up.
    QuotaExhausted,
    /// The plugin says that the input is bad.
    PluginRefused,
    /// The plugin trapped.
    PluginTrapped,
    /// The plugin needed more memory than it may have.
    MemoryLimit,
    /// The plugin recursed too deep.
    StackOverflow,
    /// The plugin's answer is not what its signature promises.
    PluginContract,
    /// The version is suspended after failing again and again.
    ModelSuspended,
    /// The model's owner has unloaded it.
    ModelUnloaded,
    /// The plugin did not answer in time.
    DeadlineExceeded,
    /// No room for one more request now.
    Overloaded,
    /// The server is stopping.
    Draining,
    /// Something that the server needs is away.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// Whether it says that a version does not do its work, whatever its caller sent.
    pub const fn is_fault_of_plugin(self) -> bool {
        matches!(
            self,
            Self::PluginTrapped
                | Self::MemoryLimit
                | Self::StackOverflow
                | Self::PluginContract
                | Self::DeadlineExceeded
        )
    }

    /// Every kind, for tables and documents.
    pub const ALL: [Self; 29] = [
        Self::Malformed,
        Self::InvalidInput,
        Self::MissingFeature,
        Self::UnknownFeature,
        Self::UnknownCategory,
        Self::OutOfRange,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedEncoding,
        Self::TenantRequired,
        Self::UploadRefused,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::PluginRefused,
        Self::PluginTrapped,
        Self::MemoryLimit,
        Self::StackOverflow,
        Self::PluginContract,
        Self::ModelSuspended,
        Self::ModelUnloaded,
        Self::DeadlineExceeded,
        Self::Overloaded,
        Self::Draining,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The stable code, as it stands in every error body.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidInput => "invalid_input",
            Self::MissingFeature => "missing_feature",
            Self::UnknownFeature => "unknown_feature",
            Self::UnknownCategory => "unknown_category",
            Self::OutOfRange => "out_of_range",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::TenantRequired => "tenant_required",
            Self::UploadRefused => "upload_refused",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::PluginRefused => "plugin_refused",
            Self::PluginTrapped => "plugin_trapped",
            Self::MemoryLimit => "memory_limit",
            Self::StackOverflow => "stack_overflow",
            Self::PluginContract => "plugin_contract",
            Self::ModelSuspended => "model_suspended",
            Self::ModelUnloaded => "model_unloaded",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}
