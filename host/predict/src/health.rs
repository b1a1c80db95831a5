//! Whether the server is well: a list of checks, each of which can fail by itself.
//!
//! `degraded` is a state in which predictions still go on; readiness is another question (whether new calls should be
//! sent here) and is answered by [`Health::ready`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use foretell_store::port::probe::Probe;
use foretell_store::{Models, Tenants, VersionRecord};
use foretell_types::blob::{BlobId, BlobKind, Blobs};

use crate::{AnswerCache, CacheStats};

/// How long one check may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thing to look at.
#[async_trait]
pub trait Check: Send + Sync {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Looks. The text says what was seen, for operators.
    ///
    /// # Errors
    /// What is wrong and what to do, for operators.
    async fn look(&self) -> Result<String, String>;
}

/// What one check saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The check.
    pub name: &'static str,
    /// Whether all is well.
    pub healthy: bool,
    /// What was seen.
    pub detail: String,
}

/// What all checks saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order in which the checks were given.
    pub checks: Vec<Seen>,
}

impl Report {
    /// Whether every check is well.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|seen| seen.healthy)
    }

    /// `healthy` or `degraded`.
    pub fn status(&self) -> &'static str {
        if self.is_healthy() {
            "healthy"
        } else {
            "degraded"
        }
    }
}

/// The checks of this server, and whether it takes new calls.
pub struct Health {
    checks: Vec<Box<dyn Check>>,
    draining: AtomicBool,
}

impl Health {
    /// A server that takes calls, with its checks.
    pub fn new(checks: Vec<Box<dyn Check>>) -> Self {
        Self {
            checks,
            draining: AtomicBool::new(false),
        }
    }

    /// Looks at everything. A check that takes longer than five seconds has failed.
    pub async fn report(&self) -> Report {
        let mut checks = Vec::with_capacity(self.checks.len());
        for check in &self.checks {
            let looked = tokio::time::timeout(PATIENCE, check.look()).await;
            let (healthy, detail) = match looked {
                Ok(Ok(detail)) => (true, detail),
                Ok(Err(detail)) => (false, detail),
                Err(_) => (false, format!("no answer within {} s", PATIENCE.as_secs())),
            };
            checks.push(Seen {
                name: check.name(),
                healthy,
                detail,
            });
        }
        Report { checks }
    }

    /// Whether new calls should be sent here.
    pub fn ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire)
    }

    /// From now on new calls should go elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

/// `database`: a real write and read.
pub struct Database(pub Arc<dyn Probe>);

#[async_trait]
impl Check for Database {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn look(&self) -> Result<String, String> {
        match self.0.ping().await {
            Ok(()) => Ok("written and read".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// `cache`: what is kept and how often it helped. In this process, it is always well.
pub struct CachedAnswers(pub Option<Arc<AnswerCache>>);

#[async_trait]
impl Check for CachedAnswers {
    fn name(&self) -> &'static str {
        "cache"
    }

    async fn look(&self) -> Result<String, String> {
        let Some(cache) = &self.0 else {
            return Ok("disabled".into());
        };
        let CacheStats {
            entries,
            bytes,
            max_bytes,
            hits,
            misses,
        } = cache.stats();
        Ok(format!(
            "{entries} answers, {bytes} of at most {max_bytes} bytes; {hits} hits, {misses} misses"
        ))
    }
}

/// `models`: every version that calls go to has the content that it needs to be loaded again.
pub struct StoredModels {
    /// Whose models.
    pub tenants: Arc<dyn Tenants>,
    /// The models.
    pub models: Arc<dyn Models>,
    /// Their content.
    pub blobs: Arc<dyn Blobs>,
}

#[async_trait]
impl Check for StoredModels {
    fn name(&self) -> &'static str {
        "models"
    }

    async fn look(&self) -> Result<String, String> {
        let mut in_service = 0;
        let mut missing = Vec::new();
        for tenant in self
            .tenants
            .list()
            .await
            .map_err(|error| error.to_string())?
        {
            let listed = self
                .blobs
                .list(&tenant.id)
                .await
                .map_err(|error| error.to_string())?;
            for model in self
                .models
                .list(&tenant.id)
                .await
                .map_err(|error| error.to_string())?
            {
                let in_use = |version: &VersionRecord| {
                    model
                        .traffic
                        .versions()
                        .any(|name| *name == version.version)
                };
                for version in model.versions.iter().filter(|version| in_use(version)) {
                    in_service += 1;
                    let snapshot = BlobId {
                        tenant: tenant.id.clone(),
                        kind: BlobKind::Snapshot,
                        digest: version.digest.0,
                    };
                    if !listed.contains(&snapshot) {
                        missing.push(format!(
                            "{}/{} version {}",
                            tenant.id, model.name, version.version
                        ));
                    }
                }
            }
        }
        if missing.is_empty() {
            Ok(format!("{in_service} versions in service"))
        } else {
            missing.truncate(10);
            Err(format!(
                "stored content is missing, push again or restore a backup: {}",
                missing.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str, Result<&'static str, &'static str>);

    #[async_trait]
    impl Check for Fixed {
        fn name(&self) -> &'static str {
            self.0
        }
        async fn look(&self) -> Result<String, String> {
            self.1.map(str::to_owned).map_err(str::to_owned)
        }
    }

    #[tokio::test]
    async fn one_failed_check_degrades_the_whole_and_says_why() {
        let well = Health::new(vec![Box::new(Fixed("a", Ok("fine")))]);
        assert_eq!(well.report().await.status(), "healthy");
        let ill = Health::new(vec![
            Box::new(Fixed("a", Ok("fine"))),
            Box::new(Fixed("b", Err("broken"))),
        ]);
        let report = ill.report().await;
        assert_eq!(report.status(), "degraded");
        assert_eq!(
            report.checks[1],
            Seen {
                name: "b",
                healthy: false,
                detail: "broken".into()
            }
        );
        assert!(ill.ready(), "degraded is not unready");
        ill.drain();
        assert!(!ill.ready());
    }
}
