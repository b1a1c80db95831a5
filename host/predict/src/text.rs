//! Callers' texts in messages.

/// A caller's text, safe to show: cut to 64 characters and escaped.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
