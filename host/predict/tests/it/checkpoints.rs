//! Checkpoints of the audit log, as operators and those outside see them.

use foretell_predict::PredictError;
use foretell_predict::manage::{CheckpointPage, Fault};
use foretell_types::ErrorKind;

use crate::house::{House, OPERATOR, call};

async fn page(house: &House, after: u64, limit: u32) -> Result<CheckpointPage, PredictError> {
    let operator = call(OPERATOR);
    house.manager.checkpoints(&operator, after, limit).await
}

/// A server whose log has a checkpoint after each act.
async fn house(acts: usize) -> House {
    let house = House::build().await;
    let key = house.tenant("a", &["models"]).await;
    for _ in 0..acts {
        house.manager.purge_cache(&call(&key)).await.unwrap();
        house.checkpoint().await;
    }
    house
}

/// What a file of its checkpoints holds.
async fn file(house: &House) -> String {
    let found = page(house, 0, 1_000).await.unwrap();
    let notes = found.checkpoints.iter().map(|one| one.note.clone() + "\n");
    notes.collect()
}

#[tokio::test]
async fn operators_alone_see_checkpoints_with_the_key() {
    let house = house(3).await;
    let all = page(&house, 0, 10).await.unwrap();
    assert_eq!(all.checkpoints.len(), 3);
    assert!(all.key.starts_with("foretell/audit/"), "{}", all.key);
    let name = all.key.split_once('+').unwrap().0;
    for one in &all.checkpoints {
        assert!(one.note.starts_with(&format!("{name}\n{}\n", one.size)));
    }
    let second = page(&house, all.checkpoints[0].size, 1).await.unwrap();
    assert_eq!(second.checkpoints, all.checkpoints[1..2]);
    for limit in [0, 1_001] {
        let refused = page(&house, 0, limit).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    }
    let auditor = house.tenant("a", &["audit"]).await;
    let refused = house.manager.checkpoints(&call(&auditor), 0, 10).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden);
    let text = file(&house).await;
    let auditor = call(&auditor);
    let refused = house.manager.verify_audit_against(&auditor, &text);
    assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_look_at_the_log_compares_its_checkpoints() {
    let house = house(3).await;
    let checked = house.manager.verify_audit(&call(OPERATOR)).await.unwrap();
    let verdict = checked.verdict;
    assert_eq!((verdict.broken, verdict.checkpoints), (None, 3));
    let text = file(&house).await;
    let operator = call(OPERATOR);
    let checked = house.manager.verify_audit_against(&operator, &text).await;
    let checked = checked.unwrap();
    assert!(checked.is_operators);
    let verdict = checked.verdict;
    assert_eq!((verdict.broken, verdict.checkpoints), (None, 3));
}

#[tokio::test]
async fn a_log_that_is_shorter_than_its_file_is_found_by_it() {
    // The same key, as after a restore from an older backup.
    let (long, short) = (house(9).await, house(2).await);
    let last = page(&long, 0, 10).await.unwrap().checkpoints.pop().unwrap();
    let operator = call(OPERATOR);
    let looked = short.manager.verify_audit_against(&operator, &last.note);
    let broken = looked.await.unwrap().verdict.broken.unwrap();
    let size = last.size;
    assert_eq!(broken.fault, Fault::CheckpointCutOff { size });
    assert_eq!(broken.fault.checkpoint(), Some(size));
    assert!(broken.seq <= size);
}

#[tokio::test]
async fn what_this_server_did_not_sign_is_refused_with_its_place() {
    let house = house(2).await;
    let text = file(&house).await;
    let operator = call(OPERATOR);
    let forged = text.replacen("foretell/audit/", "foretell/audit/0", 1);
    for (text, place) in [("", "no checkpoint"), (forged.as_str(), "at line 1:")] {
        let refused = house.manager.verify_audit_against(&operator, text);
        let refused = refused.await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains(place), "{refused}");
    }
}
