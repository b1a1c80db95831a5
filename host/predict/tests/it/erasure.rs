//! What was recorded, handed out to whom it is about, erased, and let go when its time is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use foretell_predict::manage::{Act, Receipt, RecordingPolicy};
use foretell_types::{ErrorKind, RequestId, TenantId};

use crate::house::{DAY_MS, call};
use crate::recording::{
    ADA, ON, OWNER, about, count, detail, export, numbers, record, recording, replay_error, rows,
    stored,
};

#[tokio::test]
async fn what_was_erased_is_found_by_nobody() {
    let (house, key) = recording().await;
    for (request, subject) in [("one", ADA), ("two", ADA), ("three", "bob"), ("four", "")] {
        let asked = about(&key, request, subject);
        house.predict(&asked, "m", None, 1.0).await.unwrap();
    }
    assert_eq!(export(&house, &key, ADA).await.len(), 2);
    let sealed = stored(&house, "a", "one").await;
    let caller = house.key(&call(&key), &["infer", "audit"]).await;
    let refused = house.manager.erase_subject(&call(&caller), ADA).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden);
    let refused = house
        .manager
        .export_subject(&call(&caller), ADA, 0, 1)
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden);
    let refused = house.manager.erase_subject(&call(&key), "a b").await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);

    // One that is not written yet goes as well.
    let asked = about(&key, "five", ADA);
    house.predict(&asked, "m", None, 1.0).await.unwrap();
    let receipt = house.manager.erase_subject(&call(&key), ADA).await.unwrap();
    assert_eq!(receipt.recordings, 3);
    assert_eq!(receipt.subject, sealed.subject);
    assert_eq!(export(&house, &key, ADA).await, []);
    for request in ["one", "two", "five"] {
        let error = replay_error(&house, &key, request).await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    // What lay in a copy of the database is not taken back.
    let again = house.stores.recordings.insert(Arc::new(vec![sealed]));
    assert_eq!(again.await.unwrap(), 0);
    for (request, subject) in [("three", "bob"), ("four", "")] {
        assert_eq!(export(&house, &key, subject).await.len(), 1);
        let replay = house.predictor.replay(&call(&key), request).await;
        assert!(replay.unwrap().identical);
    }

    let erasures = rows(&house, Act::SubjectErase).await;
    let [row] = &erasures[..] else {
        panic!("{erasures:?}")
    };
    assert_eq!(row.entry.object, receipt.subject.to_string());
    assert_eq!(row.entry.object.len(), 64);
    assert_eq!(detail(row)["recordings"], 3);
    let exports = rows(&house, Act::SubjectExport).await;
    assert_eq!(exports.len(), 4);
    assert!(!format!("{erasures:?}{exports:?}").contains("lovelace"));

    // Who is predicted about afterwards is recorded anew.
    house.predict(&asked, "m", None, 7.0).await.unwrap();
    assert_eq!(export(&house, &key, ADA).await.len(), 1);
    let receipt = house.manager.erase_subject(&call(&key), ADA).await.unwrap();
    assert_eq!(receipt.recordings, 1);
    let receipt = house.manager.erase_subject(&call(&key), ADA).await.unwrap();
    assert_eq!(
        receipt.recordings, 0,
        "that there is nothing is told as well"
    );
}

#[tokio::test]
async fn a_receipt_holds_as_it_was_given_and_not_otherwise() {
    let (house, key) = recording().await;
    let asked = about(&key, "one", ADA);
    house.predict(&asked, "m", None, 1.0).await.unwrap();
    let receipt = house.manager.erase_subject(&call(&key), ADA).await.unwrap();
    let holds = async |key: &str, receipt: &Receipt| {
        let holds = house.manager.receipt_holds(&call(key), receipt).await;
        holds.unwrap()
    };
    assert!(holds(&key, &receipt).await);
    let other = house.tenant("b", OWNER).await;
    assert!(!holds(&other, &receipt).await, "another tenant's");
    let changes: [fn(&mut Receipt); 5] = [
        |receipt| receipt.recordings += 1,
        |receipt| receipt.at += 1,
        |receipt| receipt.signature[31] ^= 1,
        |receipt| receipt.request_id = RequestId::parse("other").unwrap(),
        |receipt| receipt.tenant = TenantId::parse("b").unwrap(),
    ];
    for change in changes {
        let mut changed = receipt.clone();
        change(&mut changed);
        assert!(!holds(&key, &changed).await, "{changed:?}");
        assert!(!holds(&other, &changed).await, "{changed:?}");
    }
}

#[tokio::test]
async fn what_is_too_old_goes_and_exactly_as_much_as_was_foretold() {
    let (house, key) = recording().await;
    let other = house.tenant("b", OWNER).await;
    house.push(&other, "m", "1", b"one").await.unwrap();
    record(&house, &other, ON).await;
    let week = RecordingPolicy { days: 7, ..ON };
    record(&house, &key, week).await;
    let begin = house.now.load(Ordering::Relaxed);
    // More than one transaction of a sweep takes, then a day with a few.
    for (calls, days) in [(2_100, 1), (3, 0)] {
        for key in [&key, &other] {
            for _ in 0..calls {
                let asked = about(key, "one", ADA);
                house.predict(&asked, "m", None, 1.0).await.unwrap();
            }
        }
        // Written before the clock moves on, as they are.
        count(&house, &key).await;
        house.now.fetch_add(days * DAY_MS, Ordering::Relaxed);
    }
    let preview = async || {
        let preview = house.manager.retention_preview(&call(&key)).await;
        preview.unwrap()
    };
    let sweep = async || house.manager.sweep_recordings().await.unwrap();
    let now = preview().await;
    assert_eq!((now.policy, now.oldest), (week, Some(begin)));
    assert_eq!((now.recordings, now.due), (2_103, 0));
    assert_eq!(sweep().await, 0);
    // Seven days after the first ones, to the moment: not longer than they may be kept.
    house.now.store(begin + 7 * DAY_MS, Ordering::Relaxed);
    assert_eq!(preview().await.due, 0);
    house.now.fetch_add(1, Ordering::Relaxed);
    let due = preview().await.due;
    assert_eq!(due, 2_100);
    assert_eq!(preview().await.recordings, 2_103, "a look takes nothing");
    assert_eq!(sweep().await, due);
    let now = preview().await;
    assert_eq!((now.recordings, now.due), (3, 0));
    assert_eq!(now.oldest, Some(begin + DAY_MS));
    assert_eq!(count(&house, &other).await, 2_103);
    let swept = rows(&house, Act::RecordingSweep).await;
    let [row] = &swept[..] else {
        panic!("{swept:?}")
    };
    assert_eq!(&*row.entry.actor, "server");
    assert_eq!(detail(row)["recordings"], due);

    // A shorter time holds for what is there; also where nothing is recorded any more.
    let day = RecordingPolicy {
        enabled: false,
        days: 1,
    };
    record(&house, &key, day).await;
    assert_eq!(preview().await.due, 3);
    assert_eq!(sweep().await, 3);
    let error = replay_error(&house, &key, "one").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(count(&house, &other).await, 2_103);
}

#[tokio::test]
async fn a_person_s_recordings_are_handed_out_page_by_page() {
    let (house, key) = recording().await;
    for n in 0..7_u8 {
        let asked = about(&key, &format!("request-{n}"), ADA);
        house
            .predict(&asked, "m", None, f64::from(n))
            .await
            .unwrap();
    }
    let page = async |after, limit| {
        let manager = &house.manager;
        manager.export_subject(&call(&key), ADA, after, limit).await
    };
    let (mut after, mut read) = (0, Vec::new());
    loop {
        let page = page(after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        read.extend(page.into_iter().map(|recorded| {
            let content = recorded.content.unwrap();
            assert_eq!(
                (recorded.model.as_str(), recorded.version.as_str()),
                ("m", "1")
            );
            (
                recorded.request_id.to_string(),
                numbers(&content.inputs)[0].1,
            )
        }));
    }
    let expected = (0..7_u8).map(|n| (format!("request-{n}"), f64::from(n)));
    assert_eq!(read, expected.collect::<Vec<_>>());
    for limit in [0, 1_001] {
        let refused = page(0, limit).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}
