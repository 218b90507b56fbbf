//! Addresses of live inputs: `SCHEME://WHERE?NAME=VALUE&NAME=VALUE`.

use super::{Place, SourceError};

/// What an address says behind its scheme.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// All of it, as the user wrote it.
    whole: &'a str,
    /// Up to the first `?`.
    pub(super) place: &'a str,
    /// The settings behind it that nobody has asked for yet.
    settings: Vec<(&'a str, &'a str)>,
    example: &'static str,
}

impl<'a> Address<'a> {
    /// Take `whole` apart; `None` where it has another scheme (`mqtt://`). Messages give `example`.
    pub(super) fn parse(whole: &'a str, scheme: &str, example: &'static str) -> Option<Self> {
        let (place, settings) = whole.strip_prefix(scheme)?.split_once('?').unwrap_or((&whole[scheme.len()..], ""));
        let settings = settings.split('&').filter(|s| !s.is_empty());
        let settings = settings.map(|s| s.split_once('=').unwrap_or((s, ""))).collect();
        Some(Self { whole, place, settings, example })
    }

    /// Take out a setting.
    pub(super) fn setting(&mut self, name: &str) -> Option<&'a str> {
        let at = self.settings.iter().position(|(n, _)| *n == name)?;
        Some(self.settings.remove(at).1)
    }

    /// Take out a setting that `read` understands; `expected` says what that is.
    #[cfg(feature = "serial")]
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        default: T,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SourceError> {
        match self.setting(name) {
            None => Ok(default),
            Some(text) => read(text).ok_or_else(|| self.wrong(format!("{name}={text}"), expected)),
        }
    }

    /// Refuse settings that are left over; `known` names those there are.
    pub(super) fn no_more(&self, known: &str) -> Result<(), SourceError> {
        match self.settings.first() {
            Some((name, _)) => Err(self.wrong(format!("a setting `{name}`"), known)),
            None => Ok(()),
        }
    }

    /// An address that cannot be meant.
    pub(super) fn wrong(&self, got: impl Into<String>, expected: &str) -> SourceError {
        // A password is not repeated.
        let shown = match (self.whole.split_once("://"), self.whole.rfind('@')) {
            (Some((scheme, _)), Some(at)) => format!("{scheme}://...{}", &self.whole[at..]),
            _ => self.whole.to_owned(),
        };
        SourceError::misused(Place::whole(&shown), got, format!("{expected}, such as {}", self.example))
    }
}

/// A text in which `%2F` stands for `/`; `None` where what follows a `%` is no number.
#[cfg(feature = "mqtt")]
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let mut address = Address::parse("serial:///dev/ttyUSB0?baud=9600&parity=even", "serial://", "x").expect("one");
        assert_eq!(address.place, "/dev/ttyUSB0");
        assert_eq!(address.read("baud", 0, "a number", |t| t.parse().ok()).ok(), Some(9600));
        assert_eq!(address.no_more("a, b").map_err(|e| e.is_misuse()), Err(true));
        assert_eq!(address.setting("parity"), Some("even"));
        assert!(address.no_more("a, b").is_ok());
        assert_eq!(Address::parse("tcp://a", "serial://", "x"), None);
        let address = Address::parse("mqtt://me:secret@host/t", "mqtt://", "mqtt://host/topic").expect("one");
        assert_eq!(
            address.wrong("this", "that").to_string(),
            "mqtt://...@host/t: got this, expected that, such as mqtt://host/topic"
        );
    }

    #[cfg(feature = "mqtt")]
    #[test]
    fn signs_with_a_meaning_can_be_written() {
        assert_eq!(decoded("a%2Fb%3f%C3%A9").as_deref(), Some("a/b?é"));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(wrong), None);
        }
    }
}
