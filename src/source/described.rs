//! What a recording's file says of itself beyond its pixels.

use serde::Serialize;

/// Characters of a description that are kept.
const LONGEST: usize = 4096;

/// What a file says of the recording in it, for the record of a run; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Described {
    /// The image's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The channel's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it was recorded, as ISO 8601: `2026-03-01T12:30:00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquired: Option<String>,
    /// What else is written there, at most 4096 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Described {
    /// A text worth keeping: trimmed, not empty, not too long.
    pub(super) fn text(text: &str) -> Option<String> {
        let text: String = text.trim().chars().take(LONGEST).collect();
        (!text.is_empty()).then_some(text)
    }

    /// A moment as ISO 8601, with or without a fraction and a zone; `None` for anything else.
    pub(super) fn moment(text: &str) -> Option<String> {
        let text = text.trim();
        let pattern = "0000-00-00T00:00:00";
        let fits = |(c, p): (u8, u8)| if p == b'0' { c.is_ascii_digit() } else { c == p };
        let (start, rest) = text.split_at_checked(pattern.len())?;
        let rest_fits = rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | ':' | 'Z'));
        let whole = start.bytes().zip(pattern.bytes()).all(fits) && rest_fits && rest.len() <= 20;
        whole.then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_known() {
        for text in ["2026-03-01T12:30:00", " 2026-03-01T12:30:00.25Z", "2026-03-01T12:30:00+01:00"] {
            assert_eq!(Described::moment(text).as_deref(), Some(text.trim()));
        }
        for text in [
            "",
            "yesterday",
            "2026-03-01",
            "2026-03-01 12:30:00",
            "2026-03-01T12:30:00 h\u{e4}",
            "2026-03-01T12:3\u{e4}",
        ] {
            assert_eq!(Described::moment(text), None, "{text}");
        }
    }
}
