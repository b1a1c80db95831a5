//! One prediction, from credentials to answer.

use std::sync::Arc;

use foretell_types::Scope;
use foretell_types::run::Runner;

use crate::registry::{Registry, Target};
use crate::stage::admit::Gate;
use crate::stage::identify::Identity;
use crate::stage::recall::Recalled;
use crate::stage::suspend::Rule;
use crate::stage::{check, recall, resolve, run, settle, suspend};
use crate::tenant::Act;
use crate::{Answer, AnswerCache, Call, Limits, ModelRef, Payload, PredictError, apart};

/// Answers predictions. Cheap to share; one for each server.
pub struct Predictor {
    identity: Arc<Identity>,
    registry: Arc<Registry>,
    runner: Arc<dyn Runner>,
    gate: Gate,
    cache: Option<Arc<AnswerCache>>,
    max_body_bytes: u64,
    suspension: Rule,
}

impl Predictor {
    /// Joins the parts; without a cache, every prediction is run.
    pub fn new(
        identity: Arc<Identity>,
        registry: Arc<Registry>,
        runner: Arc<dyn Runner>,
        cache: Option<Arc<AnswerCache>>,
        limits: &Limits,
    ) -> Self {
        Self {
            identity,
            registry,
            runner,
            gate: Gate::new(
                Act::Prediction,
                limits.max_concurrent,
                limits.max_concurrent_per_tenant,
            ),
            cache,
            max_body_bytes: limits.max_body_bytes,
            suspension: Rule {
                after: limits.suspend_after,
                pause: limits.suspend_for,
            },
        }
    }

    /// Answers one prediction.
    ///
    /// # Errors
    /// [`PredictError`] of the stage that refused; nothing is kept of a refused call.
    pub async fn predict(
        &self,
        call: &Call,
        model: &ModelRef,
        mut payload: impl Payload,
    ) -> Result<Answer, PredictError> {
        let caller = self.identity.caller(call, &[Scope::Infer]).await?;
        let tenant = Arc::clone(&caller.tenant);
        let admitted = self.gate.admit(caller).inspect_err(|error| {
            // As many as may be are under way, and more come: nothing of them should wait for long.
            if matches!(error, PredictError::TenantBusy { .. }) {
                self.runner.refused(&tenant.id);
            }
        })?;
        let body_bytes = payload.read(self.max_body_bytes).await?;
        let target = resolve::resolve(&self.registry, &admitted.caller.tenant, model).await?;
        let cache = self.cache.as_deref();
        let question = apart(body_bytes, || {
            let checked = check::check(&target, payload.decode(&target)?)?;
            Ok::<_, PredictError>(recall::question(cache, call.cache, &target, checked))
        })
        .await?;
        match recall::recall(question, target).await {
            Recalled::Hit(answer) => Ok(answer),
            Recalled::Miss(missed) => {
                let pass = suspend::pass(&missed.target, self.suspension)?;
                let ran = run::run(&*self.runner, admitted, missed).await;
                let answer = settle::settle(ran);
                pass.judge(&answer);
                answer
            }
        }
    }

    /// The version that a call would go to: for metadata and readiness.
    ///
    /// # Errors
    /// As for a prediction, but a key of the scope `models` will do as well.
    pub async fn target(&self, call: &Call, model: &ModelRef) -> Result<Arc<Target>, PredictError> {
        let caller = self
            .identity
            .caller(call, &[Scope::Infer, Scope::Models])
            .await?;
        resolve::resolve(&self.registry, &caller.tenant, model).await
    }

    /// Predictions under way.
    pub fn under_way(&self) -> usize {
        self.gate.under_way()
    }
}
