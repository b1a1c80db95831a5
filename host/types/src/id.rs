//! Names and identifiers: private fields, one parsing constructor each. They are shared, not copied: every prediction
//! carries some of them from stage to stage.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::digest::hexadecimal;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} `{}` is not valid: use {rule}", self.shown())]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
    text: String,
}

impl NameError {
    /// The offending text, escaped and cut to 64 characters: names travel into logs and error bodies.
    fn shown(&self) -> String {
        let mut shown: String = self
            .text
            .chars()
            .take(64)
            .collect::<String>()
            .escape_debug()
            .to_string();
        if self.text.chars().count() > 64 {
            shown.push('…');
        }
        shown
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Accepts ", $rule, ".\n\n# Errors\n[`NameError`] for any other text.")]
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, rule: $rule, text: text.to_owned() })
                }
            }

            /// The text as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

name!(
    /// A customer. Everything stored belongs to exactly one.
    TenantId,
    "tenant name",
    "1 to 63 of a-z, 0-9 and -, beginning with a letter or digit",
    |text| text.len() <= 63 && starts_alphanumeric(text) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
);

name!(
    /// A model inside one tenant.
    ModelName,
    "model name",
    "1 to 128 of A-Z, a-z, 0-9, ., _ and -, beginning with a letter or digit (`stats` is reserved)",
    |text| model_like(text) && text != "stats"
);

name!(
    /// One immutable version of a model.
    ModelVersion,
    "version",
    "1 to 128 of A-Z, a-z, 0-9, ., _ and -, beginning with a letter or digit (`stats` is reserved)",
    |text| model_like(text) && text != "stats"
);

name!(
    /// The public half of an API key: names the key in lists, logs and audit, and opens nothing.
    KeyId,
    "key id",
    "`key_` and 16 of a-z and 0-9",
    |text| text.strip_prefix("key_").is_some_and(sixteen)
);

name!(
    /// A user in lists, logs and audit, whatever it is called; never anybody else's.
    UserId,
    "user id",
    "`usr_` and 16 of a-z and 0-9",
    |text| text.strip_prefix("usr_").is_some_and(sixteen)
);

name!(
    /// What a user logs in with: an address of mail, or any word of the same letters.
    UserName,
    "user name",
    "1 to 254 of a-z, 0-9, ., _, @, + and -, beginning with a letter or digit",
    |text| text.len() <= 254 && starts_alphanumeric(text) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'+' | b'-'))
);

name!(
    /// Names one request in answers, logs and audit. Taken from the caller where valid, made otherwise.
    RequestId,
    "request id",
    "1 to 128 of A-Z, a-z, 0-9, ., _ and -",
    |text| (1..=128).contains(&text.len()) && text.bytes().all(name_byte)
);

impl RequestId {
    /// A name made of 128 bits: 32 hexadecimal digits.
    pub fn from_bits(bits: u128) -> Self {
        Self(hexadecimal(&bits.to_be_bytes(), &mut [0; 32]).into())
    }
}

fn model_like(text: &str) -> bool {
    text.len() <= 128 && starts_alphanumeric(text) && text.bytes().all(name_byte)
}

fn sixteen(id: &str) -> bool {
    id.len() == 16
        && id
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

fn starts_alphanumeric(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric())
}

fn name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_can_stand_in_a_path_a_header_and_a_file_name() {
        for good in ["lead-score", "A", "1", "v1.2_rc-3", &"x".repeat(128)] {
            assert!(ModelName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-x",
            "a/b",
            "a b",
            "a\n",
            "é",
            "%2e",
            "stats",
            &"x".repeat(129),
        ] {
            assert!(ModelName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_tenant_is_lower_case() {
        assert!(TenantId::parse("acme-2").is_ok());
        for bad in ["Acme", "", "-a", "a_b", "a.b", &"x".repeat(64)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_user_is_named_by_an_address_or_a_word_in_lower_case() {
        for good in ["alice", "7", "a.b+c_d-e@example.com", &"x".repeat(254)] {
            assert!(UserName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Alice",
            "@alice",
            "+1",
            "-x",
            "a b",
            "a\n",
            "é",
            "a/b",
            &"x".repeat(255),
        ] {
            assert!(UserName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(UserId::parse("usr_0123456789abcdef").is_ok());
        for bad in [
            "usr_",
            "key_0123456789abcdef",
            "usr_0123456789abcdeF",
            "usr_0123456789abcdef0",
        ] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_shows_the_text_escaped_and_cut() {
        let message = ModelName::parse(&format!("a\n\u{1b}[31m{}", "x".repeat(500)))
            .unwrap_err()
            .to_string();
        assert!(message.contains("a\\n\\u{1b}"), "{message}");
        assert!(message.len() < 300, "{message}");
    }
}
