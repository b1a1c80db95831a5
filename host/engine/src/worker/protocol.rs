//! What server and worker say to each other.
//!
//! The server writes one [`Request`] as JSON; files of the upload are named, not sent. The worker answers in frames on
//! its standard output: a tag, a length (8 bytes, little-endian), the payload; the first is [`Frame::Ready`]. Nothing of an answer is believed beyond
//! its form: lengths are bounded, texts are data, code gets its seal only in the server.

use std::io::{self, Write};
use std::path::PathBuf;

use foretell_types::Signature;
use foretell_types::compile::{Content, Part, Refusal, RefusalCode, Setting, SettingValue, Step};
use serde::{Deserialize, Serialize};

use super::confine::Walls;
use crate::config::{CompileLimits, GuestLimits, StructureLimits};

/// What the worker is to do, and within what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) work: Work,
    pub(crate) compile: CompileLimits,
    pub(crate) guest: GuestLimits,
    pub(crate) structure: StructureLimits,
    pub(crate) dense_image_bytes: u64,
    /// The process that waits for the answer: a worker whose parent is another one by now has been orphaned.
    pub(crate) parent: u32,
}

/// The things that a worker does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Nothing but to say that it is ready.
    Greet,
    /// All steps, for an upload.
    Prepare {
        plugin: Source,
        artifact: Option<Source>,
        settings: Vec<WireSetting>,
        memory_bytes: u64,
    },
    /// Machine code for a snapshot, and nothing else.
    Recompile { snapshot: Source },
}

/// A file, and the SHA-256 that it must have, in hexadecimal: what is compiled is what was uploaded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) sha256: String,
}

impl From<&Part> for Source {
    fn from(part: &Part) -> Self {
        Self {
            file: part.file.clone(),
            sha256: part.digest.to_string(),
        }
    }
}

/// A setting. Numbers cross as bits: JSON has no NaN.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireSetting {
    name: String,
    value: WireValue,
}

#[derive(Debug, Serialize, Deserialize)]
enum WireValue {
    Truth(bool),
    Integer(i64),
    RealBits(u64),
    Text(String),
}

impl From<&Setting> for WireSetting {
    fn from(setting: &Setting) -> Self {
        let value = match &setting.value {
            SettingValue::Truth(v) => WireValue::Truth(*v),
            SettingValue::Integer(v) => WireValue::Integer(*v),
            SettingValue::Real(v) => WireValue::RealBits(v.to_bits()),
            SettingValue::Text(v) => WireValue::Text(v.clone()),
        };
        Self {
            name: setting.name.clone(),
            value,
        }
    }
}

impl From<WireSetting> for Setting {
    fn from(setting: WireSetting) -> Self {
        let value = match setting.value {
            WireValue::Truth(v) => SettingValue::Truth(v),
            WireValue::Integer(v) => SettingValue::Integer(v),
            WireValue::RealBits(v) => SettingValue::Real(f64::from_bits(v)),
            WireValue::Text(v) => SettingValue::Text(v),
        };
        Self {
            name: setting.name,
            value,
        }
    }
}

/// One frame of an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// The worker holds its input and has walled itself in.
    Ready(Ready),
    /// A step begins.
    Step(Step),
    /// The upload's own doing; the worker ends.
    Refused(Vec<Refusal>),
    /// The worker's own trouble; it ends.
    Trouble(String),
    /// What it read is not what the request says; it ends.
    Changed(Content),
    /// What the plugin describes.
    Signature(Box<Signature>),
    /// The component after `load`.
    Snapshot(Vec<u8>),
    /// Machine code.
    Code(Vec<u8>),
}

/// What a worker says of itself before it looks at the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Fingerprint of its engine, in hexadecimal: code of another one than the server's is of no use to it.
    pub(crate) engine: String,
    pub(crate) walls: Walls,
}

#[derive(Serialize, Deserialize)]
struct WireRefusal {
    code: String,
    subject: String,
    message: String,
}

const STEPS: [Step; 4] = [
    Step::Admission,
    Step::Snapshot,
    Step::Compile,
    Step::SelfTest,
];

impl Frame {
    const fn tag(&self) -> u8 {
        match self {
            Self::Step(_) => 1,
            Self::Refused(_) => 2,
            Self::Trouble(_) => 3,
            Self::Signature(_) => 4,
            Self::Snapshot(_) => 5,
            Self::Code(_) => 6,
            Self::Ready(_) => 7,
            Self::Changed(_) => 8,
        }
    }

    /// Writes the frame.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Ready(ready) => frame(to, self.tag(), &serde_json::to_vec(ready)?),
            Self::Step(step) => frame(to, self.tag(), step.as_str().as_bytes()),
            Self::Refused(refusals) => {
                let refusals: Vec<_> = refusals
                    .iter()
                    .map(|r| WireRefusal {
                        code: r.code.as_str().to_owned(),
                        subject: r.subject.clone(),
                        message: r.message.clone(),
                    })
                    .collect();
                frame(to, self.tag(), &serde_json::to_vec(&refusals)?)
            }
            Self::Changed(content) => frame(to, self.tag(), content.as_str().as_bytes()),
            Self::Trouble(message) => frame(to, self.tag(), message.as_bytes()),
            Self::Signature(signature) => frame(to, self.tag(), &serde_json::to_vec(signature)?),
            Self::Snapshot(bytes) | Self::Code(bytes) => frame(to, self.tag(), bytes),
        }
    }

    fn read(tag: u8, payload: Vec<u8>) -> Result<Self, String> {
        let text = |payload: Vec<u8>| String::from_utf8(payload).map_err(|error| error.to_string());
        match tag {
            1 => {
                let name = text(payload)?;
                let step = STEPS.into_iter().find(|step| step.as_str() == name);
                step.map(Self::Step)
                    .ok_or_else(|| format!("unknown step {name:?}"))
            }
            2 => {
                let refusals: Vec<WireRefusal> =
                    serde_json::from_slice(&payload).map_err(|error| error.to_string())?;
                refusals
                    .into_iter()
                    .map(|r| {
                        let code = RefusalCode::parse(&r.code)
                            .ok_or_else(|| format!("unknown code {:?}", r.code))?;
                        Ok(Refusal::new(code, r.subject, r.message))
                    })
                    .collect::<Result<_, _>>()
                    .map(Self::Refused)
            }
            3 => text(payload).map(Self::Trouble),
            4 => serde_json::from_slice(&payload)
                .map(Self::Signature)
                .map_err(|error| error.to_string()),
            5 => Ok(Self::Snapshot(payload)),
            6 => Ok(Self::Code(payload)),
            7 => serde_json::from_slice(&payload)
                .map(Self::Ready)
                .map_err(|error| error.to_string()),
            8 => {
                let name = text(payload)?;
                let content = Content::ALL.into_iter().find(|one| one.as_str() == name);
                content
                    .map(Self::Changed)
                    .ok_or_else(|| format!("unknown content {name:?}"))
            }
            other => Err(format!("unknown frame {other}")),
        }
    }
}

fn frame(to: &mut impl Write, tag: u8, payload: &[u8]) -> io::Result<()> {
    to.write_all(&[tag])?;
    to.write_all(&(payload.len() as u64).to_le_bytes())?;
    to.write_all(payload)?;
    to.flush()
}

/// Puts frames together from whatever pieces arrive.
pub(crate) struct Frames {
    head: Vec<u8>,
    payload: Option<(u8, usize, Vec<u8>)>,
    left: u64,
}

const HEAD: usize = 9;

impl Frames {
    /// Accepts at most `limit` bytes in all.
    pub(crate) const fn new(limit: u64) -> Self {
        Self {
            head: Vec::new(),
            payload: None,
            left: limit,
        }
    }

    /// Takes a piece, gives the frames that it completes.
    ///
    /// # Errors
    /// What is no frame, or beyond the limit; the rest cannot be read either.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<Vec<Frame>, String> {
        let mut frames = Vec::new();
        loop {
            match &mut self.payload {
                None => {
                    let take = (HEAD - self.head.len()).min(piece.len());
                    let (head, rest) = piece.split_at(take);
                    self.head.extend_from_slice(head);
                    piece = rest;
                    let Some((tag, length)) = self.head.split_first_chunk::<1>() else {
                        return Ok(frames);
                    };
                    let Ok(length) = <[u8; 8]>::try_from(length) else {
                        return Ok(frames);
                    };
                    let length = u64::from_le_bytes(length);
                    self.left = self
                        .left
                        .checked_sub(length)
                        .ok_or("it answers with more than it may")?;
                    let length = usize::try_from(length).map_err(|error| error.to_string())?;
                    self.payload = Some((tag[0], length, Vec::new()));
                    self.head.clear();
                }
                Some((tag, length, payload)) => {
                    let take = (*length - payload.len()).min(piece.len());
                    let (part, rest) = piece.split_at(take);
                    payload.extend_from_slice(part);
                    piece = rest;
                    if payload.len() < *length {
                        return Ok(frames);
                    }
                    frames.push(Frame::read(*tag, std::mem::take(payload))?);
                    self.payload = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Wall;

    fn written() -> (Vec<u8>, Vec<Frame>) {
        let frames = vec![
            Frame::Ready(Ready {
                engine: "e0".into(),
                walls: Walls {
                    calls: Wall::Whole,
                    files: Wall::Missing,
                },
            }),
            Frame::Step(Step::Admission),
            Frame::Snapshot(Vec::new()),
            Frame::Code(vec![7; 300]),
            Frame::Refused(vec![Refusal::new(RefusalCode::Limit, "memory", "too much")]),
            Frame::Trouble("no disk".into()),
            Frame::Changed(Content::Artifact),
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.write(&mut bytes).unwrap();
        }
        (bytes, frames)
    }

    #[test]
    fn frames_survive_any_cut() {
        let (bytes, frames) = written();
        for size in [1, 2, 8, 9, 10, 11, 100, bytes.len()] {
            let mut reader = Frames::new(1_000);
            let read: Vec<_> = bytes
                .chunks(size)
                .flat_map(|piece| reader.push(piece).unwrap())
                .collect();
            assert_eq!(read, frames, "pieces of {size}");
        }
    }

    #[test]
    fn an_answer_beyond_the_limit_is_refused_before_it_is_held() {
        let mut reader = Frames::new(1_000);
        let mut head = vec![6];
        head.extend_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(
            reader.push(&head),
            Err("it answers with more than it may".into())
        );
    }

    #[test]
    fn a_setting_keeps_its_bits() {
        let value = f64::from_bits(0xfff8_0000_0000_0001);
        let setting = Setting {
            name: "x".into(),
            value: SettingValue::Real(value),
        };
        let text = serde_json::to_string(&WireSetting::from(&setting)).unwrap();
        let back: WireSetting = serde_json::from_str(&text).unwrap();
        let SettingValue::Real(back) = Setting::from(back).value else {
            panic!("another kind")
        };
        assert_eq!(back.to_bits(), value.to_bits());
    }
}
