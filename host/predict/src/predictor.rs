//! One prediction, from credentials to answer.

mod replay;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foretell_types::run::Runner;
use foretell_types::{ModelName, Scope};
use tokio::runtime::Handle;
use tokio::time::sleep_until;

use crate::evidence::Refused;
use crate::rate::Rate;
use crate::registry::{Registry, Target};
use crate::release::{Ended, Trial, other_inputs};
use crate::shadow::Shadows;
use crate::stage::admit::{Admitted, Gate, Permit};
use crate::stage::identify::{Caller, Identity, Principal};
use crate::stage::once::{Once, UnderWay};
use crate::stage::recall::Recalled;
use crate::stage::reserve::{Account, Wanted};
use crate::stage::resolve::{Role, Route};
use crate::stage::run::Until;
use crate::stage::suspend::Rule;
use crate::stage::{check, recall, resolve, run, settle, suspend};
use crate::statistics::Watch;
use crate::tenant::Activity;
use crate::{
    Answer, AnswerCache, Books, Cached, Call, Decoded, Limits, ModelRef, Payload, PredictError,
    apart,
};

pub use replay::Replay;

/// How long to wait before a record is tried again, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Answers predictions. Cheap to share; one for each server.
pub struct Predictor {
    identity: Arc<Identity>,
    registry: Arc<Registry>,
    runner: Arc<dyn Runner>,
    gate: Gate,
    cache: Option<Arc<AnswerCache>>,
    shadows: Shadows,
    max_body_bytes: u64,
    suspension: Rule,
    books: Arc<Books>,
    /// Keys the hashes of inputs.
    input_secret: [u8; 32],
    /// What is to be done once.
    under_way: Arc<UnderWay>,
}

/// What is asked of a version.
struct Asked<'a> {
    call: &'a Call,
    admitted: &'a Admitted,
    account: &'a Account<'a>,
    body_bytes: usize,
    /// Who is to be given a copy of what is run.
    shadow: Option<&'a Arc<Target>>,
    /// Whether another version may be asked the same afterwards.
    again: bool,
    /// When the body was there, where another version was asked before; none = now.
    began: Option<Instant>,
}

/// A canary's call that is under way. Dropped before its end, it counts as one that took as long as its caller waited.
struct OnTrial<'a> {
    predictor: &'a Predictor,
    canary: &'a Arc<Target>,
    trial: &'a Arc<Trial>,
    began: Instant,
    is_judged: bool,
}

impl OnTrial<'_> {
    fn ended(mut self, answer: &Result<Answer, PredictError>) {
        self.is_judged = true;
        // What it said at another time says nothing of how it does.
        let is_old = matches!(answer, Ok(answer) if answer.lookup.cached == Cached::Hit);
        if !is_old {
            self.judge(Ended::of(answer.as_ref().err()));
        }
    }

    fn judge(&self, ended: Ended) {
        if let Some(reason) = self.trial.judge(ended, self.began.elapsed()) {
            self.predictor.withdraw(self.canary, self.trial, reason);
        }
    }
}

impl Drop for OnTrial<'_> {
    fn drop(&mut self) {
        if !self.is_judged {
            self.judge(Ended::GivenUp);
        }
    }
}

/// How the limits of requests stand, for the answer's headers whatever the answer is: the one that leaves least.
struct Counted<'a> {
    call: &'a Call,
    rate: Option<Rate>,
}

impl Counted<'_> {
    fn take(&mut self, counted: Result<Option<Rate>, PredictError>) -> Result<(), PredictError> {
        let rate = match &counted {
            Ok(rate) => *rate,
            Err(PredictError::RateLimited { rate, .. }) => Some(*rate),
            Err(_) => None,
        };
        self.rate = match (self.rate, rate) {
            (Some(known), Some(rate)) if known.remaining <= rate.remaining => Some(known),
            (known, rate) => rate.or(known),
        };
        counted.map(|_| ())
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(rate) = self.rate {
            let _first = self.call.rate.set(rate);
        }
    }
}

impl Predictor {
    /// Joins the parts; without a cache, every prediction is run.
    pub fn new(
        identity: Arc<Identity>,
        registry: Arc<Registry>,
        runner: Arc<dyn Runner>,
        cache: Option<Arc<AnswerCache>>,
        books: Arc<Books>,
        limits: &Limits,
    ) -> Self {
        let suspension = Rule {
            after: limits.suspend_after,
            pause: limits.suspend_for,
        };
        Self {
            registry,
            shadows: Shadows::new(Arc::clone(&runner), suspension),
            runner,
            gate: Gate::new(
                Activity::Prediction,
                limits.max_concurrent,
                limits.max_concurrent_per_tenant,
            ),
            cache,
            max_body_bytes: limits.max_body_bytes,
            suspension,
            books,
            input_secret: identity.secret_of_inputs(),
            under_way: Arc::default(),
            identity,
        }
    }

    /// Answers one prediction.
    ///
    /// # Errors
    /// [`PredictError`] of the stage that refused; of a refused call it is recorded that it was, and how often.
    pub async fn predict(
        &self,
        call: &Call,
        payload: impl Payload,
    ) -> Result<Answer, PredictError> {
        let caller = match self.identity.caller(call, &[Scope::Infer]).await {
            Ok(caller) => caller,
            Err(error) => {
                let known = self.identity.recognised(&call.credentials);
                self.refused(call, known.as_ref(), "", &error);
                return Err(error);
            }
        };
        let principal = Arc::clone(&caller.principal);
        let mut asked = None;
        let answer = self.predict_for(caller, call, payload, &mut asked).await;
        if let Err(error) = &answer {
            match asked {
                // Its record tells of it.
                Some((_, true)) => {}
                Some((model, false)) => {
                    self.refused(call, Some(&principal), model.as_str(), error);
                }
                None => self.refused(call, Some(&principal), "", error),
            }
        }
        answer
    }

    /// Counts a call that was refused.
    fn refused(&self, call: &Call, by: Option<&Arc<Principal>>, model: &str, error: &PredictError) {
        let what = format!("predict {model}");
        let refused = Refused {
            origin: self.identity.origin(call),
            ..Refused::of(by.map(|by| &**by), what.trim_end(), error.kind())
        };
        self.books.evidence().refused(refused, &call.request_id);
    }

    /// Answers one prediction of a caller that is known; `asked` tells which model it was for, as soon as that is known, and
    /// whether the call is recorded.
    async fn predict_for(
        &self,
        caller: Caller,
        call: &Call,
        mut payload: impl Payload,
        was_asked: &mut Option<(ModelName, bool)>,
    ) -> Result<Answer, PredictError> {
        let tenant = Arc::clone(&caller.tenant);
        let terms = self.books.terms(&tenant.id, &tenant.account).await?;
        let key = caller.principal.key.as_ref();
        let mut counted = Counted { call, rate: None };
        counted.take(self.books.count(&tenant.account, &terms, key))?;
        let most = self.books.concurrent(&terms);
        let admitted = self.gate.admit(caller, most).inspect_err(|error| {
            // As many as may be are under way, and more come: nothing of them should wait for long.
            if matches!(error, PredictError::TenantBusy { .. }) {
                self.runner.refused(&tenant.id);
            }
        })?;
        let body_bytes = payload.read(self.max_body_bytes).await?;
        let Route { target, role } =
            resolve::route(&self.registry, &admitted.caller, &mut payload).await?;
        *was_asked = Some((target.model.clone(), false));
        counted.take(self.books.count_of_model(&terms, &target.model))?;
        resolve::is_loaded(&target)?;
        let once = match &call.idempotency_key {
            None => None,
            Some(_) => Box::pin(self.once(call, &admitted.caller)).await?,
        };
        let account = Account {
            books: &self.books,
            terms,
            call,
            admitted: &admitted,
            is_recorded: AtomicBool::new(false),
            once,
            replays: payload.replays().cloned(),
        };
        let asked = Asked {
            call,
            admitted: &admitted,
            account: &account,
            body_bytes,
            shadow: None,
            again: false,
            began: None,
        };
        let model = target.model.clone();
        let answer = match role {
            Role::Plain => self.answer(&asked, &mut payload, target).await,
            Role::Shadowed(shadow) => {
                let asked = Asked {
                    shadow: Some(&shadow),
                    ..asked
                };
                self.answer(&asked, &mut payload, target).await
            }
            Role::OnTrial { trial, active } => {
                Box::pin(self.on_trial(asked, &mut payload, target, &trial, active)).await
            }
        };
        *was_asked = Some((model, account.is_recorded.load(Ordering::Relaxed)));
        match account.once {
            None => answer,
            Some(once) => Box::pin(finish(once, answer)).await,
        }
    }

    async fn once(&self, call: &Call, caller: &Caller) -> Result<Option<Once>, PredictError> {
        let evidence = self.books.evidence();
        Once::begin(&self.identity, &self.under_way, evidence, call, caller).await
    }

    /// Answers by one version.
    async fn answer(
        &self,
        asked: &Asked<'_>,
        payload: &mut impl Payload,
        target: Arc<Target>,
    ) -> Result<Answer, PredictError> {
        let mut watch = Watch::start(&target);
        let cache = self.cache.as_deref();
        let answered = async {
            let (question, urgency, draft) = apart(asked.body_bytes, || {
                let Decoded { inputs, urgency } = payload.decode(&target, asked.again)?;
                let checked = check::check(&target, inputs)?;
                let draft = asked.account.draft(&target, &checked)?;
                let question = recall::question(
                    cache,
                    &self.input_secret,
                    asked.call.cache,
                    &target,
                    checked,
                );
                Ok::<_, PredictError>((question, urgency, draft))
            })
            .await?;
            watch.read();
            let began = asked.began.unwrap_or(watch.began());
            let until = Until::after(began, urgency.timeout);
            let (rows, input) = (question.rows(), question.digest());
            let wanted = |target| Wanted {
                target,
                rows,
                input,
                began,
            };
            let missed = match recall::recall(question, target, until).await {
                Recalled::Hit(mut answer) => {
                    let recording = draft.and_then(|draft| draft.answered(&answer.outputs));
                    let wanted = wanted(&answer.target);
                    answer.credits = asked.account.recalled(&wanted, recording)?;
                    return Ok(answer);
                }
                Recalled::Miss(missed) => missed,
            };
            let pass = suspend::pass(&missed.target, self.suspension)?;
            let mut open = asked.account.reserve(&wanted(&missed.target))?;
            open.looked_up(missed.lookup.cached);
            let copy = asked.shadow.and_then(|shadow| {
                let tenant = &asked.admitted.caller.tenant;
                self.shadows.copy(shadow, tenant, &missed.inputs)
            });
            let (runner, priority) = (&*self.runner, urgency.priority);
            let begun = open.begun();
            let ran = run::run(runner, asked.admitted, missed, until, priority, begun).await;
            let compute = ran.compute();
            let mut answer = settle::settle(ran);
            let error = answer.as_ref().err();
            let is_asked_again = asked.again && error.is_some_and(PredictError::may_be_of_version);
            if let (Some(draft), Ok(answer)) = (draft, &answer) {
                open.record(draft.answered(&answer.outputs));
            }
            let credits = open.close(error, compute, is_asked_again);
            if let Ok(answer) = &mut answer {
                answer.credits = credits;
            }
            pass.judge(answer.as_ref().err());
            if let (Some(copy), Ok(answer)) = (copy, &answer) {
                copy.run(answer);
            }
            answer
        };
        let answer = answered.await;
        watch.stop(&answer);
        answer
    }

    /// Answers by the canary, and, where it does not, by the active version.
    async fn on_trial(
        &self,
        asked: Asked<'_>,
        payload: &mut impl Payload,
        canary: Arc<Target>,
        trial: &Arc<Trial>,
        active: Option<Arc<Target>>,
    ) -> Result<Answer, PredictError> {
        let began = Instant::now();
        let call = OnTrial {
            predictor: self,
            canary: &canary,
            trial,
            began,
            is_judged: false,
        };
        let with_canary = Asked {
            again: active.is_some(),
            ..asked
        };
        let answer = self
            .answer(&with_canary, payload, Arc::clone(&canary))
            .await;
        call.ended(&answer);
        let (error, active) = match (answer, active) {
            (Err(error), Some(active)) if error.may_be_of_version() => (error, active),
            (answer, _) => return answer,
        };
        // What its callers do not hear, its owner, or the operator, should find.
        if !error.is_of_inputs() && !matches!(error, PredictError::Suspended { .. }) {
            tracing::info!(
                target = %canary,
                request_id = %asked.call.request_id,
                cause = error.cause(),
                "a canary does not answer, and the active version does"
            );
        }
        let asked = Asked {
            began: Some(began),
            ..asked
        };
        let takes_others = other_inputs(&active.signature, &canary.signature).is_some();
        match self.answer(&asked, payload, active).await {
            // Its caller knows the canary, and has made the call for it.
            Err(PredictError::Mismatch(_)) if takes_others => Err(error),
            answer => answer,
        }
    }

    /// Records that a canary answers no calls any more. It gets none from now on, also where the store is away for a while.
    fn withdraw(&self, canary: &Target, trial: &Arc<Trial>, reason: String) {
        tracing::warn!(target = %canary, reason, "a canary is withdrawn");
        // At the end of a server there may be nobody left to record it: the next one will see for itself.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (registry, identity) = (Arc::clone(&self.registry), Arc::clone(&self.identity));
        let (tenant, model) = (canary.tenant.clone(), canary.model.clone());
        let trial = Arc::clone(trial);
        runtime.spawn(async move {
            let mut pause = SHORTEST_PAUSE;
            while let Err(error) = registry
                .withdraw(&tenant, &model, &trial, &reason, identity.now())
                .await
            {
                tracing::warn!(%tenant, %model, %error, "that a canary is withdrawn could not be recorded yet");
                sleep_until(tokio::time::Instant::now() + pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// A place among the caller's predictions, for a stream of them: it is under way until the place is dropped.
    ///
    /// # Errors
    /// Those of a prediction that is refused before its body is read.
    pub async fn admit(&self, call: &Call) -> Result<Permit, PredictError> {
        let caller = self.identity.caller(call, &[Scope::Infer]).await?;
        let tenant = &caller.tenant;
        let terms = self.books.terms(&tenant.id, &tenant.account).await?;
        let most = self.books.concurrent(&terms);
        Ok(self.gate.admit(caller, most)?.permit)
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
        resolve::resolve(&self.registry, &caller, model).await
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

/// What was done once is written before it is answered: who sends it again must not pay twice.
async fn finish(once: Once, answer: Result<Answer, PredictError>) -> Result<Answer, PredictError> {
    let is_repeated = once.is_repeated();
    once.written().await?;
    answer.map(|answer| Answer {
        is_repeated,
        ..answer
    })
}
