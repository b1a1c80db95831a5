//! From what has gathered to rows of the audit log.

use std::fmt::Write;

use foretell_store::{Act, Entry, Spent, Used};
use foretell_types::Digest;

use super::{Count, Done, Folded, Refused, Taken};

impl Taken {
    /// The rows: predictions in their order, then what was folded, what was refused, and what the server says itself.
    pub(super) fn rows(self) -> Vec<Spent> {
        let Self {
            done,
            folded,
            refused,
            notes,
        } = self;
        let done = done.into_iter().map(of_prediction);
        let folded = folded.into_iter().map(|(name, folded)| {
            let (actor, tenant, model, version) = name;
            let Folded { at, used } = folded;
            let mut detail = format!("{{\"records\":{},", used.calls);
            sums(&mut detail, &used);
            detail.push('}');
            Spent {
                entry: Entry {
                    at,
                    tenant: Some(tenant),
                    actor,
                    act: Act::Lost,
                    object: format!("{model}/{version}"),
                    outcome: "ok".into(),
                    request_id: None,
                    origin: None,
                    detail,
                    once: None,
                },
                model,
                version,
                used,
            }
        });
        done.chain(folded)
            .chain(refused.into_iter().map(of_refusal))
            .chain(notes.into_iter().map(without_use))
            .collect()
    }
}

fn of_prediction(done: Done) -> Spent {
    let Done {
        at,
        by,
        target,
        request_id,
        outcome,
        cached,
        used,
        took,
        input,
        once,
        replays,
    } = done;
    let mut detail = String::with_capacity(256);
    // Writing to a String cannot fail. Digests and names of ours hold nothing that JSON escapes.
    let _ = write!(
        detail,
        "{{\"digest\":\"{}\",\"cache\":\"{}\",\"took_us\":{},",
        target.digest,
        cached.as_str(),
        took.as_micros()
    );
    sums(&mut detail, &used);
    let _ = write!(detail, ",\"input\":\"{}\"", Digest::from_bytes(input));
    if let Some(replayed) = replays {
        let _ = write!(detail, ",\"replay_of\":\"{replayed}\"");
    }
    detail.push('}');
    let (model, version) = (
        target.model.as_str().to_owned(),
        target.version.as_str().to_owned(),
    );
    Spent {
        entry: Entry {
            at,
            tenant: Some(target.tenant.clone()),
            actor: by.actor.clone(),
            act: Act::Predict,
            object: format!("{model}/{version}"),
            outcome: outcome.into(),
            request_id: Some(request_id),
            origin: None,
            detail,
            once,
        },
        model,
        version,
        used,
    }
}

fn sums(detail: &mut String, used: &Used) {
    let _ = write!(
        detail,
        "\"predictions\":{},\"compute_us\":{},\"micro_credits\":{}",
        used.predictions, used.compute_us, used.credits
    );
}

fn of_refusal((refused, count): (Refused, Count)) -> Spent {
    let Refused {
        tenant,
        actor,
        what,
        code,
        origin,
    } = refused;
    let Count { first, at, count } = count;
    without_use(Entry {
        at,
        tenant,
        actor,
        act: Act::Refuse,
        object: what.to_string(),
        outcome: code.into(),
        request_id: Some(first),
        origin,
        detail: format!("{{\"count\":{count}}}"),
        once: None,
    })
}

fn without_use(entry: Entry) -> Spent {
    Spent {
        entry,
        model: String::new(),
        version: String::new(),
        used: Used::default(),
    }
}
