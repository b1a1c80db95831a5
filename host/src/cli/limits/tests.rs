use super::*;
use serde_json::json;

const KEY: &str = "key_0123456789abcdef";

fn parsed<T: Args>(arguments: &[&str]) -> Result<T, clap::Error> {
    let command = T::augment_args(clap::Command::new("limits").no_binary_name(true));
    T::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

fn tenant(arguments: &[&str], limits: &Value) -> Value {
    let arguments = [&["acme"][..], arguments].concat();
    let limits = object(limits).unwrap();
    let tenant: TenantLimits = parsed(&arguments).unwrap();
    Value::Object(tenant.changed(limits))
}

#[test]
fn only_what_is_named_is_changed() {
    let before = json!({
        "quotas": {"concurrent": 4, "credits_per_month": 12.5},
        "models": 3,
        "price": {"prediction": 0.000001},
        "models_price": {"iris": {"prediction": 2}},
    });
    let changed = [
        "--predictions-per-day",
        "1000",
        "--concurrent",
        "default",
        "--models",
        "default",
        "--prepaid",
        "true",
        "--price-per-compute-ms",
        "0.25",
    ];
    assert_eq!(
        tenant(&changed, &before),
        json!({
            "quotas": {"credits_per_month": 12.5, "predictions_per_day": 1000},
            "prepaid": true,
            "price": {"prediction": 0.000001, "compute_ms": 0.25},
            "models_price": {"iris": {"prediction": 2}},
        })
    );
    // Also where nothing was set before.
    assert_eq!(
        tenant(&["--credits-per-month", "0.1"], &json!({})),
        json!({"quotas": {"credits_per_month": 0.1}, "price": {}})
    );
}

#[test]
fn clear_takes_all_away_but_what_is_named_with_it() {
    let before = json!({
        "quotas": {"concurrent": 4}, "prepaid": true, "price": {"prediction": 1}, "models_price": {"iris": {}},
    });
    assert_eq!(
        tenant(&["--clear"], &before),
        json!({"quotas": {}, "price": {}})
    );
    assert_eq!(
        tenant(&["--clear", "--stored-bytes", "5"], &before),
        json!({"quotas": {}, "price": {}, "stored_bytes": 5})
    );
    assert_eq!(
        tenant(&["--clear", "--concurrent", "5"], &before),
        json!({"quotas": {"concurrent": 5}, "price": {}})
    );
    let options = ["--clear", "--predictions-per-day", "1"];
    let key: KeyLimits = parsed(&[&[KEY][..], &options].concat()).unwrap();
    let quotas = object(&json!({"requests_per_window": 9})).unwrap();
    assert_eq!(
        Value::Object(key.quotas.changed(quotas)),
        json!({"predictions_per_day": 1})
    );
}

#[test]
fn a_key_has_no_quota_of_predictions_under_way() {
    assert!(parsed::<KeyLimits>(&[KEY, "--concurrent", "1"]).is_err());
}

#[test]
fn without_a_change_limits_are_only_shown() {
    let is_change = |arguments: &[&str]| {
        let arguments = [&["acme"][..], arguments].concat();
        parsed::<TenantLimits>(&arguments).unwrap().is_change()
    };
    assert!(!is_change(&[]));
    for change in [
        &["--clear"][..],
        &["--concurrent", "0"],
        &["--prepaid", "default"],
        &["--price-per-prediction", "0"],
    ] {
        assert!(is_change(change), "{change:?}");
    }
}

#[test]
fn a_value_that_is_none_is_refused_before_the_server_is_asked() {
    for wrong in [
        ["--concurrent", "4294967296"],
        ["--predictions-per-day", "1.5"],
        ["--predictions-per-day", "none"],
        ["--credits-per-month", "0.0000001"],
        ["--credits-per-month=-1", "--clear"],
        ["--prepaid", "yes"],
        ["--price-per-prediction", "1e-3"],
    ] {
        let error = parsed::<TenantLimits>(&["acme", wrong[0], wrong[1]]).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("`default`"), "{told}");
    }
}

#[test]
fn what_is_not_understood_is_not_sent_back() {
    for none in [json!(null), json!([]), json!("limits")] {
        assert_eq!(object(&none).unwrap_err().exit, Exit::Unavailable);
    }
}

#[test]
fn a_standing_shows_each_limit_beside_what_is_used_of_it() {
    let used = |predictions: u64, credits: f64| {
        json!({
            "calls": 1, "predictions": predictions, "cached": 0, "failed": 0, "compute_ms": 0.125,
            "credits": credits, "cost_usd": 0.01,
        })
    };
    let rows = standing(&json!({
        "tenant": "acme",
        "limits": {
            "quotas": {"predictions_per_day": 1000, "credits_per_month": 12.5},
            "prepaid": true,
            "price": {"prediction": 1e-6},
            "models_price": {"iris": {"prediction": 2}},
            "models_requests": {"iris": 5},
        },
        "in_force": {"quotas": {"requests_per_window": 1000, "predictions_per_day": 1000}, "prepaid": true},
        "keys": [{"id": "key_1", "quotas": {"requests_per_window": 1}}],
        "today": used(10, 1e-6),
        "month": used(70, 7.5),
        "account": {"granted": 20, "spent": 7.5, "balance": 12.5},
    }));
    let mut expected = Rows::new(&["WHAT", "LIMIT", "USED"]);
    for line in [
        ["requests_per_window", "1000 (default)", "-"],
        ["concurrent", "default", "-"],
        ["predictions_per_day", "1000", "10"],
        ["predictions_per_month", "default", "70"],
        ["compute_ms_per_day", "default", "0.125"],
        ["compute_ms_per_month", "default", "0.125"],
        ["credits_per_month", "12.5", "7.5"],
        ["stored_bytes", "default", "-"],
        ["models", "default", "-"],
        ["uploads_per_day", "default", "-"],
        ["prepaid", "true", "-"],
        ["price per prediction", "0.000001", "-"],
        ["price per compute_ms", "default", "-"],
        ["price per prediction of iris", "2", "-"],
        ["requests_per_window of iris", "5", "-"],
        ["requests_per_window of key_1", "1", "-"],
        ["calls today", "-", "1"],
        ["predictions today", "-", "10"],
        ["cached today", "-", "0"],
        ["failed today", "-", "0"],
        ["compute_ms today", "-", "0.125"],
        ["credits today", "-", "0.000001"],
        ["cost_usd today", "-", "0.01"],
        ["calls this month", "-", "1"],
        ["predictions this month", "-", "70"],
        ["cached this month", "-", "0"],
        ["failed this month", "-", "0"],
        ["compute_ms this month", "-", "0.125"],
        ["credits this month", "-", "7.5"],
        ["cost_usd this month", "-", "0.01"],
        ["credits granted", "20", "7.5"],
        ["credits left", "12.5", "-"],
    ] {
        expected.push(line.map(str::to_owned));
    }
    assert_eq!(rows, expected);
}
