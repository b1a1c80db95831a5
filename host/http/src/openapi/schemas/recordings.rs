//! Bodies of recordings, replays and persons.

use serde_json::json;

use super::super::reference;
use super::{Named, closed, count, list, named, number, or_null, text, time, truth};

pub(super) fn all() -> Named {
    let days = || json!({"type": "integer", "minimum": 1, "maximum": 3650, "description": "that a recording is kept"});
    let enabled = || truth("whether predictions are recorded from now on");
    let tensors = || list(&reference("Tensor"));
    let recording = closed([
        ("request_id", text("the request that was answered")),
        ("at", time("when it was answered")),
        ("model", text("the model")),
        ("version", text("the version that answered")),
        ("digest", text("what that version is")),
        (
            "changed",
            truth("whether it is not what was written, and cannot be read"),
        ),
        ("inputs", or_null(tensors())),
        ("outputs", or_null(tensors())),
    ]);
    named([
        (
            "RecordingRule",
            closed([("enabled", enabled()), ("days", days())]),
        ),
        (
            "Retention",
            closed([
                ("enabled", enabled()),
                ("days", days()),
                ("recordings", count("how many there are")),
                ("oldest", or_null(time("of the oldest; null = none"))),
                ("due", count("how many are older than they may be")),
            ]),
        ),
        (
            "Replayed",
            closed([
                ("request_id", text("names this request")),
                ("replay_of", text("names the one that was recorded")),
                ("model", text("the model")),
                ("version", text("the version that answered both")),
                (
                    "identical",
                    truth("whether the outputs are the recorded ones, bit for bit"),
                ),
                ("outputs", tensors()),
                ("recorded_outputs", tensors()),
                ("credits", number("what it costs")),
            ]),
        ),
        ("Recording", recording),
        (
            "Recordings",
            closed([
                ("recordings", list(&reference("Recording"))),
                (
                    "next_cursor",
                    or_null(text("where the next page begins; null = there is none")),
                ),
            ]),
        ),
        (
            "Receipt",
            closed([
                ("tenant", text("whose person")),
                ("subject", text("what stood for the person: a keyed hash")),
                ("recordings", count("how many are gone")),
                ("at", time("when")),
                ("request_id", text("the request that asked for it")),
                ("signature", text("a keyed hash over all of this")),
            ]),
        ),
    ])
}
