//! Whether there is room for one more prediction: permits by host and by tenant, held by value.
//!
//! The rate limit of the guide (requests in a window) will stand before the permits; it comes with governance.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use foretell_types::TenantId;

use super::identify::Caller;
use crate::{Limits, PredictError};

/// Counts what is under way.
pub(crate) struct Gate {
    host: Arc<AtomicUsize>,
    tenants: DashMap<TenantId, Arc<AtomicUsize>>,
    max_concurrent: usize,
    max_per_tenant: usize,
}

/// One place on the host and one of the tenant's; both are given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
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
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let place = Self(Arc::clone(count));
        // Counted first and compared afterwards: `place` gives back on drop whatever was too much.
        (count.fetch_add(1, Ordering::AcqRel) < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            host: Arc::default(),
            tenants: DashMap::new(),
            max_concurrent: limits.max_concurrent,
            max_per_tenant: limits.max_concurrent_per_tenant,
        }
    }

    /// Takes a place for the caller.
    ///
    /// # Errors
    /// `Overloaded` if host or tenant have none left.
    pub(crate) fn admit(&self, caller: Caller) -> Result<Admitted, PredictError> {
        let full = |what| PredictError::Overloaded {
            what,
            retry_after: Duration::from_secs(1),
        };
        let host = Place::take(&self.host, self.max_concurrent)
            .ok_or_else(|| full("the server has as many predictions under way as it may"))?;
        let counter = match self.tenants.get(&caller.tenant) {
            Some(counter) => Arc::clone(&counter),
            None => Arc::clone(&self.tenants.entry(caller.tenant.clone()).or_default()),
        };
        let tenant = Place::take(&counter, self.max_per_tenant)
            .ok_or_else(|| full("this tenant has as many predictions under way as it may"))?;
        Ok(Admitted {
            caller,
            permit: Permit {
                _host: host,
                _tenant: tenant,
            },
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
    use foretell_types::{KeyId, Scopes};

    fn caller(tenant: &str) -> Caller {
        Caller {
            tenant: TenantId::parse(tenant).unwrap(),
            principal: Principal {
                key: KeyId::parse("key_0000000000000000").unwrap(),
                tenant: None,
                scopes: Scopes::default(),
            },
        }
    }

    #[test]
    fn a_tenant_at_its_limit_is_refused_while_another_is_admitted() {
        let limits = Limits {
            max_concurrent: 3,
            max_concurrent_per_tenant: 2,
            ..Limits::default()
        };
        let gate = Gate::new(&limits);
        let first = gate.admit(caller("a")).unwrap();
        let _second = gate.admit(caller("a")).unwrap();
        assert!(matches!(
            gate.admit(caller("a")),
            Err(PredictError::Overloaded { .. })
        ));
        let _other = gate.admit(caller("b")).unwrap();
        assert!(
            matches!(
                gate.admit(caller("c")),
                Err(PredictError::Overloaded { .. })
            ),
            "the host is full"
        );
        drop(first);
        assert!(
            gate.admit(caller("a")).is_ok(),
            "a permit is given back on drop"
        );
    }
}
