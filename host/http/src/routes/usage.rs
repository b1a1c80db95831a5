//! `/api/usage`: what was used and what it costs, by day, in pages or as a file.

use std::future::Future;
use std::sync::Arc;

use foretell_predict::manage::{MAX_USAGE_ROWS, UsageCursor, UsageRow};
use foretell_predict::{Call, PredictError};
use warp::{Filter, path};

use super::file::{self, PAGE_ROWS};
use super::{Group, Handled, get_only, handle, with};
use crate::App;
use crate::extract::{Head, Request, request};
use crate::reply;
use crate::wire::api::{self, UsagePage};
use crate::wire::table::Format;

/// Rows, and where those after them begin; none = there are no more.
type Rows = (Vec<UsageRow>, Option<UsageCursor>);

pub(super) fn routes(app: &App, usd_per_credit: f64) -> Group {
    path!("api" / "usage")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle("/api/usage", request, move |request| {
                read(app, request, usd_per_credit)
            })
        })
        .boxed()
}

async fn read(app: App, request: Request, usd_per_credit: f64) -> Handled {
    get_only(&request)?;
    let head = request.head;
    let asked = UsagePage::of(&head)?;
    if let Some(format) = asked.file {
        return all(app, head, asked, format, usd_per_credit).await;
    }
    let from = asked.after.clone();
    let (rows, next) = page(&app, &head.call, &asked, from, asked.limit).await?;
    let body = api::UsageRows::of(&rows, asked.group, usd_per_credit, next.as_ref());
    Ok(reply::ok(&body))
}

async fn all(
    app: App,
    head: Arc<Head>,
    asked: UsagePage,
    format: Format,
    usd_per_credit: f64,
) -> Handled {
    let parts = (app, Arc::clone(&head), Arc::new(asked));
    file::answer(&head, format, api::USAGE_COLUMNS, None, move |from| {
        let (app, head, asked) = parts.clone();
        async move {
            let (rows, next) = page(&app, &head.call, &asked, from, PAGE_ROWS).await?;
            let write = || api::usage_rows(format, &rows, asked.group, usd_per_credit);
            let written = file::written(rows.len(), write).await?;
            Ok::<_, PredictError>((written, next.map(Some)))
        }
    })
    .await
}

/// At most `limit` rows of the group that is asked for.
async fn page(
    app: &App,
    call: &Call,
    asked: &UsagePage,
    from: Option<UsageCursor>,
    limit: u32,
) -> Result<Rows, PredictError> {
    match asked.group {
        api::Group::Version => {
            let rows = stored(app, call, asked, from, limit).await?;
            let is_full = rows.len() >= limit as usize;
            let next = rows.last().filter(|_| is_full).map(api::cursor_after);
            Ok((rows, next))
        }
        api::Group::Day => {
            let read = |from| stored(app, call, asked, from, MAX_USAGE_ROWS);
            days(limit as usize, MAX_USAGE_ROWS as usize, from, read).await
        }
    }
}

/// Rows as they are stored: one for each key and version.
async fn stored(
    app: &App,
    call: &Call,
    asked: &UsagePage,
    from: Option<UsageCursor>,
    limit: u32,
) -> Result<Vec<UsageRow>, PredictError> {
    let (manager, query) = (&app.manager, asked.query.clone());
    manager.usage(call, query, from.as_ref(), limit).await
}

/// Sums of at most `most` days of tenants: every one of them is whole. `read` gives `at_once` rows, by tenant and day, and
/// fewer at the end alone.
///
/// One page of rows is held at a time. What is read for an answer is a page, too, unless a single day is longer: there may
/// be fewer days than `most` where more follow.
async fn days<F>(
    most: usize,
    at_once: usize,
    mut from: Option<UsageCursor>,
    mut read: impl FnMut(Option<UsageCursor>) -> F,
) -> Result<Rows, PredictError>
where
    F: Future<Output = Result<Vec<UsageRow>, PredictError>>,
{
    let mut days: Vec<UsageRow> = Vec::new();
    loop {
        let rows = read(from).await?;
        let is_end = rows.len() < at_once;
        from = rows.last().map(api::cursor_after);
        for row in rows {
            match days.last_mut() {
                Some(day) if day.tenant == row.tenant && day.day == row.day => {
                    day.used.add(&row.used);
                }
                _ => days.push(row),
            }
        }
        // The last day may go on in the rows that follow.
        let whole = days.len() - usize::from(!is_end);
        if is_end || whole > 0 {
            let is_all = is_end && whole <= most;
            days.truncate(whole.min(most));
            let next = days.last().filter(|_| !is_all).map(api::cursor_after_day);
            return Ok((days, next));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use foretell_predict::manage::Used;
    use foretell_types::TenantId;

    use super::*;

    /// A row of one call.
    fn row(tenant: &str, day: i64, actor: &str) -> UsageRow {
        UsageRow {
            tenant: TenantId::parse(tenant).unwrap(),
            day,
            actor: actor.to_owned(),
            model: "iris".to_owned(),
            version: "1".to_owned(),
            used: Used {
                calls: 1,
                ..Used::default()
            },
        }
    }

    /// Tenants `a` and `b` with days of 1 to 7 rows.
    fn stored() -> Vec<UsageRow> {
        let days = [("a", 3), ("a", 4), ("a", 9), ("b", 3), ("b", 4), ("b", 5)];
        let lengths = [2, 7, 1, 1, 5, 3];
        days.into_iter()
            .zip(lengths)
            .flat_map(|((tenant, day), length)| {
                (0..length).map(move |key| row(tenant, day, &format!("key_{key}")))
            })
            .collect()
    }

    /// Every page of days, in pages of `most` that are made of `at_once` rows at a time; and how often it was read.
    async fn pages(
        rows: &[UsageRow],
        most: usize,
        at_once: usize,
    ) -> (Vec<(String, i64, u64)>, usize) {
        let (mut all, reads) = (Vec::new(), Cell::new(0));
        let mut from = None;
        loop {
            let read = |from: Option<UsageCursor>| {
                reads.set(reads.get() + 1);
                let is_after = |row: &&UsageRow| {
                    from.as_ref()
                        .is_none_or(|from| api::cursor_after(row) > *from)
                };
                let page = rows.iter().filter(is_after).take(at_once);
                ready(Ok(page.cloned().collect()))
            };
            let (page, next) = days(most, at_once, from, read).await.unwrap();
            assert!(page.len() <= most && (next.is_none() || !page.is_empty()));
            all.extend(
                page.into_iter()
                    .map(|day| (day.tenant.to_string(), day.day, day.used.calls)),
            );
            from = next;
            if from.is_none() {
                return (all, reads.get());
            }
        }
    }

    #[tokio::test]
    async fn every_day_is_summed_once_and_whole_however_it_is_read() {
        let whole: Vec<(String, i64, u64)> = [
            ("a", 3, 2),
            ("a", 4, 7),
            ("a", 9, 1),
            ("b", 3, 1),
            ("b", 4, 5),
            ("b", 5, 3),
        ]
        .map(|(tenant, day, calls)| (tenant.to_owned(), day, calls))
        .into();
        let rows = stored();
        for most in 1..8 {
            for at_once in 1..=20 {
                let (days, _) = pages(&rows, most, at_once).await;
                assert_eq!(days, whole, "{most} days of {at_once} rows");
            }
        }
        assert_eq!(pages(&[], 5, 5).await, (vec![], 1));
        assert_eq!(pages(&rows, 6, 20).await.1, 1, "what is short is read once");
    }

    #[tokio::test]
    async fn what_is_added_to_a_day_that_was_told_is_not_told_as_another_day() {
        let mut rows = stored();
        let read = |from: Option<UsageCursor>| {
            assert_eq!(from, None);
            ready(Ok(stored()))
        };
        let (first, next) = days(1, 20, None, read).await.unwrap();
        assert_eq!((first[0].day, first[0].used.calls), (3, 2));
        rows.insert(2, row("a", 3, "key_9"));
        let next = next.unwrap();
        let read = |from: Option<UsageCursor>| {
            let from = from.unwrap();
            let later = rows.iter().filter(|row| api::cursor_after(row) > from);
            ready(Ok(later.cloned().collect()))
        };
        let (second, _) = days(1, 20, Some(next), read).await.unwrap();
        assert_eq!((second[0].day, second[0].used.calls), (4, 7));
    }
}
