//! Which channel, slice or position of a recording with more axes than (t, y, x) is meant.

use core::fmt;

use super::{Place, SourceError};

/// The index or name that the user gives for some axes: `c=1`, `z=0`, `c=DAPI`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(Vec<(String, String)>);

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        f.write_str(&parts.join(","))
    }
}

/// The short name of an axis, as NGFF has it; Micro-Manager writes words.
pub(super) fn short_name(axis: &str) -> &str {
    match axis.to_lowercase().as_str() {
        "t" | "time" => "t",
        "c" | "channel" => "c",
        "p" | "position" => "p",
        "z" | "slice" => "z",
        "y" => "y",
        "x" => "x",
        _ => axis,
    }
}

impl Selection {
    /// Choose `value` (an index from 0, or a name) along `axis`.
    ///
    /// # Errors
    /// An axis that was chosen before, or one that every frame has.
    pub fn add(&mut self, axis: &str, value: &str) -> Result<(), String> {
        let name = short_name(axis.trim());
        if matches!(name, "t" | "y" | "x") {
            return Err(format!("axis {name}: expected another one, such as c or z: frames have all of t, y and x"));
        }
        if self.value(name).is_some() {
            return Err(format!("axis {name} was given before"));
        }
        self.0.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }

    /// Whether nothing is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is chosen along `axis`, by its short name.
    pub(super) fn value(&self, axis: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == axis).map(|(_, value)| value.as_str())
    }

    /// An error where an axis is chosen that the recording does not have.
    pub(super) fn check(&self, axes: &[String], place: impl FnOnce() -> Place) -> Result<(), SourceError> {
        match self.0.iter().find(|(name, _)| !axes.contains(name)) {
            None => Ok(()),
            Some((name, value)) => {
                let there = if axes.is_empty() { "no further axes".to_owned() } else { axes.join(", ") };
                let expected = format!("--select of an axis that it has beside t, y and x ({there})");
                Err(SourceError::misused(place(), format!("--select {name}={value}"), expected))
            }
        }
    }
}

/// Where along an axis `chosen` is among `count` places with these names (as many as are known): by name, then by
/// number from 0.
pub(super) fn place_of(chosen: &str, count: u64, names: &[String]) -> Option<u64> {
    let named = names.iter().position(|name| name == chosen).map(|at| at as u64);
    named.or_else(|| chosen.parse().ok()).filter(|at| *at < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_short_names_and_places_have_names_or_numbers() {
        let mut selection = Selection::default();
        assert_eq!(selection.add("channel", " DAPI "), Ok(()));
        assert_eq!(selection.value("c"), Some("DAPI"));
        assert!(selection.add("c", "1").is_err_and(|e| e.contains("before")));
        assert!(selection.add("time", "1").is_err_and(|e| e.contains("axis t")));
        let names = ["DAPI".to_owned(), "2".to_owned()];
        assert_eq!(place_of("DAPI", 3, &names), Some(0));
        assert_eq!(place_of("2", 3, &names), Some(1));
        assert_eq!(place_of("1", 3, &names), Some(1));
        assert_eq!(place_of("3", 3, &names), None);
        assert_eq!(place_of("GFP", 3, &names), None);
    }
}
