//! Whether there is room for one more prediction: permits by host and by tenant, held by value.
//!
//! The rate limit of the guide (requests in a window) will stand before the permits; it comes with governance.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::identify::Caller;
use crate::PredictError;
use crate::tenant::{Activity, Tenant};

/// When to try again: predictions are short.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Counts what is under way of one act.
pub(crate) struct Gate {
    act: Activity,
    host: Arc<AtomicUsize>,
    max_concurrent: usize,
    max_per_tenant: usize,
}

/// One place on the host and one of the tenant's; both are given back on drop.
#[derive(Debug)]
pub struct Permit {
    _host: Place,
    _tenant: Place,
}

/// A caller with room for its prediction.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) permit: Permit,
}

#[derive(Debug)]
struct Place(Count);

/// What places are counted in.
#[derive(Debug)]
enum Count {
    Host(Arc<AtomicUsize>),
    Tenant(Arc<Tenant>, Activity),
}

impl Count {
    fn under_way(&self) -> &AtomicUsize {
        match self {
            Self::Host(count) => count,
            Self::Tenant(tenant, act) => tenant.under_way(*act),
        }
    }
}

impl Place {
    fn take(count: Count, limit: usize) -> Option<Self> {
        let before = count.under_way().fetch_add(1, Ordering::AcqRel);
        // Counted first and compared afterwards: the place gives back on drop whatever was too much.
        let place = Self(count);
        (before < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way().fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    pub(crate) fn new(act: Activity, max_concurrent: usize, max_per_tenant: usize) -> Self {
        Self {
            act,
            host: Arc::default(),
            max_concurrent,
            max_per_tenant,
        }
    }

    /// Takes a place for the caller, whose tenant may have so many; none = as many as any.
    ///
    /// # Errors
    /// As [`Gate::permit`].
    pub(crate) fn admit(
        &self,
        caller: Caller,
        max_per_tenant: Option<usize>,
    ) -> Result<Admitted, PredictError> {
        let limit = max_per_tenant.unwrap_or(self.max_per_tenant);
        let permit = self.permit_within(&caller.tenant, limit)?;
        Ok(Admitted { caller, permit })
    }

    /// Takes a place for a tenant.
    ///
    /// # Errors
    /// `Overloaded` if the host has none left, `TenantBusy` if the tenant has as many under way as it may.
    pub(crate) fn permit(&self, tenant: &Arc<Tenant>) -> Result<Permit, PredictError> {
        self.permit_within(tenant, self.max_per_tenant)
    }

    fn permit_within(
        &self,
        tenant: &Arc<Tenant>,
        max_per_tenant: usize,
    ) -> Result<Permit, PredictError> {
        let host = Count::Host(Arc::clone(&self.host));
        let host = Place::take(host, self.max_concurrent).ok_or(PredictError::Overloaded {
            what: "the server has as much under way as it may",
            retry_after: RETRY_AFTER,
        })?;
        let tenant = Count::Tenant(Arc::clone(tenant), self.act);
        let tenant = Place::take(tenant, max_per_tenant).ok_or(PredictError::TenantBusy {
            what: self.act.plural(),
            limit: max_per_tenant,
            retry_after: RETRY_AFTER,
        })?;
        Ok(Permit {
            _host: host,
            _tenant: tenant,
        })
    }

    /// Predictions under way.
    pub(crate) fn under_way(&self) -> usize {
        self.host.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Principal;
    use foretell_types::{Scopes, TenantId};

    fn caller(tenant: &Arc<Tenant>) -> Caller {
        Caller {
            tenant: Arc::clone(tenant),
            principal: Arc::new(Principal {
                actor: "somebody".into(),
                key: None,
                tenant: None,
                scopes: Scopes::default(),
                models: None,
            }),
        }
    }

    #[test]
    fn a_tenant_at_its_limit_is_refused_while_another_is_admitted() {
        let gate = Gate::new(Activity::Prediction, 3, 2);
        let [a, b, c] =
            ["a", "b", "c"].map(|id| Arc::new(Tenant::new(TenantId::parse(id).unwrap())));
        let first = gate.admit(caller(&a), None).unwrap();
        let _second = gate.admit(caller(&a), None).unwrap();
        assert!(matches!(
            gate.admit(caller(&a), None),
            Err(PredictError::TenantBusy { .. })
        ));
        let _other = gate.admit(caller(&b), None).unwrap();
        assert!(
            matches!(
                gate.admit(caller(&c), None),
                Err(PredictError::Overloaded { .. })
            ),
            "the host is full"
        );
        drop(first);
        assert!(
            gate.admit(caller(&a), None).is_ok(),
            "a permit is given back on drop"
        );
    }
}
