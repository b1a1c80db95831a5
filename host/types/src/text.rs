//! Callers' texts in messages: escaped, cut, compared.

/// A caller's text, safe to show: escaped and cut.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    let ellipsis = if text.chars().nth(80).is_some() {
        "…"
    } else {
        ""
    };
    format!("{}{ellipsis}", cut.escape_debug())
}

/// `a`, `b` and `c`, at most ten of them.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names
        .iter()
        .take(10)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if names.len() > 10 { ", …" } else { "" };
    format!("{}{more}", quoted.join(", "))
}

/// The name that a misspelt one most likely means: at most a third of its letters differ.
pub(crate) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 256 {
        return None;
    }
    names
        .map(|name| (strsim::damerau_levenshtein(text, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
