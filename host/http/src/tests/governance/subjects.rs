//! What was recorded of a person, handed out and erased.

use foretell_predict::Governance;
use serde_json::{Value, json};

use super::super::host::Host;
use super::recordings::{outputs, predict, recording, replay};
use super::{NOW, OWNER, done, key, log, pages, texts, told};

const ADA: &str = "ada.lovelace@example.org";
const PATH: &str = "/api/subjects/ada.lovelace%40example.org";

/// Everything that is recorded of a person, in pages of `limit`.
async fn export(host: &Host, key: &str, path: &str, limit: usize) -> Vec<Value> {
    pages(host, path, key, "recordings", limit).await
}

async fn erase(host: &Host, key: &str, path: &str) -> Value {
    let headers = [("x-request-id", "erasure")];
    done(host.call("DELETE", path, key, &headers, b"").await)
}

#[tokio::test]
async fn all_that_was_recorded_of_a_person_is_handed_out_in_pages() {
    let (host, owner) = recording(Governance::unlimited()).await;
    for request in ["one", "two", "three", "four", "five"] {
        done(predict(&host, &owner, request, ADA).await);
        done(predict(&host, &owner, "another", "bob").await);
    }
    let whole = export(&host, &owner, PATH, 100).await;
    let requests = ["one", "two", "three", "four", "five"];
    assert_eq!(texts(&whole, "request_id"), requests);
    let version = done(host.get("/api/models/people/versions/1", &owner).await);
    assert_eq!(
        whole[0],
        json!({
            "request_id": "one", "at": NOW, "model": "people", "version": "1",
            "digest": version["digest"], "changed": false,
            "inputs": [
                {"name": "features", "datatype": "FP64", "shape": [1, 2], "data": [49.0, 1.0]},
            ],
            "outputs": outputs(),
        })
    );
    for limit in 1..=6 {
        assert_eq!(export(&host, &owner, PATH, limit).await, whole, "{limit}");
    }
    let nobody = export(&host, &owner, "/api/subjects/nobody", 100).await;
    assert!(nobody.is_empty(), "{nobody:?}");
}

#[tokio::test]
async fn a_person_is_erased_and_whoever_wants_it_has_a_receipt() {
    let (host, owner) = recording(Governance::unlimited()).await;
    for (request, subject) in [("one", ADA), ("two", ADA), ("three", "bob"), ("four", "")] {
        done(predict(&host, &owner, request, subject).await);
    }
    assert_eq!(export(&host, &owner, PATH, 100).await.len(), 2);
    let receipt = erase(&host, &owner, PATH).await;
    for field in ["subject", "signature"] {
        let digits = receipt[field].as_str().unwrap();
        assert_eq!(digits.len(), 64, "{field}");
    }
    assert_eq!(
        receipt,
        json!({
            "tenant": "acme", "subject": receipt["subject"], "recordings": 2, "at": NOW,
            "request_id": "erasure", "signature": receipt["signature"],
        })
    );
    assert_eq!(export(&host, &owner, PATH, 100).await.len(), 0);
    let words = "there is no recording of the request `one`";
    told(&replay(&host, &owner, "one").await, 404, "not_found", words);
    assert_eq!(erase(&host, &owner, PATH).await["recordings"], 0);
    for request in ["three", "four"] {
        done(replay(&host, &owner, request).await);
    }

    // The log tells of it, and does not say who it was.
    let rows = log(&host, &owner, "").await;
    let of_act = |act: &str| rows.iter().filter(|row| row["act"] == act).count();
    assert_eq!(of_act("subject.erase"), 2);
    // Of each export the last page is empty.
    assert_eq!(of_act("subject.export"), 3);
    let erased = rows.iter().find(|row| row["act"] == "subject.erase");
    assert_eq!(erased.unwrap()["object"], receipt["subject"]);
    assert!(!json!(rows).to_string().contains("lovelace"));
}

#[tokio::test]
async fn one_name_is_another_person_for_each_tenant() {
    let (host, owner) = recording(Governance::unlimited()).await;
    host.tenant("globex").await;
    let other = key(&host, "globex", OWNER).await.secret;
    done(predict(&host, &owner, "one", ADA).await);
    assert_eq!(export(&host, &other, PATH, 100).await.len(), 0);
    let theirs = erase(&host, &other, PATH).await;
    assert_eq!(theirs["recordings"], 0);
    let own = erase(&host, &owner, PATH).await;
    assert_eq!(own["recordings"], 1);
    assert_ne!(own["subject"], theirs["subject"]);
}

#[tokio::test]
async fn who_asks_for_a_person_wrongly_is_told_how_to_ask() {
    let (host, owner) = recording(Governance::unlimited()).await;
    let words = "is 1 to 256 visible ASCII characters, without spaces";
    let long = "x".repeat(257);
    for name in ["a%20b", "%C3%A4", "%00", &long] {
        let path = format!("/api/subjects/{name}");
        for method in ["GET", "DELETE"] {
            let reply = host.call(method, &path, &owner, &[], b"").await;
            told(&reply, 400, "invalid_input", words);
        }
    }
    // What no path can hold by itself is encoded.
    done(host.get("/api/subjects/a%2Fb%3F", &owner).await);
    let reply = predict(&host, &owner, "one", "a b").await;
    told(&reply, 400, "invalid_input", words);
    for (query, words) in [
        ("limit=0", "`0` is not a whole number from 1 to 1000"),
        ("limit=1001", "`1001` is not a whole number from 1 to 1000"),
        (
            "cursor=x",
            "query parameter `cursor`: `x` is not the `next_cursor` of a page",
        ),
        (
            "after=1",
            "unknown query parameter `after`; this path has only `limit`, `cursor`",
        ),
    ] {
        let reply = host.get(&format!("{PATH}?{query}"), &owner).await;
        told(&reply, 400, "invalid_input", words);
    }
    let caller = key(&host, "acme", &["infer", "models", "usage", "audit"]).await;
    for method in ["GET", "DELETE"] {
        let reply = host.call(method, PATH, &caller.secret, &[], b"").await;
        told(&reply, 403, "forbidden", "this key lacks the scope `keys`");
    }
}
