//! Writing records, while stores are slow and callers go away.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use foretell_predict::account::MICRO;
use foretell_predict::manage::{
    Account, MicroCredits, Quotas, TenantLimits, UsageCursor, UsageQuery, UsageRow, Used,
};
use foretell_predict::{CacheLimits, Governance, Limits, Records};
use foretell_store::{Day, Entry, EntryOf, Ledger, LimitStore, Spent, StoreError, Stores};
use foretell_types::{ErrorKind, KeyId, TenantId};
use tokio::sync::Semaphore;

use crate::house::{House, OPERATOR, call};

/// Lets through what it is told to, once it is closed; what has begun goes on although nobody waits for it, as a database does.
#[derive(Clone)]
struct Door {
    is_closed: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
    places: Arc<Semaphore>,
}

impl Door {
    fn open() -> Self {
        Self {
            is_closed: Arc::default(),
            waiting: Arc::default(),
            places: Arc::new(Semaphore::new(0)),
        }
    }

    async fn pass<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let door = self.clone();
        let work = tokio::spawn(async move {
            if door.is_closed.load(Ordering::Acquire) {
                door.waiting.fetch_add(1, Ordering::AcqRel);
                door.places.acquire().await.unwrap().forget();
            }
            work.await
        });
        work.await.unwrap()
    }
}

struct SlowLedger(Arc<dyn Ledger>, Door);

#[async_trait]
impl Ledger for SlowLedger {
    async fn settle(&self, spent: Arc<Vec<Spent>>) -> Result<u64, StoreError> {
        let ledger = Arc::clone(&self.0);
        self.1.pass(async move { ledger.settle(spent).await }).await
    }

    async fn usage(
        &self,
        query: &UsageQuery,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError> {
        self.0.usage(query, after, limit).await
    }

    async fn used(
        &self,
        tenant: &TenantId,
        actor: Option<&str>,
        since: Day,
    ) -> Result<Used, StoreError> {
        self.0.used(tenant, actor, since).await
    }

    async fn account(&self, tenant: &TenantId) -> Result<Account, StoreError> {
        self.0.account(tenant).await
    }

    async fn grant(
        &self,
        tenant: &TenantId,
        credits: MicroCredits,
        entry: &Entry,
    ) -> Result<Account, StoreError> {
        self.0.grant(tenant, credits, entry).await
    }
}

struct SlowLimits(Arc<dyn LimitStore>, Door);

#[async_trait]
impl LimitStore for SlowLimits {
    async fn of_tenant(&self, tenant: &TenantId) -> Result<TenantLimits, StoreError> {
        let (limits, tenant) = (Arc::clone(&self.0), tenant.clone());
        self.1
            .pass(async move { limits.of_tenant(&tenant).await })
            .await
    }

    async fn of_keys(&self, tenant: &TenantId) -> Result<Vec<(KeyId, Quotas)>, StoreError> {
        self.0.of_keys(tenant).await
    }

    async fn set_tenant(
        &self,
        tenant: &TenantId,
        limits: &TenantLimits,
        entry: EntryOf<TenantLimits>,
    ) -> Result<(), StoreError> {
        self.0.set_tenant(tenant, limits, entry).await
    }

    async fn set_key(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        quotas: &Quotas,
        entry: EntryOf<Quotas>,
    ) -> Result<(), StoreError> {
        self.0.set_key(tenant, key, quotas, entry).await
    }
}

/// A house with tenant `a` and its model `m`, whose stores are slow behind doors.
async fn house(wrap: impl FnOnce(&mut Stores)) -> (Arc<House>, String) {
    let mut stores = foretell_store::memory::stores();
    wrap(&mut stores);
    let house = House::over(
        stores,
        Limits::default(),
        CacheLimits::default(),
        Governance::unlimited(),
        Records::default(),
        Vec::new(),
    )
    .await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    (Arc::new(house), key)
}

async fn spent(house: &House) -> i64 {
    let standing = house.manager.tenant_standing(&call(OPERATOR), "a").await;
    standing.unwrap().account.spent
}

#[tokio::test]
async fn what_was_being_written_when_the_server_stopped_is_written_once() {
    let door = Door::open();
    let slow = door.clone();
    let (house, key) = house(|stores| {
        stores.ledger = Arc::new(SlowLedger(Arc::clone(&stores.ledger), slow));
    })
    .await;
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    assert_eq!(spent(&house).await, MICRO);

    door.is_closed.store(true, Ordering::Release);
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    let keeping = tokio::spawn(Arc::clone(&house.evidence).keep());
    while door.waiting.load(Ordering::Acquire) == 0 {
        tokio::task::yield_now().await;
    }
    keeping.abort();
    assert!(keeping.await.unwrap_err().is_cancelled());
    door.is_closed.store(false, Ordering::Release);
    door.places.add_permits(10);
    house.evidence.flush().await.unwrap();
    assert_eq!(spent(&house).await, 2 * MICRO);
}

#[tokio::test]
async fn whoever_waits_for_records_does_not_wait_for_those_of_later_calls() {
    let (house, key) = house(|_| {}).await;
    let stop = Arc::new(AtomicBool::new(false));
    let others = {
        let (house, key, stop) = (Arc::clone(&house), key.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut count = 0_u64;
            while !stop.load(Ordering::Acquire) {
                house.predict(&call(&key), "m", None, 1.0).await.unwrap();
                // Refusals of strangers, too.
                house.kind(&call("ftl_live_unknown"), "m", None, 1.0).await;
                count += 1;
                tokio::task::yield_now().await;
            }
            count
        })
    };
    for _ in 0..100 {
        house.predict(&call(&key), "m", None, 1.0).await.unwrap();
        house.evidence.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Release);
    let count = others.await.unwrap();
    assert_eq!(spent(&house).await, (100 + count as i64) * MICRO);
}

#[tokio::test]
async fn a_caller_that_hangs_up_while_limits_are_read_keeps_nobody_at_the_old_ones() {
    let door = Door::open();
    let slow = door.clone();
    let (house, key) = house(|stores| {
        stores.limits = Arc::new(SlowLimits(Arc::clone(&stores.limits), slow));
    })
    .await;
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    let none = TenantLimits {
        quotas: Quotas {
            predictions_per_day: Some(0),
            ..Quotas::default()
        },
        ..TenantLimits::default()
    };
    house
        .manager
        .set_limits(&call(OPERATOR), "a", none)
        .await
        .unwrap();
    door.is_closed.store(true, Ordering::Release);
    let asking = {
        let (house, key) = (Arc::clone(&house), key.clone());
        tokio::spawn(async move { house.predict(&call(&key), "m", None, 1.0).await })
    };
    while door.waiting.load(Ordering::Acquire) == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    door.is_closed.store(false, Ordering::Release);
    door.places.add_permits(10);
    let kind = house.kind(&call(&key), "m", None, 1.0).await;
    assert_eq!(kind, ErrorKind::QuotaExhausted);
}
