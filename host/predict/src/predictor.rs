//! One prediction, from credentials to answer.

use std::sync::Arc;

use foretell_types::Scope;
use foretell_types::run::Runner;

use crate::registry::{Registry, Target};
use crate::stage::admit::{Gate, Permit};
use crate::stage::identify::Identity;
use crate::stage::recall::Recalled;
use crate::stage::run::Until;
use crate::stage::suspend::Rule;
use crate::stage::{check, recall, resolve, run, settle, suspend};
use crate::statistics::Watch;
use crate::tenant::Act;
use crate::{Answer, AnswerCache, Call, Decoded, Limits, ModelRef, Payload, PredictError, apart};

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
        let tenant = &admitted.caller.tenant;
        let target = resolve::resolve(&self.registry, tenant, &*payload.model()?).await?;
        resolve::is_loaded(&target)?;
        let mut watch = Watch::start(&target);
        let cache = self.cache.as_deref();
        let answered = async {
            let (question, urgency) = apart(body_bytes, || {
                let Decoded { inputs, urgency } = payload.decode(&target)?;
                let checked = check::check(&target, inputs)?;
                let question = recall::question(cache, call.cache, &target, checked);
                Ok::<_, PredictError>((question, urgency))
            })
            .await?;
            watch.read();
            let until = Until::after(watch.began(), urgency.timeout);
            match recall::recall(question, target, until).await {
                Recalled::Hit(answer) => Ok(answer),
                Recalled::Miss(missed) => {
                    let pass = suspend::pass(&missed.target, self.suspension)?;
                    let ran =
                        run::run(&*self.runner, admitted, missed, until, urgency.priority).await;
                    let answer = settle::settle(ran);
                    pass.judge(&answer);
                    answer
                }
            }
        };
        let answer = answered.await;
        watch.stop(&answer);
        answer
    }

    /// A place among the caller's predictions, for a stream of them: it is under way until the place is dropped.
    ///
    /// # Errors
    /// Those of a prediction that is refused before its body is read.
    pub async fn admit(&self, call: &Call) -> Result<Permit, PredictError> {
        let caller = self.identity.caller(call, &[Scope::Infer]).await?;
        Ok(self.gate.admit(caller)?.permit)
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

    /// The same, if it answers.
    ///
    /// # Errors
    /// Those of [`Predictor::target`], and `Unloaded`.
    pub async fn ready(&self, call: &Call, model: &ModelRef) -> Result<Arc<Target>, PredictError> {
        let target = self.target(call, model).await?;
        resolve::is_loaded(&target)?;
        Ok(target)
    }

    /// Bytes of a prediction's body, at most.
    pub const fn max_body_bytes(&self) -> u64 {
        self.max_body_bytes
    }

    /// Predictions under way.
    pub fn under_way(&self) -> usize {
        self.gate.under_way()
    }
}
