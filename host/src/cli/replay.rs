//! `replay REQUEST_ID`: whether a recorded prediction comes out as it did.

use clap::Args;
use foretell_types::RequestId;
use reqwest::Method;
use serde_json::Value;

use super::Context;
use super::amount::Amount;
use super::exit::{Exit, Failure};
use super::output::{self, Format, Rows, cell};

/// Elements of an output that are shown, at most; --output json has all.
const SHOWN: usize = 6;

/// Runs a recorded prediction again, by the same version; fails if its outputs are not the recorded ones, bit for bit. It
/// costs what a prediction costs.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The request that was recorded; of several of this id, the newest.
    request_id: RequestId,
}

impl Replay {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.block_on(async {
            let path = format!("/api/predictions/{}/replay", self.request_id);
            let answer = client.tenant(Method::POST, &path, None).await?;
            match context.format() {
                Format::Json => output::document(&answer.text)?,
                Format::Table => rows(&answer.json).print()?,
            }
            verdict(&answer.json)
        })
    }
}

/// Each output as it was and as it is.
fn rows(replay: &Value) -> Rows {
    let mut rows = Rows::new(&["OUTPUT", "RECORDED", "REPLAYED"]);
    let [recorded, replayed] =
        ["recorded_outputs", "outputs"].map(|field| output::items(&replay[field], ""));
    let with_name = |outputs: &[Value], name: &str| {
        let found = outputs.iter().find(|output| output["name"] == name);
        found.map_or_else(|| "-".to_owned(), outline)
    };
    let names = |outputs: &[Value]| {
        let names = outputs.iter().filter_map(|output| output["name"].as_str());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = names(recorded);
    // A version declares what it answers, and that does not change; if it did, nothing is hidden.
    all.extend(
        names(replayed)
            .into_iter()
            .filter(|name| !names(recorded).contains(name)),
    );
    for name in all {
        let (was, is) = (with_name(recorded, &name), with_name(replayed, &name));
        rows.push([name, was, is]);
    }
    let version = format!("{}/{}", cell(replay, "model"), cell(replay, "version"));
    rows.push(["(version)".to_owned(), version.clone(), version]);
    let credits = Amount::cell(replay, "credits");
    rows.push(["(credits)".to_owned(), "-".to_owned(), credits]);
    rows
}

/// A tensor in a line: its shape, and its first elements.
fn outline(tensor: &Value) -> String {
    let shape = format!("{} [{}]", cell(tensor, "datatype"), cell(tensor, "shape"));
    let elements = output::items(&tensor["data"], "");
    let shown: Vec<_> = elements.iter().take(SHOWN).map(Value::to_string).collect();
    let more = if elements.len() > SHOWN { ", …" } else { "" };
    format!("{shape} {}{more}", shown.join(", "))
}

/// # Errors
/// `Data` if the outputs are not the recorded ones.
fn verdict(replay: &Value) -> Result<(), Failure> {
    if replay["identical"] == true {
        output::note("the outputs are the recorded ones, bit for bit");
        return Ok(());
    }
    let [of, model, version, again] =
        ["replay_of", "model", "version", "request_id"].map(|field| cell(replay, field));
    Err(Failure::new(
        Exit::Data,
        format_args!(
            "the outputs of {again} are not those that were recorded of {of}: what {model} version {version} answers depends \
             on more than its inputs, such as random numbers or the time, or the machine or the engine is another"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tensor(name: &str, data: Value) -> Value {
        json!({"name": name, "datatype": "FP64", "shape": [1, 2], "data": data})
    }

    fn replay(identical: bool, outputs: Value) -> Value {
        json!({
            "request_id": "again", "replay_of": "once", "model": "iris", "version": "2", "identical": identical,
            "outputs": outputs, "recorded_outputs": [tensor("score", json!([0.25, 1.0]))], "credits": 0.000_001,
        })
    }

    #[test]
    fn each_output_is_shown_as_it_was_and_as_it_is() {
        let shown = rows(&replay(false, json!([tensor("score", json!([0.5, null]))])));
        let mut expected = Rows::new(&["OUTPUT", "RECORDED", "REPLAYED"]);
        for line in [
            ["score", "FP64 [1,2] 0.25, 1.0", "FP64 [1,2] 0.5, null"],
            ["(version)", "iris/2", "iris/2"],
            ["(credits)", "-", "0.000001"],
        ] {
            expected.push(line.map(str::to_owned));
        }
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_output_that_one_side_lacks_is_not_hidden() {
        let shown = rows(&replay(false, json!([tensor("class", json!([1.0, 2.0]))])));
        let mut expected = Rows::new(&["OUTPUT", "RECORDED", "REPLAYED"]);
        for line in [
            ["score", "FP64 [1,2] 0.25, 1.0", "-"],
            ["class", "-", "FP64 [1,2] 1.0, 2.0"],
            ["(version)", "iris/2", "iris/2"],
            ["(credits)", "-", "0.000001"],
        ] {
            expected.push(line.map(str::to_owned));
        }
        assert_eq!(shown, expected);
    }

    #[test]
    fn of_many_elements_the_first_are_shown() {
        let line = outline(&tensor("x", json!([1, 2, 3, 4, 5, 6, 7])));
        assert_eq!(line, "FP64 [1,2] 1, 2, 3, 4, 5, 6, …");
    }

    #[test]
    fn whatever_is_not_said_to_be_identical_fails() {
        assert_eq!(verdict(&replay(true, json!([]))), Ok(()));
        let failure = verdict(&replay(false, json!([]))).unwrap_err();
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.message.contains("recorded of once"), "{failure}");
        for body in [json!({}), json!({"identical": "true"}), Value::Null] {
            assert!(verdict(&body).is_err(), "{body}");
        }
    }
}
