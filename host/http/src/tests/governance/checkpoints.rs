//! Checkpoints of the log: shown to operators, and held against it when they come back from elsewhere.

use foretell_predict::Governance;
use serde_json::{Value, json};

use super::super::host::{Host, OPERATOR, Reply};
use super::{Key, NOW, done, house, key, log, told};

const CHECKPOINTS: &str = "/api/audit/checkpoints";
const VERIFY: &str = "/api/audit/verify";

/// A server whose log has so many checkpoints, each after an act.
async fn signed(count: usize) -> Host {
    let (host, owner) = house(Governance::unlimited()).await;
    for _ in 0..count {
        let purged = host.call("DELETE", "/api/cache", &owner.secret, &[], b"");
        done(purged.await);
        host.checkpoint().await;
    }
    host
}

async fn page(host: &Host, query: &str) -> Value {
    done(host.get(&format!("{CHECKPOINTS}{query}"), OPERATOR).await)
}

/// What a file of all checkpoints holds.
async fn file(host: &Host) -> String {
    let all = page(host, "").await;
    let notes = all["checkpoints"].as_array().unwrap().iter();
    notes
        .map(|one| one["note"].as_str().unwrap().to_owned() + "\n")
        .collect()
}

async fn compare(host: &Host, body: &[u8]) -> Reply {
    let headers = [("content-type", "text/plain")];
    host.call("POST", VERIFY, OPERATOR, &headers, body).await
}

#[tokio::test]
async fn operators_read_checkpoints_page_by_page_and_the_key_with_them() {
    let host = signed(3).await;
    let all = page(&host, "").await;
    let (name, _) = all["key"].as_str().unwrap().split_once('+').unwrap();
    assert!(name.starts_with("foretell/audit/"), "{name}");
    let checkpoints = all["checkpoints"].as_array().unwrap();
    assert_eq!((checkpoints.len(), &all["next"]), (3, &Value::Null));
    for one in checkpoints {
        assert_eq!(one["at"], NOW);
        let begin = format!("{name}\n{}\n", one["size"]);
        assert!(one["note"].as_str().unwrap().starts_with(&begin), "{one}");
    }
    for limit in 1..=4 {
        let (mut joined, mut after) = (Vec::new(), 0);
        loop {
            let mut found = page(&host, &format!("?limit={limit}&after={after}")).await;
            let Value::Array(of_page) = found["checkpoints"].take() else {
                panic!("{found}");
            };
            assert!(of_page.len() <= limit, "{limit}");
            joined.extend(of_page);
            match found["next"].as_u64() {
                None => break,
                Some(next) => after = next,
            }
        }
        assert_eq!(joined, *checkpoints, "{limit}");
    }
}

#[tokio::test]
async fn nobody_but_operators_reads_checkpoints_or_brings_some() {
    let (host, owner) = house(Governance::unlimited()).await;
    let auditor = key(&host, "acme", &["audit"]).await;
    for Key { secret, .. } in [owner, auditor] {
        for (method, path) in [("GET", CHECKPOINTS), ("POST", VERIFY)] {
            let reply = host.call(method, path, &secret, &[], b"").await;
            let words = "this key lacks the scope `operator`";
            told(&reply, 403, "forbidden", words);
        }
    }
    for (method, path) in [("GET", CHECKPOINTS), ("POST", VERIFY)] {
        let reply = host.call(method, path, "", &[], b"").await;
        told(&reply, 401, "unauthenticated", "no API key");
    }
}

#[tokio::test]
async fn a_log_that_has_the_rows_of_every_checkpoint_is_said_to_have_them() {
    let host = signed(3).await;
    let rows = log(&host, OPERATOR, "").await.len();
    let whole = json!({"ok": true, "rows": rows, "checkpoints": 3, "broken": null});
    assert_eq!(done(host.get(VERIFY, OPERATOR).await), whole);
    let text = file(&host).await;
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let verdict = done(compare(&host, text.as_bytes()).await);
        assert_eq!(verdict, whole);
    }
}

#[tokio::test]
async fn a_log_that_is_shorter_than_a_checkpoint_from_elsewhere_is_found_with_its_size() {
    // The same secrets, as after a restore from an older backup.
    let (long, short) = (signed(4).await, signed(1).await);
    let last = page(&long, "").await["checkpoints"][3].take();
    let note = last["note"].as_str().unwrap();
    let verdict = done(compare(&short, note.as_bytes()).await);
    let rows = log(&short, OPERATOR, "").await.len();
    assert_eq!(
        verdict,
        json!({
            "ok": false, "rows": rows, "checkpoints": 1,
            "broken": {"row": rows + 1, "fault": "checkpoint_cut_off", "size": last["size"]},
        })
    );
}

#[tokio::test]
async fn what_is_no_file_of_checkpoints_is_refused_with_what_to_send() {
    let host = signed(1).await;
    let text = file(&host).await;
    let forged = text.replacen("foretell/audit/", "foretell/audit/0", 1);
    let long = vec![b'\n'; (16 << 20) + 1];
    for (body, status, code, words) in [
        (
            &b""[..],
            400,
            "invalid_input",
            "there is no checkpoint in it",
        ),
        (
            forged.as_bytes(),
            400,
            "invalid_input",
            "the checkpoint at line 1: ",
        ),
        (
            &b"\xff\xfe"[..],
            400,
            "malformed",
            "send the content of a file of checkpoints",
        ),
        (
            long.as_slice(),
            413,
            "too_large",
            "the body is larger than its limit of 16777216 bytes",
        ),
    ] {
        told(&compare(&host, body).await, status, code, words);
    }
    let packed = [("content-encoding", "gzip")];
    let body = text.as_bytes();
    let reply = host.call("POST", VERIFY, OPERATOR, &packed, body).await;
    told(
        &reply,
        415,
        "unsupported_encoding",
        "send the body uncompressed",
    );
}

#[tokio::test]
async fn who_asks_for_checkpoints_wrongly_is_told_how_to_ask() {
    let host = signed(0).await;
    for (query, words) in [
        ("limit=0", "`0` is not a whole number from 1 to 1000"),
        ("limit=1001", "`1001` is not a whole number from 1 to 1000"),
        (
            "after=x",
            "query parameter `after`: `x` is not the `next` of a page",
        ),
        (
            "cursor=1",
            "unknown query parameter `cursor`; this path has only `after`, `limit`",
        ),
    ] {
        let reply = host.get(&format!("{CHECKPOINTS}?{query}"), OPERATOR).await;
        told(&reply, 400, "invalid_input", words);
    }
}
