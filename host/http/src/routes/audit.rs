//! `/api/audit`: the audit log, in pages or as a file, whether it is what was written, and its checkpoints.

use std::sync::Arc;

use foretell_predict::PredictError;
use foretell_predict::manage::{AuditRecord, Page};
use http::Method;
use warp::{Filter, path};

use super::file::{self, PAGE_ROWS};
use super::{Group, Handled, get_only, handle, with};
use crate::App;
use crate::extract::{Head, Request, request};
use crate::reply::{self, Failure};
use crate::wire::api::{self, AuditPage, CheckpointsAsked};
use crate::wire::table::Format;

/// Bytes of a file of checkpoints, at most: more than four thousand of them.
const MAX_FILE_BYTES: u64 = 16 << 20;

pub(super) fn routes(app: &App) -> Group {
    let log = path!("api" / "audit")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/api/audit", request, move |request| read(app, request)));
    let verified = path!("api" / "audit" / "verify")
        .and(request())
        .and(with(app))
        .then(|request, app| {
            handle("/api/audit/verify", request, move |request| {
                verify(app, request)
            })
        });
    let checkpoints = path!("api" / "audit" / "checkpoints")
        .and(request())
        .and(with(app))
        .then(|request, app| {
            handle("/api/audit/checkpoints", request, move |request| {
                checkpoints(app, request)
            })
        });
    log.or(verified).unify().or(checkpoints).unify().boxed()
}

async fn read(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let head = request.head;
    let asked = AuditPage::of(&head)?;
    if let Some(format) = asked.file {
        return all(app, head, asked, format).await;
    }
    let AuditPage {
        query, page, limit, ..
    } = asked;
    let records = app.manager.audit(&head.call, query, page, limit).await?;
    Ok(reply::ok(&api::AuditRecords::of(&records, limit)))
}

async fn all(app: App, head: Arc<Head>, asked: AuditPage, format: Format) -> Handled {
    let AuditPage { query, page, .. } = asked;
    // Rows are added while the file is read. It ends where the log did when it was asked for, or it might never.
    let end = match page {
        Page::Before(_) => u64::MAX,
        Page::After(_) => {
            let newest = Page::Before(None);
            let newest = app.manager.audit(&head.call, query.clone(), newest, 1);
            newest.await?.first().map_or(0, |newest| newest.seq)
        }
    };
    let parts = (app, Arc::clone(&head), query);
    file::answer(&head, format, api::AUDIT_COLUMNS, page, move |page| {
        let (app, head, query) = parts.clone();
        async move {
            let mut records = app
                .manager
                .audit(&head.call, query, page, PAGE_ROWS)
                .await?;
            records.retain(|record| record.seq <= end);
            let write = || api::audit_rows(format, &records);
            let rows = file::written(records.len(), write).await?;
            Ok::<_, PredictError>((rows, after(page, &records)))
        }
    })
    .await
}

/// Where the page after this one begins; none = it is the last.
fn after(page: Page, records: &[AuditRecord]) -> Option<Page> {
    let is_full = records.len() >= PAGE_ROWS as usize;
    let last = records.last().filter(|_| is_full)?;
    Some(match page {
        Page::Before(_) => Page::Before(Some(last.seq)),
        Page::After(_) => Page::After(last.seq),
    })
}

async fn verify(app: App, mut request: Request) -> Handled {
    let head = request.head.clone();
    let checked = match head.method {
        Method::GET => app.manager.verify_audit(&head.call).await?,
        Method::POST => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let bytes = request.read_plain(MAX_FILE_BYTES).await?;
            let text = str::from_utf8(&bytes).map_err(|_| {
                PredictError::Malformed(
                    "the body is no text: send the content of a file of checkpoints, in UTF-8"
                        .to_owned(),
                )
            })?;
            app.manager.verify_audit_against(&head.call, text).await?
        }
        _ => return Err(Failure::method(&head, "GET, HEAD, POST")),
    };
    Ok(reply::ok(&api::AuditVerdict::from(&checked)))
}

async fn checkpoints(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let head = request.head;
    let CheckpointsAsked { after, limit } = CheckpointsAsked::of(&head)?;
    let page = app.manager.checkpoints(&head.call, after, limit).await?;
    Ok(reply::ok(&api::Checkpoints::of(&page, limit)))
}
