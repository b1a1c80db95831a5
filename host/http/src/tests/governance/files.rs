//! Lists as files: the same rows as in pages, all of them, and nothing that is taken for all of them where it is not.

use foretell_predict::Governance;
use serde_json::Value;

use super::super::host::{Host, Reply, age};
use super::{Key, OWNER, PEOPLE, RECORD, done, house, key, log, pages, told};

/// The body of an answer in chunks, the last of which has come.
#[track_caller]
fn whole(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    let (mut rest, mut body) = (reply.body.as_slice(), Vec::new());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let chunk = &rest[end + 2..];
        assert_eq!(&chunk[length..length + 2], b"\r\n");
        if length == 0 {
            assert_eq!(chunk, b"\r\n", "nothing follows");
            return String::from_utf8(body).unwrap();
        }
        body.extend_from_slice(&chunk[..length]);
        rest = &chunk[length + 2..];
    }
}

/// The records of a text as RFC 4180 has them.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![];
    let mut record = vec![String::new()];
    let (mut chars, mut is_quoted) = (text.chars().peekable(), false);
    while let Some(char) = chars.next() {
        match char {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => {
                record.last_mut().unwrap().push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(String::new()),
            '\r' if !is_quoted => {
                assert_eq!(chars.next(), Some('\n'));
                records.push(std::mem::replace(&mut record, vec![String::new()]));
            }
            other => record.last_mut().unwrap().push(other),
        }
    }
    assert_eq!(record, [""], "the last line has its end");
    records
}

/// A row of a page as it stands in CSV.
fn values(row: &Value, columns: &[String]) -> Vec<String> {
    let fields = row.as_object().unwrap();
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        columns.iter().collect::<Vec<_>>()
    );
    fields
        .values()
        .map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

/// Holds both files of a list against its rows.
async fn holds(host: &Host, path: &str, key: &str, rows: &[Value]) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let csv = host.get(&format!("{path}{separator}format=csv"), key).await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut lines = records(&whole(&csv));
    let columns = lines.remove(0);
    let expected: Vec<_> = rows.iter().map(|row| values(row, &columns)).collect();
    assert_eq!(lines, expected, "{path}");

    let jsonl = host
        .get(&format!("{path}{separator}format=jsonl"), key)
        .await;
    assert_eq!(jsonl.header("content-type"), Some("application/x-ndjson"));
    let text = whole(&jsonl);
    assert!(text.is_empty() || text.ends_with('\n'));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, rows, "{path}");
}

#[tokio::test]
async fn a_file_has_the_rows_of_all_pages() {
    let (host, owner) = house(Governance::unlimited()).await;
    let owner = owner.secret;
    for body in [RECORD.to_owned(), format!(r#"{{"age":{}}}"#, age::TRAPS)] {
        host.post(PEOPLE, &owner, &body).await;
    }
    done(
        host.post(
            "/v1/models/matrix:predict",
            &owner,
            r#"{"instances":[[1,2]]}"#,
        )
        .await,
    );
    host.get("/api/models/nothing", &owner).await;
    for path in [
        "/api/audit",
        "/api/audit?order=asc",
        "/api/audit?act=predict&order=desc",
        "/api/audit?act=lost",
    ] {
        let rows = pages(&host, path, &owner, "records", 3).await;
        holds(&host, path, &owner, &rows).await;
    }
    for path in [
        "/api/usage",
        "/api/usage?group=day",
        "/api/usage?model=matrix",
        "/api/usage?model=nothing",
    ] {
        let rows = pages(&host, path, &owner, "usage", 1).await;
        holds(&host, path, &owner, &rows).await;
    }
}

#[tokio::test]
async fn a_file_is_longer_than_any_page() {
    let (host, owner) = house(Governance::unlimited()).await;
    let owner = owner.secret;
    for _ in 0..1_010 {
        done(host.post(PEOPLE, &owner, RECORD).await);
    }
    let mut rows = log(&host, &owner, "").await;
    assert_eq!(rows.len(), 1_015);
    holds(&host, "/api/audit?order=asc", &owner, &rows).await;
    rows.reverse();
    holds(&host, "/api/audit", &owner, &rows).await;
}

#[tokio::test]
async fn a_file_holds_what_its_reader_may_read() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    host.tenant("globex").await;
    let other = key(&host, "globex", OWNER).await.secret;
    done(host.post(PEOPLE, &owner, RECORD).await);
    let usage = host.get("/api/usage?format=jsonl", &other).await;
    assert_eq!(whole(&usage), "");
    let audit = whole(&host.get("/api/audit?format=csv", &other).await);
    assert!(!audit.contains("acme"), "{audit}");
    let elsewhere = host.get("/tenants/acme/api/audit?format=csv", &other).await;
    told(&elsewhere, 404, "not_found", "there is no tenant `acme`");
}

#[tokio::test]
async fn no_file_is_given_over_a_protocol_in_which_a_cut_one_looks_whole() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    for (path, status) in [
        ("/api/audit?format=csv", 400),
        ("/api/usage?format=jsonl", 400),
        ("/api/audit?format=json", 200),
    ] {
        let request = format!("GET {path} HTTP/1.0\r\nx-api-key: {owner}\r\n\r\n");
        let reply = Reply::parse(&host.raw(request.as_bytes()).await, false);
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        if status == 400 {
            told(&reply, 400, "invalid_input", "ask for it over HTTP/1.1");
        }
    }
}

#[tokio::test]
async fn a_head_request_for_a_file_has_no_body() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    let head = host
        .call("HEAD", "/api/audit?format=csv", &owner, &[], b"")
        .await;
    assert_eq!(
        (head.status, head.header("content-type"), head.text.as_str()),
        (200, Some("text/csv; charset=utf-8"), "")
    );
}
