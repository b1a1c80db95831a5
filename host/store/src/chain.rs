//! The chain of the audit log: what a row's hash is made of.
//!
//! `hash = HMAC-SHA256(key, hash before ‖ number ‖ time ‖ every text with its length)`, the first row's hash before being
//! 32 zeros. The key lies outside the database: a row that was edited, moved, or added by another hand does not carry
//! the right one.

use std::fmt;

use foretell_types::{RequestId, TenantId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::port::UnixMs;
use crate::port::audit::{AuditRecord, Broken, Entry, Fault, RowHash};

/// What the audit log is sealed with.
#[derive(Clone)]
pub struct AuditKey(Hmac<Sha256>);

impl AuditKey {
    /// Prepares the keyed hash.
    pub fn new(secret: &[u8; 32]) -> Self {
        // HMAC takes keys of any length, so this cannot fail.
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(…)")
    }
}

/// The end of the chain so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) hash: RowHash,
}

impl Head {
    /// Before the first row.
    pub(crate) const EMPTY: Self = Self {
        seq: 0,
        at: i64::MIN,
        hash: [0; 32],
    };

    /// Links one more entry, whose time does not go back.
    pub(crate) fn link(&mut self, key: &AuditKey, mut entry: Entry) -> AuditRecord {
        self.follow_with(key, &entry);
        entry.at = self.at;
        AuditRecord {
            seq: self.seq,
            entry,
            hash: self.hash,
        }
    }

    /// Becomes the head after one more entry; its row has this number, this time and this hash.
    pub(crate) fn follow_with(&mut self, key: &AuditKey, entry: &Entry) {
        self.seq += 1;
        self.at = entry.at.max(self.at);
        self.hash = hash(key, &self.hash, self.seq, self.at, entry);
    }

    /// Follows the chain by a row that was read.
    ///
    /// # Errors
    /// What is wrong with it, if it is not the next link.
    pub(crate) fn follow(&mut self, key: &AuditKey, record: &AuditRecord) -> Result<(), Broken> {
        let seq = self.seq + 1;
        if record.seq != seq {
            let fault = Fault::Missing;
            return Err(Broken { seq, fault });
        }
        let entry = &record.entry;
        let is_next = entry.at >= self.at
            && record.hash == hash(key, &self.hash, record.seq, entry.at, entry);
        if !is_next {
            let fault = Fault::Altered;
            return Err(Broken { seq, fault });
        }
        *self = Self {
            seq,
            at: entry.at,
            hash: record.hash,
        };
        Ok(())
    }
}

fn hash(key: &AuditKey, before: &RowHash, seq: u64, at: UnixMs, entry: &Entry) -> RowHash {
    let mut mac = key.0.clone();
    mac.update(before);
    mac.update(&seq.to_be_bytes());
    mac.update(&at.to_be_bytes());
    // Each text with its length, and one that is absent unlike one that is empty: no two rows are the same bytes.
    let texts = [
        entry.tenant.as_ref().map(TenantId::as_str),
        Some(&*entry.actor),
        Some(entry.act.as_str()),
        Some(entry.object.as_str()),
        Some(&*entry.outcome),
        entry.request_id.as_ref().map(RequestId::as_str),
        entry.origin.as_deref(),
        Some(entry.detail.as_str()),
    ];
    for text in texts {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        mac.update(&length.to_be_bytes());
        mac.update(text.unwrap_or_default().as_bytes());
    }
    // Without one it is as it was before there were any.
    if let Some(mark) = &entry.once {
        mac.update(mark);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::audit::Act;
    use proptest::prelude::*;

    fn entry(n: i64) -> Entry {
        Entry {
            at: n,
            tenant: Some(TenantId::parse("acme").unwrap()),
            actor: "key_0000000000000000".into(),
            act: Act::Predict,
            object: format!("m/{n}"),
            outcome: "ok".into(),
            request_id: Some(RequestId::from_bits(n as u128)),
            origin: None,
            detail: "{}".into(),
            once: None,
        }
    }

    fn chain(key: &AuditKey, count: i64) -> Vec<AuditRecord> {
        let mut head = Head::EMPTY;
        (1..=count).map(|n| head.link(key, entry(n))).collect()
    }

    fn followed(key: &AuditKey, rows: &[AuditRecord]) -> Option<Broken> {
        let mut head = Head::EMPTY;
        rows.iter().find_map(|row| head.follow(key, row).err())
    }

    #[test]
    fn time_stands_still_where_the_clock_goes_back() {
        let (key, mut head) = (AuditKey::new(&[7; 32]), Head::EMPTY);
        let times = [5, 3, 9].map(|at| head.link(&key, entry(at)).entry.at);
        assert_eq!(times, [5, 5, 9]);
    }

    #[test]
    fn another_key_makes_another_chain() {
        let (one, two) = (AuditKey::new(&[1; 32]), AuditKey::new(&[2; 32]));
        let rows = chain(&one, 3);
        assert_eq!(followed(&one, &rows), None);
        let broken = followed(&two, &rows);
        assert_eq!(broken.map(|broken| broken.seq), Some(1));
        assert_eq!(format!("{one:?}"), "AuditKey(…)");
    }

    proptest! {
        /// Whatever is done to one row or two, the first that is not as written is found.
        #[test]
        fn one_tampered_row_is_found(
            (count, at) in (3_usize..40).prop_flat_map(|count| (Just(count), 0..count - 1)),
            kind in 0..6,
        ) {
            let key = AuditKey::new(&[7; 32]);
            let mut rows = chain(&key, count as i64);
            let seq = at as u64 + 1;
            let expected = match kind {
                0 => { rows[at].entry.object.push('x'); (seq, Fault::Altered) }
                1 => { rows.remove(at); (seq, Fault::Missing) }
                2 => { rows.swap(at, at + 1); (seq, Fault::Missing) }
                3 => {
                    // Moved, and numbered anew.
                    rows.swap(at, at + 1);
                    for (row, seq) in rows.iter_mut().zip(1..) { row.seq = seq; }
                    (seq, Fault::Altered)
                }
                4 => {
                    // By somebody who knows how the chain is made, but not the key.
                    let last = rows.last().unwrap();
                    let mut head = Head { seq: last.seq, at: last.entry.at, hash: last.hash };
                    rows.push(head.link(&AuditKey::new(&[8; 32]), entry(99)));
                    (count as u64 + 1, Fault::Altered)
                }
                _ => { rows[at].entry.tenant = None; (seq, Fault::Altered) }
            };
            let mut head = Head::EMPTY;
            let broken = rows.iter().find_map(|row| head.follow(&key, row).err());
            prop_assert_eq!(broken.map(|broken| (broken.seq, broken.fault)), Some(expected));
            prop_assert_eq!(head.seq, expected.0 - 1);
        }
    }
}
