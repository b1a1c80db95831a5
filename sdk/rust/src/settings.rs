//! The settings that whoever uploads a model chooses for it.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use crate::LoadError;

/// The settings of a model, for [`Predictor::load`](crate::Predictor::load).
///
/// Ask for each one by name and type; whatever is wrong with it becomes a [`LoadError`] that names the setting and
/// what is allowed. A setting that `load` does not ask for is unknown and refuses the upload, so that a misspelt name
/// never passes unseen: ask for all of them before returning.
///
/// ```
/// use foretell_sdk::prelude::*;
///
/// # fn load(settings: &Settings) -> Result<(), LoadError> {
/// let rate = settings.real("rate").between(0.0, 1.0).or(0.5)?;
/// let trees = settings.integer("trees").between(1, 1000).required()?;
/// let link = settings.text("link").one_of(&["logit", "probit"]).or("logit")?;
/// let calibrated = settings.truth("calibrated").or(false)?;
/// let title = settings.text("title").optional()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Settings {
    given: Vec<(String, SettingValue)>,
    asked: RefCell<Vec<String>>,
}

/// The value of a setting, as it comes from `model.toml` or from JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// True or false.
    Truth(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// A text.
    Text(String),
}

impl Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "the whole number {value}"),
            Self::Real(value) => write!(f, "the number {value:?}"),
            Self::Text(value) => write!(f, "the text {value:?}"),
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident;)*) => {$(
        impl From<$type> for SettingValue {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from! {
    bool => Truth;
    i64 => Integer;
    i32 => Integer;
    u32 => Integer;
    f64 => Real;
    &str => Text;
    String => Text;
}

impl Settings {
    /// Settings by name, for native tests.
    pub fn new<N: Into<String>, V: Into<SettingValue>>(
        given: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let given = given.into_iter();
        Self {
            given: given
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            asked: RefCell::default(),
        }
    }

    /// Adds one more, for native tests with settings of several types.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<SettingValue>) -> Self {
        self.given.push((name.into(), value.into()));
        self
    }

    /// A number. A whole number is taken as well.
    pub fn real<'a>(&'a self, name: &'a str) -> Setting<'a, f64> {
        self.ask(name)
    }

    /// A whole number.
    pub fn integer<'a>(&'a self, name: &'a str) -> Setting<'a, i64> {
        self.ask(name)
    }

    /// True or false.
    pub fn truth<'a>(&'a self, name: &'a str) -> Setting<'a, bool> {
        self.ask(name)
    }

    /// A text.
    pub fn text<'a>(&'a self, name: &'a str) -> Setting<'a, &'a str> {
        self.ask(name)
    }

    fn ask<'a, T: Value<'a>>(&'a self, name: &'a str) -> Setting<'a, T> {
        self.asked.borrow_mut().push(name.to_owned());
        let found = self.given.iter().find(|(given, _)| given == name);
        Setting {
            name,
            given: found.map(|(_, value)| value),
            allowed: Allowed::Any,
            kind: PhantomData,
        }
    }

    /// Refuses what was given but never asked for.
    pub(crate) fn finish(&self) -> Result<(), LoadError> {
        let asked = self.asked.borrow();
        let Some((unknown, _)) = self.given.iter().find(|(name, _)| !asked.contains(name)) else {
            return Ok(());
        };
        let message = if asked.is_empty() {
            "this plugin has no settings; remove it".to_owned()
        } else {
            let known: Vec<_> = asked.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "this plugin has no such setting; it has {}",
                known.join(", ")
            )
        };
        Err(LoadError::bad_setting(unknown, message))
    }
}

/// One setting that was asked for. Ends with [`or`](Self::or), [`required`](Self::required) or
/// [`optional`](Self::optional).
#[must_use = "end with `or`, `required` or `optional`"]
#[derive(Debug)]
pub struct Setting<'a, T> {
    name: &'a str,
    given: Option<&'a SettingValue>,
    allowed: Allowed<'a, T>,
    kind: PhantomData<T>,
}

#[derive(Debug)]
enum Allowed<'a, T> {
    Any,
    Between(T, T),
    OneOf(&'a [T]),
}

/// The types of settings: `f64`, `i64`, `bool` and `&str`.
pub trait Value<'a>: Copy + PartialOrd + Display {
    #[doc(hidden)]
    const KIND: &'static str;

    #[doc(hidden)]
    fn read(value: &'a SettingValue) -> Option<Self>;
}

impl Value<'_> for f64 {
    const KIND: &'static str = "a number";

    fn read(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Real(value) => Some(*value),
            // Whole numbers beyond 2^53 would be rounded without a word.
            SettingValue::Integer(value) if value.unsigned_abs() <= 1 << 53 => Some(*value as Self),
            _ => None,
        }
    }
}

impl Value<'_> for i64 {
    const KIND: &'static str = "a whole number";

    fn read(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Integer(value) => Some(*value),
            _ => None,
        }
    }
}

impl Value<'_> for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Truth(value) => Some(*value),
            _ => None,
        }
    }
}

impl<'a> Value<'a> for &'a str {
    const KIND: &'static str = "a text";

    fn read(value: &'a SettingValue) -> Option<Self> {
        match value {
            SettingValue::Text(value) => Some(value),
            _ => None,
        }
    }
}

impl<'a, T: Value<'a>> Setting<'a, T> {
    /// Allows values from `min` to `max`, both inclusive.
    pub fn between(mut self, min: T, max: T) -> Self {
        self.allowed = Allowed::Between(min, max);
        self
    }

    /// Allows these values only.
    pub fn one_of(mut self, values: &'a [T]) -> Self {
        self.allowed = Allowed::OneOf(values);
        self
    }

    /// The value, or `default` where none is given.
    ///
    /// # Errors
    /// [`LoadError::BadSetting`] if the value has another type or is not allowed.
    pub fn or(self, default: T) -> Result<T, LoadError> {
        Ok(self.optional()?.unwrap_or(default))
    }

    /// The value.
    ///
    /// # Errors
    /// [`LoadError::BadSetting`] if there is none, it has another type or is not allowed.
    pub fn required(self) -> Result<T, LoadError> {
        let (name, allowed) = (self.name, self.to_string());
        self.optional()?
            .ok_or_else(|| LoadError::bad_setting(name, format!("is required: {allowed}")))
    }

    /// The value, or `None` where none is given.
    ///
    /// # Errors
    /// [`LoadError::BadSetting`] if the value has another type or is not allowed.
    pub fn optional(self) -> Result<Option<T>, LoadError> {
        let Some(given) = self.given else {
            return Ok(None);
        };
        let value = T::read(given).filter(|value| match &self.allowed {
            Allowed::Any => true,
            Allowed::Between(min, max) => min <= value && value <= max,
            Allowed::OneOf(values) => values.contains(value),
        });
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(LoadError::bad_setting(
                self.name,
                format!("must be {self}, not {given}"),
            )),
        }
    }
}

impl<'a, T: Value<'a>> Display for Setting<'a, T> {
    /// What is allowed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::KIND)?;
        match &self.allowed {
            Allowed::Any => Ok(()),
            Allowed::Between(min, max) => write!(f, " from {min} to {max}"),
            Allowed::OneOf(values) => {
                let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
                write!(f, ", one of {}", values.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(error: LoadError) -> String {
        error.to_string()
    }

    #[test]
    fn a_setting_has_its_own_type() {
        let settings = Settings::new([("rate", 2)])
            .with("link", "logit")
            .with("on", true);
        assert_eq!(settings.real("rate").required(), Ok(2.0));
        assert_eq!(settings.integer("rate").required(), Ok(2));
        assert_eq!(settings.text("link").required(), Ok("logit"));
        assert_eq!(settings.truth("on").required(), Ok(true));
        assert_eq!(settings.real("absent").or(0.5), Ok(0.5));
        assert_eq!(settings.real("absent").optional(), Ok(None));
        assert_eq!(settings.finish(), Ok(()));
    }

    #[test]
    fn a_refused_setting_is_told_what_is_allowed() {
        let settings = Settings::new([("rate", 2.0)]).with("link", "cauchit");
        assert_eq!(
            message(settings.real("rate").between(0.0, 1.0).or(0.5).unwrap_err()),
            "setting `rate`: must be a number from 0 to 1, not the number 2.0"
        );
        assert_eq!(
            message(settings.integer("rate").or(1).unwrap_err()),
            "setting `rate`: must be a whole number, not the number 2.0"
        );
        assert_eq!(
            message(
                settings
                    .text("link")
                    .one_of(&["logit", "probit"])
                    .or("logit")
                    .unwrap_err()
            ),
            "setting `link`: must be a text, one of `logit`, `probit`, not the text \"cauchit\""
        );
        assert_eq!(
            message(
                settings
                    .integer("trees")
                    .between(1, 9)
                    .required()
                    .unwrap_err()
            ),
            "setting `trees`: is required: a whole number from 1 to 9"
        );
    }

    #[test]
    fn nan_is_within_no_bounds() {
        let settings = Settings::new([("rate", f64::NAN)]);
        assert!(settings.real("rate").between(0.0, 1.0).required().is_err());
    }

    #[test]
    fn a_setting_that_nobody_asked_for_is_refused() {
        let settings = Settings::new([("rte", 0.5)]);
        assert_eq!(
            message(settings.finish().unwrap_err()),
            "setting `rte`: this plugin has no settings; remove it"
        );
        assert_eq!(settings.real("rate").or(1.0), Ok(1.0));
        assert_eq!(
            message(settings.finish().unwrap_err()),
            "setting `rte`: this plugin has no such setting; it has `rate`"
        );
    }
}
