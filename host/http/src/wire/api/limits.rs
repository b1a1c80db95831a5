//! What may be used, what it costs, and what was given, as JSON. What is shown of limits can be sent back as it is.

use std::collections::BTreeMap;

use foretell_predict::PredictError;
use foretell_predict::manage::{self, TenantLimits};
use foretell_types::ModelName;
use serde::{Deserialize, Serialize};

use super::credits::Credits;
use super::request::{by_name, object, objects};
use super::usage::Used;

/// The body of `PUT /api/tenants/{t}/limits`, and all that was set for a tenant. What is null or absent is what the
/// host's configuration says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    #[serde(deserialize_with = "object")]
    quotas: Option<Quotas>,
    stored_bytes: Option<u64>,
    models: Option<u32>,
    uploads_per_day: Option<u32>,
    prepaid: Option<bool>,
    #[serde(deserialize_with = "object")]
    price: Option<Price>,
    #[serde(deserialize_with = "objects")]
    models_price: BTreeMap<String, Price>,
    #[serde(deserialize_with = "by_name")]
    models_requests: BTreeMap<String, u64>,
}

impl TryFrom<Limits> for TenantLimits {
    type Error = PredictError;

    fn try_from(limits: Limits) -> Result<Self, PredictError> {
        Ok(Self {
            quotas: limits.quotas.unwrap_or_default().into(),
            stored_bytes: limits.stored_bytes,
            models: limits.models,
            uploads_per_day: limits.uploads_per_day,
            prepaid: limits.prepaid,
            price: limits.price.unwrap_or_default().into(),
            models_price: of_models("models_price", limits.models_price)?,
            models_requests: of_models("models_requests", limits.models_requests)?,
        })
    }
}

/// What stands under the names of models.
fn of_models<T, U: From<T>>(
    field: &str,
    values: BTreeMap<String, T>,
) -> Result<BTreeMap<ModelName, U>, PredictError> {
    let named = values.into_iter().map(|(name, value)| {
        let name = ModelName::parse(&name);
        name.map(|name| (name, U::from(value)))
            .map_err(|error| PredictError::Invalid(format!("`{field}`: {error}")))
    });
    named.collect()
}

impl From<&TenantLimits> for Limits {
    fn from(limits: &TenantLimits) -> Self {
        let (prices, requests) = (limits.models_price.iter(), limits.models_requests.iter());
        Self {
            quotas: Some(Quotas::from(&limits.quotas)),
            stored_bytes: limits.stored_bytes,
            models: limits.models,
            uploads_per_day: limits.uploads_per_day,
            prepaid: limits.prepaid,
            price: Some(Price::from(&limits.price)),
            models_price: prices
                .map(|(name, price)| (name.to_string(), Price::from(price)))
                .collect(),
            models_requests: requests
                .map(|(name, limit)| (name.to_string(), *limit))
                .collect(),
        }
    }
}

/// What a tenant, or one of its keys, may use: the body of `PUT /api/keys/{id}/limits`, and what it answers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Quotas {
    requests_per_window: Option<u64>,
    concurrent: Option<u32>,
    predictions_per_day: Option<u64>,
    predictions_per_month: Option<u64>,
    compute_ms_per_day: Option<u64>,
    compute_ms_per_month: Option<u64>,
    credits_per_month: Option<Credits>,
}

impl Quotas {
    /// Those of a key.
    ///
    /// # Errors
    /// `Invalid` for what nobody would keep: predictions under way are counted by tenant alone.
    pub(crate) fn of_key(self) -> Result<manage::Quotas, PredictError> {
        if self.concurrent.is_some() {
            return Err(PredictError::Invalid(
                "`concurrent` is a limit of tenants; leave it out for a key".to_owned(),
            ));
        }
        Ok(self.into())
    }
}

impl From<Quotas> for manage::Quotas {
    fn from(quotas: Quotas) -> Self {
        Self {
            requests_per_window: quotas.requests_per_window,
            concurrent: quotas.concurrent,
            predictions_per_day: quotas.predictions_per_day,
            predictions_per_month: quotas.predictions_per_month,
            compute_ms_per_day: quotas.compute_ms_per_day,
            compute_ms_per_month: quotas.compute_ms_per_month,
            credits_per_month: quotas.credits_per_month.map(|credits| credits.0),
        }
    }
}

impl From<&manage::Quotas> for Quotas {
    fn from(quotas: &manage::Quotas) -> Self {
        Self {
            requests_per_window: quotas.requests_per_window,
            concurrent: quotas.concurrent,
            predictions_per_day: quotas.predictions_per_day,
            predictions_per_month: quotas.predictions_per_month,
            compute_ms_per_day: quotas.compute_ms_per_day,
            compute_ms_per_month: quotas.compute_ms_per_month,
            credits_per_month: quotas.credits_per_month.map(Credits),
        }
    }
}

/// What a prediction costs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Price {
    prediction: Option<Credits>,
    compute_ms: Option<Credits>,
}

impl From<Price> for manage::Price {
    fn from(price: Price) -> Self {
        Self {
            prediction: price.prediction.map(|credits| credits.0),
            compute_ms: price.compute_ms.map(|credits| credits.0),
        }
    }
}

impl From<&manage::Price> for Price {
    fn from(price: &manage::Price) -> Self {
        Self {
            prediction: price.prediction.map(Credits),
            compute_ms: price.compute_ms.map(Credits),
        }
    }
}

/// The body of `GET /api/limits`: a tenant's limits, and where it stands.
#[derive(Debug, Serialize)]
pub(crate) struct Standing<'a> {
    tenant: &'a str,
    /// What was set for it.
    limits: Limits,
    /// What holds for it: that, and the configuration where nothing was set.
    in_force: Limits,
    keys: Vec<KeyLimits<'a>>,
    /// Since the begin of the day, in UTC.
    today: Used,
    /// Since the begin of the month.
    month: Used,
    account: Account,
}

#[derive(Debug, Serialize)]
struct KeyLimits<'a> {
    id: &'a str,
    quotas: Quotas,
}

impl<'a> Standing<'a> {
    pub(crate) fn of(standing: &'a manage::Standing, usd_per_credit: f64) -> Self {
        let keys = standing.keys.iter();
        Self {
            tenant: standing.tenant.as_str(),
            limits: Limits::from(&standing.limits),
            in_force: Limits::from(&standing.in_force),
            keys: keys
                .map(|(id, quotas)| KeyLimits {
                    id: id.as_str(),
                    quotas: Quotas::from(quotas),
                })
                .collect(),
            today: Used::of(&standing.today, usd_per_credit),
            month: Used::of(&standing.month, usd_per_credit),
            account: Account::from(&standing.account),
        }
    }
}

/// The body of `POST /api/tenants/{t}/credits`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) credits: Credits,
    pub(crate) reason: Option<String>,
}

/// A tenant's credits.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    granted: Credits,
    spent: Credits,
    balance: Credits,
}

impl From<&manage::Account> for Account {
    fn from(account: &manage::Account) -> Self {
        Self {
            granted: Credits(account.granted),
            spent: Credits(account.spent),
            balance: Credits(account.balance()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Result<TenantLimits, String> {
        let limits = serde_json::from_value::<Limits>(body.clone());
        let limits = limits.map_err(|error| error.to_string())?;
        limits
            .try_into()
            .map_err(|error: PredictError| error.to_string())
    }

    #[test]
    fn limits_are_read_as_they_are_shown() {
        let shown = json!({
            "quotas": {
                "requests_per_window": 5_000, "concurrent": 8,
                "predictions_per_day": 100_000, "predictions_per_month": null,
                "compute_ms_per_day": null, "compute_ms_per_month": 3_600_000,
                "credits_per_month": 12.5,
            },
            "stored_bytes": 1_073_741_824, "models": 10, "uploads_per_day": 50, "prepaid": true,
            "price": {"prediction": 1, "compute_ms": 0.000_001},
            "models_price": {"iris": {"prediction": 0.25, "compute_ms": null}},
            "models_requests": {"iris": 100},
        });
        let limits = read(&shown).unwrap();
        assert_eq!(limits.quotas.credits_per_month, Some(12_500_000));
        assert_eq!(limits.price.compute_ms, Some(1));
        assert_eq!(json!(Limits::from(&limits)), shown);
    }

    #[test]
    fn what_is_null_or_absent_is_not_set() {
        for body in [
            json!({}),
            json!({"quotas": null, "price": null, "models": null}),
            json!({"quotas": {}, "price": {}, "models_price": {}}),
            json!({"quotas": {"credits_per_month": null}}),
        ] {
            assert_eq!(read(&body), Ok(TenantLimits::default()), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_a_limit_is_told() {
        for (body, words) in [
            (json!({"quota": {}}), "unknown field `quota`"),
            (json!({"quotas": {"rps": 1}}), "unknown field `rps`"),
            (json!({"price": {"row": 1}}), "unknown field `row`"),
            (
                json!({"models_price": {"a": {"row": 1}}}),
                "unknown field `row`",
            ),
            (json!({"quotas": [1, 2]}), "expected an object"),
            (json!({"price": [1, 2]}), "expected an object"),
            (json!({"models_price": {"a": [1, 2]}}), "expected an object"),
            (json!({"models_price": []}), "expected an object"),
            (json!({"models_requests": [1]}), "expected an object"),
            (json!({"models_requests": {"a": {}}}), "expected u64"),
            (
                json!({"models_price": {"a/b": {}}}),
                "`models_price`: model name",
            ),
            (
                json!({"models_requests": {"": 1}}),
                "`models_requests`: model name",
            ),
            (json!({"quotas": {"concurrent": -1}}), "invalid value"),
            (
                json!({"quotas": {"predictions_per_day": 1.5}}),
                "expected u64",
            ),
            (
                json!({"price": {"prediction": 1e-7}}),
                "at most six decimals",
            ),
            (
                json!({"price": {"prediction": "1"}}),
                "at most six decimals",
            ),
        ] {
            let told = read(&body).unwrap_err();
            assert!(told.contains(words), "{body}: {told}");
        }
        for twice in [
            r#"{"models_price":{"a":{"prediction":1},"a":{"prediction":2}}}"#,
            r#"{"models_requests":{"a":1,"a":1}}"#,
        ] {
            let told = serde_json::from_str::<Limits>(twice).unwrap_err();
            assert!(told.to_string().contains("`a` stands twice"), "{told}");
        }
    }

    #[test]
    fn a_key_has_no_limit_that_nobody_keeps() {
        let quotas = |body| serde_json::from_value::<Quotas>(body).unwrap();
        let kept = quotas(json!({"requests_per_window": 0, "concurrent": null}));
        assert_eq!(kept.of_key().unwrap().requests_per_window, Some(0));
        let refused = quotas(json!({"concurrent": 1})).of_key().unwrap_err();
        assert!(refused.to_string().contains("`concurrent`"), "{refused}");
    }
}
