//! `limits`, `tenant limits` and `key limits`: what may be used, what it costs, and what was used of it.

use clap::Args;
use foretell_types::{KeyId, TenantId};
use reqwest::Method;
use serde_json::{Map, Number, Value};

use super::Context;
use super::amount::{self, Amount, Dollars, Milliseconds};
use super::exit::{Exit, Failure};
use super::output::{self, Format, Rows, cell};

/// What stands where nothing was set, and what is typed to take away what was.
const DEFAULT: &str = "default";
/// Predictions under way: a quota of tenants alone.
const CONCURRENT: &str = "concurrent";

/// Each quota, and where in an answer stands how much of it is used.
const QUOTAS: [(&str, Option<(&str, &str)>); 7] = [
    ("requests_per_window", None),
    (CONCURRENT, None),
    ("predictions_per_day", Some(("today", "predictions"))),
    ("predictions_per_month", Some(("month", "predictions"))),
    ("compute_ms_per_day", Some(("today", "compute_ms"))),
    ("compute_ms_per_month", Some(("month", "compute_ms"))),
    ("credits_per_month", Some(("month", "credits"))),
];

/// Shows what the tenant may use, what that costs, what it used, and what credits it has.
#[derive(Debug, Args)]
pub(super) struct Limits {}

impl Limits {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.block_on(async {
            let answer = client.tenant(Method::GET, "/api/limits", None).await?;
            match context.format() {
                Format::Json => output::document(&answer.text),
                Format::Table => standing(&answer.json).print(),
            }
        })
    }
}

/// What becomes of a limit.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    Number(Number),
    Truth(bool),
    /// It is taken away.
    Default,
}

impl Change {
    fn read(text: &str, rule: &str, read: fn(&str) -> Option<Self>) -> Result<Self, String> {
        if text == DEFAULT {
            return Ok(Self::Default);
        }
        read(text).ok_or_else(|| format!("use {rule}, or `{DEFAULT}` for what the server says"))
    }
}

fn whole(text: &str) -> Result<Change, String> {
    Change::read(text, "a whole number", |text| {
        text.parse::<u64>().ok().map(|n| Change::Number(n.into()))
    })
}

/// What is kept in 32 bits.
fn count(text: &str) -> Result<Change, String> {
    Change::read(text, "a whole number up to 4294967295", |text| {
        text.parse::<u32>().ok().map(|n| Change::Number(n.into()))
    })
}

fn credits(text: &str) -> Result<Change, String> {
    let rule = "credits from 0 on with at most six decimals, such as 12 or 0.25";
    Change::read(text, rule, |text| {
        let number = amount::credits(text).ok();
        let from_zero = number.filter(|number| number.as_f64().is_some_and(|n| n >= 0.0));
        from_zero.map(Change::Number)
    })
}

fn truth(text: &str) -> Result<Change, String> {
    Change::read(text, "true or false", |text| {
        text.parse::<bool>().ok().map(Change::Truth)
    })
}

/// Changes of limits by name; none = that one stays as it is.
type Changes<'a, const N: usize> = [(&'static str, &'a Option<Change>); N];

/// Makes the changes, and leaves what else there is.
fn make<const N: usize>(changes: Changes<'_, N>, limits: &mut Map<String, Value>) {
    for (name, change) in changes {
        match change {
            None => {}
            Some(Change::Number(number)) => {
                limits.insert(name.to_owned(), Value::Number(number.clone()));
            }
            Some(Change::Truth(truth)) => {
                limits.insert(name.to_owned(), Value::Bool(*truth));
            }
            Some(Change::Default) => {
                limits.remove(name);
            }
        }
    }
}

fn is_any<const N: usize>(changes: Changes<'_, N>) -> bool {
    changes.iter().any(|(_, change)| change.is_some())
}

/// Quotas to set, of tenants and of keys; `default` takes one away.
#[derive(Debug, Args)]
struct Quotas {
    /// Requests in a window, whose length is the server's.
    #[arg(long, value_name = "N", value_parser = whole)]
    requests_per_window: Option<Change>,
    /// Predictions, counted in rows, in a day of UTC.
    #[arg(long, value_name = "N", value_parser = whole)]
    predictions_per_day: Option<Change>,
    /// Predictions in a calendar month.
    #[arg(long, value_name = "N", value_parser = whole)]
    predictions_per_month: Option<Change>,
    /// Milliseconds in the sandbox in a day.
    #[arg(long, value_name = "MS", value_parser = whole)]
    compute_ms_per_day: Option<Change>,
    /// Milliseconds in the sandbox in a month.
    #[arg(long, value_name = "MS", value_parser = whole)]
    compute_ms_per_month: Option<Change>,
    /// Credits in a month: the budget.
    #[arg(long, value_name = "CREDITS", value_parser = credits)]
    credits_per_month: Option<Change>,
    /// Take away all that was set; what else is given is set afterwards.
    #[arg(long)]
    clear: bool,
}

impl Quotas {
    fn changes(&self) -> Changes<'_, 6> {
        [
            ("requests_per_window", &self.requests_per_window),
            ("predictions_per_day", &self.predictions_per_day),
            ("predictions_per_month", &self.predictions_per_month),
            ("compute_ms_per_day", &self.compute_ms_per_day),
            ("compute_ms_per_month", &self.compute_ms_per_month),
            ("credits_per_month", &self.credits_per_month),
        ]
    }

    /// Whether anything is to be changed.
    fn is_change(&self) -> bool {
        self.clear || is_any(self.changes())
    }

    /// Quotas as they become.
    fn changed(&self, mut quotas: Map<String, Value>) -> Map<String, Value> {
        if self.clear {
            quotas.clear();
        }
        make(self.changes(), &mut quotas);
        quotas
    }
}

/// Shows or sets what a tenant may use and what that costs. Only what is given is changed; `default` in place of a value
/// takes a limit away, so that what the server's configuration says holds again.
#[derive(Debug, Args)]
pub(super) struct TenantLimits {
    /// Whose.
    name: TenantId,
    #[command(flatten)]
    quotas: Quotas,
    /// Predictions under way.
    #[arg(long, value_name = "N", value_parser = count)]
    concurrent: Option<Change>,
    /// Bytes of plugins and artifacts.
    #[arg(long, value_name = "N", value_parser = whole)]
    stored_bytes: Option<Change>,
    /// Models.
    #[arg(long, value_name = "N", value_parser = count)]
    models: Option<Change>,
    /// Uploads in a day of UTC.
    #[arg(long, value_name = "N", value_parser = count)]
    uploads_per_day: Option<Change>,
    /// Whether it may only spend credits that it was given: true or false.
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    prepaid: Option<Change>,
    /// What each prediction (row) costs.
    #[arg(long, value_name = "CREDITS", value_parser = credits)]
    price_per_prediction: Option<Change>,
    /// What each millisecond in the sandbox costs.
    #[arg(long, value_name = "CREDITS", value_parser = credits)]
    price_per_compute_ms: Option<Change>,
}

impl TenantLimits {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.block_on(async {
            let path = format!("/api/tenants/{}/limits", self.name);
            let mut answer = client.host(Method::GET, &path, None).await?;
            let is_change = self.is_change();
            if is_change {
                let limits = object(answer.json.get("limits").unwrap_or(&answer.json))?;
                let body = Value::Object(self.changed(limits));
                answer = client.host(Method::PUT, &path, Some(&body)).await?;
            }
            if context.format() == Format::Json {
                return output::document(&answer.text);
            }
            if is_change {
                output::note(format_args!("the limits of tenant {} are set", self.name));
            }
            standing(&answer.json).print()
        })
    }

    /// The quota that keys have none of.
    fn concurrent(&self) -> Changes<'_, 1> {
        [(CONCURRENT, &self.concurrent)]
    }

    fn changes(&self) -> Changes<'_, 4> {
        [
            ("stored_bytes", &self.stored_bytes),
            ("models", &self.models),
            ("uploads_per_day", &self.uploads_per_day),
            ("prepaid", &self.prepaid),
        ]
    }

    fn prices(&self) -> Changes<'_, 2> {
        [
            ("prediction", &self.price_per_prediction),
            ("compute_ms", &self.price_per_compute_ms),
        ]
    }

    /// Whether anything is to be changed, or only shown.
    fn is_change(&self) -> bool {
        self.quotas.is_change()
            || is_any(self.concurrent())
            || is_any(self.changes())
            || is_any(self.prices())
    }

    /// Limits as they become. Prices of single models stay, unless everything is taken away.
    fn changed(&self, mut limits: Map<String, Value>) -> Map<String, Value> {
        if self.quotas.clear {
            limits.clear();
        }
        let mut quotas = self.quotas.changed(part(&limits, "quotas"));
        make(self.concurrent(), &mut quotas);
        limits.insert("quotas".to_owned(), Value::Object(quotas));
        make(self.changes(), &mut limits);
        let mut price = part(&limits, "price");
        make(self.prices(), &mut price);
        limits.insert("price".to_owned(), Value::Object(price));
        limits
    }
}

/// Shows or sets what one key may use, beside what its tenant may. Only what is given is changed; `default` in place of a
/// value takes a quota away.
#[derive(Debug, Args)]
pub(super) struct KeyLimits {
    /// Which key.
    id: KeyId,
    #[command(flatten)]
    quotas: Quotas,
}

impl KeyLimits {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.block_on(async {
            let path = format!("/api/keys/{}/limits", self.id);
            let mut answer = client.tenant(Method::GET, &path, None).await?;
            let is_change = self.quotas.is_change();
            if is_change {
                let body = Value::Object(self.quotas.changed(object(quotas_of(&answer.json))?));
                answer = client.tenant(Method::PUT, &path, Some(&body)).await?;
            }
            if context.format() == Format::Json {
                return output::document(&answer.text);
            }
            if is_change {
                output::note(format_args!("the limits of key {} are set", self.id));
            }
            let mut rows = Rows::new(&["WHAT", "LIMIT"]);
            for (name, _) in QUOTAS.iter().filter(|(name, _)| *name != CONCURRENT) {
                rows.push([
                    (*name).to_owned(),
                    set(quotas_of(&answer.json), &Value::Null, name),
                ]);
            }
            rows.print()
        })
    }
}

/// The quotas in an answer about a key, or the answer itself where it is them.
fn quotas_of(body: &Value) -> &Value {
    body.get("quotas").unwrap_or(body)
}

/// What is changed and sent back. Nothing may be sent instead of what was not understood: it would take all limits away.
///
/// # Errors
/// `Unavailable` for anything else than an object.
fn object(limits: &Value) -> Result<Map<String, Value>, Failure> {
    limits.as_object().cloned().ok_or_else(|| {
        Failure::new(
            Exit::Unavailable,
            "the server shows no limits to change; check --url, and that the server is as new as this program",
        )
    })
}

/// An object within another; empty where there is none.
fn part(limits: &Map<String, Value>, name: &str) -> Map<String, Value> {
    let part = limits.get(name).and_then(Value::as_object);
    part.cloned().unwrap_or_default()
}

/// What was set under a name, as a cell; where nothing was, what the configuration says.
fn set(limits: &Value, in_force: &Value, name: &str) -> String {
    let is_there = |limits: &Value| limits.get(name).is_some_and(|limit| !limit.is_null());
    if is_there(limits) {
        Amount::cell(limits, name)
    } else if is_there(in_force) {
        format!("{} ({DEFAULT})", Amount::cell(in_force, name))
    } else {
        DEFAULT.to_owned()
    }
}

/// Where a tenant stands, line by line.
fn standing(body: &Value) -> Rows {
    let none = || "-".to_owned();
    let mut rows = Rows::new(&["WHAT", "LIMIT", "USED"]);
    let (limits, in_force) = (&body["limits"], &body["in_force"]);
    for (name, used) in QUOTAS {
        let used = used.map_or_else(none, |(when, what)| Amount::cell(&body[when], what));
        rows.push([
            name.to_owned(),
            set(&limits["quotas"], &in_force["quotas"], name),
            used,
        ]);
    }
    for name in ["stored_bytes", "models", "uploads_per_day", "prepaid"] {
        rows.push([name.to_owned(), set(limits, in_force, name), none()]);
    }
    for part in ["prediction", "compute_ms"] {
        rows.push([
            format!("price per {part}"),
            set(&limits["price"], &in_force["price"], part),
            none(),
        ]);
    }
    let of_models = limits["models_price"].as_object();
    for (model, price) in of_models.into_iter().flatten() {
        for part in fields(price) {
            let what = format!("price per {part} of {model}");
            rows.push([what, set(price, &Value::Null, part), none()]);
        }
    }
    let of_models = limits["models_requests"].as_object();
    for (model, limit) in of_models.into_iter().flatten() {
        let what = format!("requests_per_window of {model}");
        rows.push([what, limit.to_string(), none()]);
    }
    for key in output::items(&body["keys"], "") {
        for quota in fields(&key["quotas"]) {
            let what = format!("{quota} of {}", cell(key, "id"));
            rows.push([what, set(&key["quotas"], &Value::Null, quota), none()]);
        }
    }
    for (when, shown) in [("today", "today"), ("month", "this month")] {
        let used = &body[when];
        for (what, number) in [
            ("calls", cell(used, "calls")),
            ("predictions", cell(used, "predictions")),
            ("cached", cell(used, "cached")),
            ("failed", cell(used, "failed")),
            ("compute_ms", Milliseconds::cell(used, "compute_ms")),
            ("credits", Amount::cell(used, "credits")),
            ("cost_usd", Dollars::cell(used, "cost_usd")),
        ] {
            rows.push([format!("{what} {shown}"), none(), number]);
        }
    }
    let account = &body["account"];
    rows.push([
        "credits granted".to_owned(),
        Amount::cell(account, "granted"),
        Amount::cell(account, "spent"),
    ]);
    rows.push([
        "credits left".to_owned(),
        Amount::cell(account, "balance"),
        none(),
    ]);
    rows
}

fn fields(object: &Value) -> impl Iterator<Item = &str> {
    let fields = object.as_object().into_iter().flatten();
    fields.map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests;
