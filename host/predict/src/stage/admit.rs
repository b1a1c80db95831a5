//! Whether there is room for one more prediction: permits by host and by tenant, held by value.
//!
//! The rate limit of the guide (requests in a window) will stand before the permits; it comes with governance.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use foretell_types::TenantId;

use super::identify::Caller;
use crate::PredictError;

/// When to try again: predictions are short.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Counts what is under way: predictions, or uploads.
pub(crate) struct Gate {
    what: &'static str,
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
    pub(crate) fn new(what: &'static str, max_concurrent: usize, max_per_tenant: usize) -> Self {
        Self {
            what,
            host: Arc::default(),
            tenants: DashMap::new(),
            max_concurrent,
            max_per_tenant,
        }
    }

    /// Takes a place for the caller.
    ///
    /// # Errors
    /// `Overloaded` if the host has none left, `TenantBusy` if the tenant has as many under way as it may.
    pub(crate) fn admit(&self, caller: Caller) -> Result<Admitted, PredictError> {
        let host =
            Place::take(&self.host, self.max_concurrent).ok_or(PredictError::Overloaded {
                what: "the server has as much under way as it may",
                retry_after: RETRY_AFTER,
            })?;
        let counter = match self.tenants.get(&caller.tenant) {
            Some(counter) => Arc::clone(&counter),
            None => Arc::clone(&self.tenants.entry(caller.tenant.clone()).or_default()),
        };
        let tenant =
            Place::take(&counter, self.max_per_tenant).ok_or(PredictError::TenantBusy {
                what: self.what,
                limit: self.max_per_tenant,
                retry_after: RETRY_AFTER,
            })?;
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
        let gate = Gate::new("predictions", 3, 2);
        let first = gate.admit(caller("a")).unwrap();
        let _second = gate.admit(caller("a")).unwrap();
        assert!(matches!(
            gate.admit(caller("a")),
            Err(PredictError::TenantBusy { .. })
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
