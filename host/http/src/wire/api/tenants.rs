//! Tenants as JSON.

use foretell_predict::manage::TenantRecord;
use serde::{Deserialize, Serialize};

use crate::text::rfc3339;

/// The body of `POST /api/tenants`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    pub(crate) name: String,
}

/// A tenant.
#[derive(Debug, Serialize)]
pub(crate) struct Tenant {
    name: String,
    created_at: String,
}

impl From<&TenantRecord> for Tenant {
    fn from(record: &TenantRecord) -> Self {
        Self {
            name: record.id.to_string(),
            created_at: rfc3339(record.created_at),
        }
    }
}

/// The body of `GET /api/tenants`.
#[derive(Debug, Serialize)]
pub(crate) struct Tenants {
    pub(crate) tenants: Vec<Tenant>,
}
