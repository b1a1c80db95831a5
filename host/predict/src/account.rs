//! What a tenant and its keys may use, what they have used, and what it costs: quotas, credits, and the windows of requests.
//!
//! The store knows what was used up to the last record that was written; from its first call on a tenant's tally is kept
//! here, where one lock makes a reservation: quota and credits are looked at and taken in one step, so that of any number of
//! callers exactly as many pass as there is room for. What is reserved is given back unless it is used.

pub(crate) mod calendar;
mod tally;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use foretell_store::port::UnixMs;
use foretell_store::{
    Act, Day, Entry, Ledger, LimitStore, MicroCredits, Price, Quotas, TenantLimits, day_of,
};
use foretell_types::{KeyId, ModelName, TenantId};

use self::calendar::{begin_of, month_start, next_month_start};
use self::tally::Tally;
pub use self::tally::{Credits, NoCredits};
use crate::config::{Governance, HitPrice, Storage};
use crate::evidence::Evidence;
use crate::rate::{Rate, Reached, Window};
use crate::{Clock, PredictError};

/// Millionths of a credit in one.
pub const MICRO: MicroCredits = 1_000_000;

/// Where accounts are read from, and what holds where nothing was set.
pub struct Books {
    ledger: Arc<dyn Ledger>,
    limits: Arc<dyn LimitStore>,
    evidence: Arc<Evidence>,
    governance: Governance,
    clock: Clock,
    /// The fixed moment that windows are counted from.
    began: Instant,
}

/// One tenant's.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// How often something was set for it. What was read before the last time is to be read again.
    changes: AtomicU64,
    terms: ArcSwapOption<Terms>,
    state: Mutex<State>,
    /// One reader at a time.
    reading: tokio::sync::Mutex<()>,
    window: Window,
}

/// What holds for a tenant.
#[derive(Debug)]
pub(crate) struct Terms {
    limits: TenantLimits,
    /// Keys that have limits of their own.
    keys: HashMap<KeyId, KeyTerms>,
    /// Models that have: requests in a window.
    models: HashMap<ModelName, (u64, Arc<Window>)>,
    /// Its changes when it was read.
    seen: u64,
    /// Whether its predictions are recorded.
    pub(crate) records: bool,
}

#[derive(Debug)]
struct KeyTerms {
    quotas: Quotas,
    window: Arc<Window>,
}

#[derive(Debug, Default)]
struct State {
    tenant: Tally,
    /// Of keys that have limits of their own.
    keys: HashMap<KeyId, Tally>,
    granted: MicroCredits,
    spent: MicroCredits,
    /// The month whose budget a warning was recorded for.
    warned: Option<Day>,
    /// Uploads of a day.
    uploads: Option<(Day, u64)>,
}

/// What a call takes before it is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bill {
    /// Rows.
    pub(crate) predictions: u32,
    /// For the rows.
    pub(crate) fixed: MicroCredits,
    /// For each millisecond in the sandbox.
    pub(crate) per_ms: MicroCredits,
}

impl Bill {
    /// For what was paid before.
    pub(crate) const NOTHING: Self = Self {
        predictions: 0,
        fixed: 0,
        per_ms: 0,
    };

    /// What it costs with so much time in the sandbox.
    pub(crate) fn with(&self, compute: Duration) -> MicroCredits {
        let us = i128::try_from(compute.as_micros()).unwrap_or(i128::MAX);
        let compute = us.saturating_mul(i128::from(self.per_ms)) / 1_000;
        let compute = MicroCredits::try_from(compute).unwrap_or(MicroCredits::MAX);
        self.fixed.saturating_add(compute)
    }
}

/// What was taken for a call that is under way; given back on drop.
#[derive(Debug)]
pub(crate) struct Reserved {
    account: Arc<crate::tenant::Tenant>,
    key: Option<KeyId>,
    bill: Bill,
    deposit: MicroCredits,
    day: Day,
    is_open: bool,
}

impl Books {
    /// Over the store, with the defaults of the configuration.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        limits: Arc<dyn LimitStore>,
        evidence: Arc<Evidence>,
        governance: Governance,
        clock: Clock,
    ) -> Self {
        Self {
            ledger,
            limits,
            evidence,
            governance,
            clock,
            began: Instant::now(),
        }
    }

    pub(crate) fn evidence(&self) -> &Arc<Evidence> {
        &self.evidence
    }

    pub(crate) fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// What holds for a tenant now.
    ///
    /// # Errors
    /// Those of the store, at its first call and after a change.
    pub(crate) async fn terms(
        &self,
        tenant: &TenantId,
        account: &Account,
    ) -> Result<Arc<Terms>, PredictError> {
        match account.current() {
            Some(terms) => Ok(terms),
            None => Box::pin(self.read(tenant, account)).await,
        }
    }

    async fn read(&self, tenant: &TenantId, account: &Account) -> Result<Arc<Terms>, PredictError> {
        let _alone = account.reading.lock().await;
        if let Some(terms) = account.current() {
            return Ok(terms);
        }
        // Before the store is read: what changes from here on is read by the next one.
        let seen = account.changes.load(Ordering::Acquire);
        self.read_anew(tenant, account, seen).await
    }

    async fn read_anew(
        &self,
        tenant: &TenantId,
        account: &Account,
        seen: u64,
    ) -> Result<Arc<Terms>, PredictError> {
        let before = account.terms.load_full();
        // What was used and is not written yet would be missing in the sums.
        self.evidence.flush().await?;
        let limits = self.limits.of_tenant(tenant).await?;
        let set = self.limits.of_keys(tenant).await?;
        let granted = self.ledger.account(tenant).await?;
        let recording = self.evidence.recorder().policy(tenant).await?;
        let today = day_of(self.clock.now());
        if before.is_none() {
            let tally = self.tally(tenant, None, today).await?;
            let mut state = account.state();
            state.tenant = tally;
            state.spent = granted.spent;
        }
        let mut keys = HashMap::new();
        for (key, quotas) in set {
            let known = before.as_ref().and_then(|terms| terms.keys.get(&key));
            let window = match known {
                Some(known) => Arc::clone(&known.window),
                None => {
                    let tally = self.tally(tenant, Some(&key), today).await?;
                    account.state().keys.insert(key.clone(), tally);
                    Arc::default()
                }
            };
            keys.insert(key, KeyTerms { quotas, window });
        }
        let models = limits.models_requests.iter().map(|(model, limit)| {
            let known = before.as_ref().and_then(|terms| terms.models.get(model));
            let window = known.map_or_else(Arc::default, |(_, window)| Arc::clone(window));
            (model.clone(), (*limit, window))
        });
        let models = models.collect();
        account.state().granted = granted.granted;
        let terms = Arc::new(Terms {
            limits,
            keys,
            models,
            seen,
            records: recording.enabled,
        });
        account.terms.store(Some(Arc::clone(&terms)));
        Ok(terms)
    }

    async fn tally(
        &self,
        tenant: &TenantId,
        key: Option<&KeyId>,
        today: Day,
    ) -> Result<Tally, PredictError> {
        let actor = key.map(KeyId::as_str);
        let day = self.ledger.used(tenant, actor, today).await?;
        let month = self.ledger.used(tenant, actor, month_start(today)).await?;
        Ok(Tally::of(today, &day, &month))
    }

    /// Counts one request of a tenant, and of its key.
    ///
    /// # Errors
    /// `RateLimited`, with when to come back; it is not counted then, for the tenant at least.
    pub(crate) fn count(
        &self,
        account: &Account,
        terms: &Terms,
        key: Option<&KeyId>,
    ) -> Result<Option<Rate>, PredictError> {
        let length = self.governance.window;
        let now = self.began.elapsed();
        let own = key.and_then(|key| terms.keys.get(key));
        let of_key = match own.and_then(|own| Some((own, own.quotas.requests_per_window?))) {
            None => None,
            Some((own, limit)) => Some(
                own.window
                    .take(limit, length, now)
                    .map_err(|reached| refused("key", reached, length))?,
            ),
        };
        let limit = terms.limits.quotas.requests_per_window;
        let of_tenant = match limit.or(self.governance.quotas.requests_per_window) {
            None => None,
            Some(limit) => Some(
                account
                    .window
                    .take(limit, length, now)
                    .map_err(|reached| refused("tenant", reached, length))?,
            ),
        };
        // Whichever leaves less.
        Ok(match (of_tenant, of_key) {
            (Some(tenant), Some(key)) if key.remaining < tenant.remaining => Some(key),
            (tenant, key) => tenant.or(key),
        })
    }

    /// Counts one request of a model, where that has a limit of its own.
    ///
    /// # Errors
    /// `RateLimited`, with when to come back.
    pub(crate) fn count_of_model(
        &self,
        terms: &Terms,
        model: &ModelName,
    ) -> Result<Option<Rate>, PredictError> {
        let Some((limit, window)) = terms.models.get(model) else {
            return Ok(None);
        };
        let length = self.governance.window;
        let counted = window.take(*limit, length, self.began.elapsed());
        let rate = counted.map_err(|reached| refused("model", reached, length))?;
        Ok(Some(rate))
    }

    /// What the tenant may keep, and bring in a day.
    pub(crate) fn storage(&self, terms: &Terms) -> Storage {
        let (limits, default) = (&terms.limits, &self.governance.storage);
        Storage {
            bytes: limits.stored_bytes.or(default.bytes),
            models: limits.models.map(u64::from).or(default.models),
            uploads_per_day: limits
                .uploads_per_day
                .map(u64::from)
                .or(default.uploads_per_day),
        }
    }

    /// What holds for a tenant: what was set for it, and where nothing was, what the configuration says.
    pub(crate) fn in_force(&self, limits: &TenantLimits) -> TenantLimits {
        let Governance {
            quotas,
            storage,
            prepaid,
            price,
            ..
        } = &self.governance;
        let number = |default: Option<u64>| default.and_then(|limit| u32::try_from(limit).ok());
        TenantLimits {
            quotas: limits.quotas.or(quotas),
            stored_bytes: limits.stored_bytes.or(storage.bytes),
            models: limits.models.or(number(storage.models)),
            uploads_per_day: limits.uploads_per_day.or(number(storage.uploads_per_day)),
            prepaid: limits.prepaid.or(Some(*prepaid)),
            price: Price {
                prediction: limits.price.prediction.or(price.prediction),
                compute_ms: limits.price.compute_ms.or(price.compute_ms),
            },
            ..limits.clone()
        }
    }

    /// Counts one upload of a day. `before` = how many there were today, for the first of a day that this server sees.
    ///
    /// # Errors
    /// `QuotaExhausted`; it is not counted then.
    pub(crate) fn count_upload(
        &self,
        account: &Account,
        limit: u64,
        before: u64,
    ) -> Result<(), PredictError> {
        let now = self.clock.now();
        let today = day_of(now);
        let mut state = account.state();
        let count = match state.uploads {
            Some((day, count)) if day == today => count.max(before),
            _ => before,
        };
        if count >= limit {
            let what = tally::Full::Day(tally::Short {
                what: "uploads",
                limit,
                left: 0,
                asked: 1,
            });
            return Err(exhausted("tenant", what, now));
        }
        state.uploads = Some((today, count + 1));
        Ok(())
    }

    /// Predictions that the tenant may have under way, where something else than the default was set.
    pub(crate) fn concurrent(&self, terms: &Terms) -> Option<usize> {
        terms.limits.quotas.concurrent.map(|limit| limit as usize)
    }

    /// What a call costs.
    pub(crate) fn bill(&self, terms: &Terms, model: &ModelName, rows: u32) -> Bill {
        let of_model = terms.limits.models_price.get(model);
        let part = |of: fn(&Price) -> Option<MicroCredits>| {
            of_model
                .and_then(of)
                .or_else(|| of(&terms.limits.price))
                .or_else(|| of(&self.governance.price))
                .unwrap_or(0)
        };
        let each = part(|price| price.prediction);
        Bill {
            predictions: rows,
            fixed: each.saturating_mul(i64::from(rows)),
            per_ms: part(|price| price.compute_ms),
        }
    }

    /// The same for an answer that was given before.
    pub(crate) fn bill_of_hit(&self, terms: &Terms, model: &ModelName, rows: u32) -> Bill {
        let bill = self.bill(terms, model, rows);
        Bill {
            fixed: match self.governance.hits {
                HitPrice::Full => bill.fixed,
                HitPrice::Free => 0,
            },
            per_ms: 0,
            ..bill
        }
    }

    /// Takes what a call may need: its predictions, and credits for them and for all the time that it may take. What it does
    /// not use is given back when it is settled.
    ///
    /// # Errors
    /// `QuotaExhausted`: nothing is taken.
    pub(crate) fn reserve(
        &self,
        tenant: &Arc<crate::tenant::Tenant>,
        terms: &Terms,
        key: Option<&KeyId>,
        bill: Bill,
        longest: Duration,
    ) -> Result<Reserved, PredictError> {
        let now = self.clock.now();
        let day = day_of(now);
        let quotas = terms.limits.quotas.or(&self.governance.quotas);
        let own = key.and_then(|key| Some((key, terms.keys.get(key)?)));
        let deposit = bill.with(longest);
        let mut state = tenant.account.state();
        let State {
            tenant: of_tenant,
            keys,
            granted,
            spent,
            warned,
            ..
        } = &mut *state;
        // A clock that went back reserves on the day that it came from.
        let day = of_tenant.turn_to(day);
        of_tenant
            .room(&quotas, bill.predictions, deposit)
            .map_err(|what| exhausted("tenant", what, now))?;
        if terms.limits.prepaid.unwrap_or(self.governance.prepaid) && *granted - *spent < deposit {
            return Err(exhausted(
                "tenant",
                tally::Full::Balance {
                    left: *granted - *spent,
                    needed: deposit,
                },
                now,
            ));
        }
        if let Some((key, own)) = own {
            let of_key = keys.entry(key.clone()).or_default();
            of_key.turn_to(day);
            of_key
                .room(&own.quotas, bill.predictions, deposit)
                .map_err(|what| exhausted("key", what, now))?;
            of_key.take(bill.predictions, deposit);
        }
        of_tenant.take(bill.predictions, deposit);
        *spent += deposit;
        let month = month_start(day);
        let budget = quotas.credits_per_month.filter(|_| *warned != Some(month));
        let is_nearly_spent = budget.filter(|budget| {
            let used = i128::from(of_tenant.credits_of_month()) * 100;
            used >= i128::from(*budget) * i128::from(self.governance.budget_warning)
        });
        if is_nearly_spent.is_some() {
            *warned = Some(month);
        }
        drop(state);
        if let Some(budget) = is_nearly_spent {
            self.warn(&tenant.id, budget);
        }
        Ok(Reserved {
            account: Arc::clone(tenant),
            key: own.map(|(key, _)| key.clone()),
            bill,
            deposit,
            day,
            is_open: true,
        })
    }
}

impl Books {
    /// Most of a month's budget is spent: recorded once for each month, and again after a restart.
    fn warn(&self, tenant: &TenantId, budget: MicroCredits) {
        let percent = self.governance.budget_warning;
        let of = Credits(budget);
        tracing::warn!(%tenant, budget = %of, percent, "most of the month's budget is spent");
        self.evidence.note(Entry {
            at: self.clock.now(),
            tenant: Some(tenant.clone()),
            actor: "server".into(),
            act: Act::BudgetWarn,
            object: tenant.as_str().to_owned(),
            outcome: "ok".into(),
            request_id: None,
            origin: None,
            detail: format!("{{\"micro_credits_per_month\":{budget},\"percent\":{percent}}}"),
            once: None,
        });
    }
}

impl Account {
    /// Something was set for the tenant: it is read at its next call.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// What was read, if nothing was set since.
    fn current(&self) -> Option<Arc<Terms>> {
        let terms = self.terms.load_full()?;
        (terms.seen == self.changes.load(Ordering::Acquire)).then_some(terms)
    }

    /// A panic elsewhere leaves whole numbers behind: nothing here is half done between two of them.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// The call was run, for so long: returns what it costs.
    pub(crate) fn settle(mut self, compute: Duration) -> MicroCredits {
        self.is_open = false;
        let cost = self
            .bill
            .with(compute)
            .min(self.deposit.max(self.bill.fixed));
        let us = u64::try_from(compute.as_micros()).unwrap_or(u64::MAX);
        self.correct(0, cost, us);
        cost
    }

    /// The call was run, for so long, and costs nothing: its time is counted all the same.
    pub(crate) fn give_back(mut self, compute: Duration) {
        self.is_open = false;
        let us = u64::try_from(compute.as_micros()).unwrap_or(u64::MAX);
        self.correct(self.bill.predictions, 0, us);
    }

    /// Gives back what was taken but for the cost.
    fn correct(&self, predictions: u32, cost: MicroCredits, compute_us: u64) {
        let rest = self.deposit - cost;
        let mut state = self.account.account.state();
        state.spent -= rest;
        let day = self.day;
        state.tenant.correct(day, predictions, rest, compute_us);
        if let Some(key) = &self.key
            && let Some(tally) = state.keys.get_mut(key)
        {
            tally.correct(day, predictions, rest, compute_us);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.is_open {
            self.correct(self.bill.predictions, 0, 0);
        }
    }
}

fn refused(whose: &'static str, reached: Reached, window: Duration) -> PredictError {
    PredictError::RateLimited {
        whose,
        rate: reached.rate,
        window,
        retry_after: reached.retry_after,
    }
}

fn exhausted(whose: &'static str, what: tally::Full, now: UnixMs) -> PredictError {
    let today = day_of(now);
    let until = match what {
        tally::Full::Day(_) | tally::Full::Balance { .. } => begin_of(today + 1),
        tally::Full::Month(_) | tally::Full::Budget { .. } => begin_of(next_month_start(today)),
    };
    let left = u64::try_from(until.saturating_sub(now)).unwrap_or(0);
    PredictError::QuotaExhausted {
        whose,
        what: what.to_string(),
        retry_after: Duration::from_millis(left.max(1_000)),
    }
}

#[cfg(test)]
mod tests;
