//! The corridor of a prediction, and the management of what is predicted with.
//!
//! Knows the store's ports and the [`Runner`](foretell_types::run::Runner); knows no transport, no database and no
//! engine. The hazard it exists to contain is a prediction that skips a stage: each stage takes the previous one's
//! output by value, so leaving one out does not compile.
//!
//! - [`Predictor`] answers predictions. [`Manager`] does everything else that a caller may ask for: tenants, keys,
//!   models. Both begin with [`Identity`], so no use case runs for a caller that it does not know.
//! - A transport brings a [`Call`] (who asks) and a [`Payload`] (a body that it has not read yet), and gets our types
//!   or a [`PredictError`] back.

pub mod account;
pub mod answer;
mod apart;
mod cache;
pub mod call;
pub mod clock;
pub mod config;
pub mod error;
pub mod evidence;
pub mod health;
mod histogram;
pub mod jwt;
pub mod key;
mod login;
pub mod manage;
pub mod password;
mod predictor;
pub mod rate;
mod recording;
mod registry;
mod release;
pub mod session;
mod shadow;
mod stage;
pub mod statistics;
mod tenant;
mod text;

pub use account::Books;
pub use answer::{Answer, Cached, Outputs};
pub use apart::apart;
pub use cache::{AnswerCache, CacheLimits, CacheStats};
pub use call::{CacheUse, Call, Credentials, Decoded, Inputs, ModelRef, Payload, Subject};
pub use clock::Clock;
pub use config::{Governance, HitPrice, Limits, Records, Storage, WhenFull};
pub use error::PredictError;
pub use evidence::{CheckpointRules, Checkpointer, Evidence};
pub use foretell_types::run::Urgency;
pub use manage::Manager;
pub use password::Password;
pub use predictor::{Predictor, Replay};
pub use recording::{Changed, Content, Recorded, Recorder};
pub use registry::{Registry, Target};
pub use session::Sessions;
pub use shadow::Comparison;
pub use stage::admit::Permit;
pub use stage::bearer::{Issuers, Rights};
pub use stage::identify::{Identity, Principal};
