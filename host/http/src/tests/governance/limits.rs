//! What may be used, what it costs, and what a caller is told when there is no more.

use foretell_predict::Governance;
use foretell_predict::manage::Quotas;
use serde_json::{Value, json};

use super::super::host::{Host, OPERATOR, Reply};
use super::{Key, OWNER, PEOPLE, RECORD, done, house, key, put, told};

const OF_TENANT: &str = "/api/tenants/acme/limits";
const CREDITS: &str = "/api/tenants/acme/credits";
/// From now to midnight, where days of UTC end, rounded up.
const UNTIL_TOMORROW: &str = "5104";

/// Limits of which nothing is set.
fn nothing() -> Value {
    json!({
        "quotas": no_quotas(),
        "stored_bytes": null, "models": null, "uploads_per_day": null, "prepaid": null,
        "price": {"prediction": null, "compute_ms": null},
        "models_price": {}, "models_requests": {},
    })
}

fn no_quotas() -> Value {
    json!({
        "requests_per_window": null, "concurrent": null,
        "predictions_per_day": null, "predictions_per_month": null,
        "compute_ms_per_day": null, "compute_ms_per_month": null,
        "credits_per_month": null,
    })
}

async fn predict(host: &Host, key: &str) -> Reply {
    host.post(PEOPLE, key, RECORD).await
}

async fn account(host: &Host, key: &str) -> Value {
    done(host.get("/api/limits", key).await)["account"].take()
}

#[tokio::test]
async fn limits_are_shown_as_they_were_set_and_what_is_shown_can_be_sent_back() {
    let (host, owner) = house(Governance::unlimited()).await;
    let none = json!({
        "calls": 0, "predictions": 0, "cached": 0, "failed": 0,
        "compute_ms": 0.0, "credits": 0, "cost_usd": 0.0,
    });
    let mut in_force = nothing();
    in_force["prepaid"] = json!(false);
    in_force["price"]["prediction"] = json!(1);
    let fresh = json!({
        "tenant": "acme", "limits": nothing(), "in_force": in_force, "keys": [], "today": none, "month": none,
        "account": {"granted": 0, "spent": 0, "balance": 0},
    });
    assert_eq!(done(host.get("/api/limits", &owner.secret).await), fresh);
    assert_eq!(done(host.get(OF_TENANT, OPERATOR).await), fresh);

    let limits = json!({
        "quotas": {"predictions_per_day": 1_000, "credits_per_month": 12.5, "concurrent": 8},
        "stored_bytes": 1_048_576, "prepaid": false,
        "price": {"prediction": 0.25},
        "models_price": {"people": {"prediction": 2, "compute_ms": 0.000_001}},
        "models_requests": {"people": 100},
    });
    let set = done(put(&host, OF_TENANT, OPERATOR, &limits).await);
    let mut shown = nothing();
    for (place, value) in [
        ("/quotas/predictions_per_day", json!(1_000)),
        ("/quotas/credits_per_month", json!(12.5)),
        ("/quotas/concurrent", json!(8)),
        ("/stored_bytes", json!(1_048_576)),
        ("/prepaid", json!(false)),
        ("/price/prediction", json!(0.25)),
        ("/models_price", limits["models_price"].clone()),
        ("/models_requests", limits["models_requests"].clone()),
    ] {
        *shown.pointer_mut(place).unwrap() = value;
    }
    assert_eq!(set["limits"], shown);
    for (path, key) in [
        (OF_TENANT, OPERATOR),
        ("/api/limits", owner.secret.as_str()),
        ("/tenants/acme/api/limits", OPERATOR),
    ] {
        assert_eq!(done(host.get(path, key).await), set, "{path}");
    }
    let again = done(put(&host, OF_TENANT, OPERATOR, &shown).await);
    assert_eq!(again, set);
    // All of them are replaced: what is left out is not set any more.
    let cleared = done(put(&host, OF_TENANT, OPERATOR, &json!({})).await);
    assert_eq!(cleared, fresh);
}

#[tokio::test]
async fn what_cannot_be_a_limit_is_refused_and_changes_nothing() {
    let (host, owner) = house(Governance::unlimited()).await;
    let before = done(host.get(OF_TENANT, OPERATOR).await);
    for (body, code, words) in [
        (json!({"quota": {}}), "malformed", "unknown field `quota`"),
        (
            json!({"quotas": {"rps": 1}}),
            "malformed",
            "unknown field `rps`",
        ),
        (
            json!({"price": {"row": 1}}),
            "malformed",
            "unknown field `row`",
        ),
        (
            json!({"models_price": {"people": {"row": 1}}}),
            "malformed",
            "unknown field `row`",
        ),
        (json!({"quotas": [1]}), "malformed", "expected an object"),
        (
            json!({"models": -1}),
            "malformed",
            "expected a whole number, 0 or more",
        ),
        (
            json!({"price": {"prediction": 1e-7}}),
            "malformed",
            "at most six decimals",
        ),
        (
            json!({"price": {"prediction": -1}}),
            "invalid_input",
            "a price is 0 to a thousand million credits",
        ),
        (
            json!({"quotas": {"credits_per_month": -1}}),
            "invalid_input",
            "`credits_per_month` is 0 or more",
        ),
        (
            json!({"models_price": {"no/name": {}}}),
            "invalid_input",
            "`models_price`: model name `no/name` is not valid",
        ),
    ] {
        let reply = put(&host, OF_TENANT, OPERATOR, &body).await;
        told(&reply, 400, code, words);
    }
    let twice = br#"{"models_requests":{"people":1,"people":2}}"#;
    let reply = host.call("PUT", OF_TENANT, OPERATOR, &[], twice).await;
    told(&reply, 400, "malformed", "`people` stands twice");
    assert_eq!(done(host.get(OF_TENANT, OPERATOR).await), before);

    let absent = "/api/tenants/nobody/limits";
    for reply in [
        host.get(absent, OPERATOR).await,
        put(&host, absent, OPERATOR, &json!({})).await,
    ] {
        told(&reply, 404, "not_found", "there is no tenant `nobody`");
    }
    for reply in [
        host.get(OF_TENANT, &owner.secret).await,
        put(&host, OF_TENANT, &owner.secret, &json!({})).await,
    ] {
        told(
            &reply,
            403,
            "forbidden",
            "this key lacks the scope `operator`",
        );
    }
}

#[tokio::test]
async fn a_tenant_that_used_up_its_day_is_told_so_until_tomorrow() {
    let (host, owner) = house(Governance::unlimited()).await;
    let body = json!({"quotas": {"predictions_per_day": 2}});
    done(put(&host, OF_TENANT, OPERATOR, &body).await);
    for _ in 0..2 {
        done(predict(&host, &owner.secret).await);
    }
    let refused = predict(&host, &owner.secret).await;
    told(
        &refused,
        429,
        "quota_exhausted",
        "this tenant is out of quota: its 2 predictions of this day (UTC) are used up",
    );
    assert_eq!(refused.header("retry-after"), Some(UNTIL_TOMORROW));
    // Nothing else is limited by it, and no other tenant is.
    done(host.get("/v2/models/people", &owner.secret).await);
    host.tenant("globex").await;
    let other = key(&host, "globex", OWNER).await.secret;
    let path = "/api/models/people/versions/1";
    done(host.call("PUT", path, &other, &[], b"people").await);
    done(predict(&host, &other).await);
    // More holds at once.
    let body = json!({"quotas": {"predictions_per_day": 3}});
    done(put(&host, OF_TENANT, OPERATOR, &body).await);
    done(predict(&host, &owner.secret).await);
    assert_eq!(predict(&host, &owner.secret).await.status, 429);
}

#[tokio::test]
async fn a_key_may_have_less_than_its_tenant() {
    let (host, owner) = house(Governance::unlimited()).await;
    let small = key(&host, "acme", &["infer"]).await;
    let path = format!("/api/keys/{}/limits", small.id);
    assert_eq!(done(host.get(&path, &owner.secret).await), no_quotas());
    let mut quotas = no_quotas();
    quotas["predictions_per_day"] = json!(1);
    for body in [&json!({"predictions_per_day": 1}), &quotas] {
        let set = put(&host, &path, &owner.secret, body).await;
        assert_eq!(done(set), quotas);
    }
    assert_eq!(done(host.get(&path, &owner.secret).await), quotas);
    let standing = done(host.get("/api/limits", &owner.secret).await);
    assert_eq!(
        standing["keys"],
        json!([{"id": small.id, "quotas": quotas}])
    );
    done(predict(&host, &small.secret).await);
    let refused = predict(&host, &small.secret).await;
    told(
        &refused,
        429,
        "quota_exhausted",
        "this key is out of quota: its 1 predictions of this day (UTC) are used up",
    );
    assert_eq!(refused.header("retry-after"), Some(UNTIL_TOMORROW));
    done(predict(&host, &owner.secret).await);

    for (body, code, words) in [
        (json!({"quotas": {}}), "malformed", "unknown field `quotas`"),
        (
            json!({"prepaid": true}),
            "malformed",
            "unknown field `prepaid`",
        ),
        (
            json!({"concurrent": 1}),
            "invalid_input",
            "`concurrent` is a limit of tenants; leave it out for a key",
        ),
        (
            json!({"credits_per_month": -0.5}),
            "invalid_input",
            "`credits_per_month` is 0 or more",
        ),
    ] {
        let reply = put(&host, &path, &owner.secret, &body).await;
        told(&reply, 400, code, words);
    }
    host.tenant("globex").await;
    let other = key(&host, "globex", OWNER).await.secret;
    for reply in [
        host.get(&path, &other).await,
        put(&host, &path, &other, &json!({})).await,
    ] {
        told(&reply, 404, "not_found", &small.id);
    }
    assert_eq!(done(host.get(&path, &owner.secret).await), quotas);
}

#[tokio::test]
async fn requests_are_counted_down_in_headers_and_refused_with_when_to_come_back() {
    let governance = Governance {
        quotas: Quotas {
            requests_per_window: Some(2),
            ..Quotas::default()
        },
        ..Governance::unlimited()
    };
    let (host, Key { secret: owner, .. }) = house(governance).await;
    let number =
        |reply: &Reply, name: &str| -> u64 { reply.header(name).unwrap().parse().unwrap() };
    for left in ["1", "0"] {
        let reply = predict(&host, &owner).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.header("x-ratelimit-limit"), Some("2"));
        assert_eq!(reply.header("x-ratelimit-remaining"), Some(left));
        assert!((1..=3_600).contains(&number(&reply, "x-ratelimit-reset")));
    }
    let words = "this tenant has made the 2 requests that it may make in 3600 s; try again in ";
    for path in [PEOPLE, "/v2/models/people/infer"] {
        let refused = host.post(path, &owner, RECORD).await;
        told(&refused, 429, "rate_limited", words);
        // Half of the next hour, after the rest of this one.
        assert!((1_800..=5_400).contains(&number(&refused, "retry-after")));
        assert_eq!(refused.header("x-ratelimit-limit"), Some("2"));
        assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    }
    // What is no prediction is not counted, and says nothing of it.
    let other = host.get("/api/limits", &owner).await;
    assert_eq!(
        (other.status, other.header("x-ratelimit-limit")),
        (200, None)
    );
    // Where nothing is limited there is nothing to say.
    let body = json!({"quotas": {"requests_per_window": 1_000}});
    done(put(&host, OF_TENANT, OPERATOR, &body).await);
    let reply = predict(&host, &owner).await;
    assert_eq!(reply.header("x-ratelimit-limit"), Some("1000"));
    let (free, Key { secret, .. }) = house(Governance::unlimited()).await;
    assert_eq!(
        predict(&free, &secret).await.header("x-ratelimit-limit"),
        None
    );
}

#[tokio::test]
async fn credits_are_given_spent_and_never_more_than_there_are() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    let body = json!({"prepaid": true, "price": {"prediction": 2.5}});
    done(put(&host, OF_TENANT, OPERATOR, &body).await);
    let refused = predict(&host, &owner).await;
    told(
        &refused,
        429,
        "quota_exhausted",
        "this tenant is out of quota: it has 0 credits left, and this call may cost 2.5; an operator gives more",
    );
    let given = host
        .post(CREDITS, OPERATOR, r#"{"credits":7.25,"reason":"a trial"}"#)
        .await;
    assert_eq!(
        done(given),
        json!({"granted": 7.25, "spent": 0, "balance": 7.25})
    );
    for spent in [2.5, 5.0] {
        let reply = predict(&host, &owner).await;
        assert_eq!(reply.header("x-credits-used"), Some("2.5"));
        assert_eq!(done(reply)["credits"], 2.5);
        let account = account(&host, &owner).await;
        assert_eq!(account["spent"].as_f64(), Some(spent));
        assert_eq!(account["balance"].as_f64(), Some(7.25 - spent));
    }
    // What is left is less than the next one costs, and stays.
    assert_eq!(predict(&host, &owner).await.status, 429);
    let taken_back = host.post(CREDITS, OPERATOR, r#"{"credits":-3}"#).await;
    let account_now = json!({"granted": 4.25, "spent": 5, "balance": -0.75});
    assert_eq!(done(taken_back), account_now);
    assert_eq!(account(&host, &owner).await, account_now);
}

#[tokio::test]
async fn what_is_no_gift_is_refused() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    let credits = "`credits` is a number other than 0, of at most a thousand million";
    for (body, code, words) in [
        (json!({}), "malformed", "missing field `credits`"),
        (
            json!({"credits": "5"}),
            "malformed",
            "a number of at most six decimals",
        ),
        (
            json!({"credits": null}),
            "malformed",
            "a number of at most six decimals",
        ),
        (
            json!({"credits": 0.000_000_1}),
            "malformed",
            "a number of at most six decimals",
        ),
        (
            json!({"credits": 1, "tenant": "acme"}),
            "malformed",
            "unknown field `tenant`",
        ),
        (json!({"credits": 0}), "invalid_input", credits),
        (json!({"credits": 1_000_000_001}), "invalid_input", credits),
        (
            json!({"credits": 1, "reason": "two\nlines"}),
            "invalid_input",
            "`reason` is one line of at most 256 bytes",
        ),
    ] {
        let reply = host.post(CREDITS, OPERATOR, &body.to_string()).await;
        told(&reply, 400, code, words);
    }
    let one = r#"{"credits":1}"#;
    let absent = host
        .post("/api/tenants/nobody/credits", OPERATOR, one)
        .await;
    told(&absent, 404, "not_found", "there is no tenant `nobody`");
    let own = host.post(CREDITS, &owner, one).await;
    told(
        &own,
        403,
        "forbidden",
        "this key lacks the scope `operator`",
    );
    let none = json!({"granted": 0, "spent": 0, "balance": 0});
    assert_eq!(account(&host, &owner).await, none);
}
