//! The units that are understood, with every spelling that instruments write.

use core::fmt;

use super::UnitError;

/// What a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Distance; the axes y and x.
    Length,
    /// Duration; the axis t.
    Time,
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a length",
            Self::Time => "a time",
        })
    }
}

struct Unit {
    /// Canonical ASCII symbol, written in files and in `run.json`.
    name: &'static str,
    dimension: Dimension,
    /// One of this unit is `mantissa * 10^exponent` metres or seconds. The split keeps conversions between
    /// decimal multiples correctly rounded: 100 nm is 0.1 um, not 0.10000000000000002.
    mantissa: f64,
    exponent: i32,
    /// Name in OME-NGFF (the UDUNITS-2 word).
    ngff: &'static str,
    /// Symbol for plots.
    pretty: &'static str,
    /// Further spellings, lower case; matched without regard to case. The canonical name itself is matched
    /// exactly, since `Mm` is no millimetre.
    words: &'static [&'static str],
}

pub(super) const KNOWN: &str = "pm, angstrom, nm, um, mm, cm, m, km, ns, us, ms, s, min, h, d";

const fn unit(
    name: &'static str,
    dimension: Dimension,
    (mantissa, exponent): (f64, i32),
    ngff: &'static str,
    pretty: &'static str,
    words: &'static [&'static str],
) -> Unit {
    Unit { name, dimension, mantissa, exponent, ngff, pretty, words }
}

use Dimension::{Length, Time};

// ImageJ writes the micro sign as the six characters \u00B5, which is why spellings with a backslash stand here.
const UNITS: [Unit; 15] = [
    unit("pm", Length, (1.0, -12), "picometer", "pm", &["picometer", "picometers", "picometre", "picometres"]),
    unit("angstrom", Length, (1.0, -10), "angstrom", "Å", &["angstrom", "angstroms", "ångström", "ångstrom", "å", "å"]),
    unit("nm", Length, (1.0, -9), "nanometer", "nm", &["nanometer", "nanometers", "nanometre", "nanometres"]),
    unit(
        "um",
        Length,
        (1.0, -6),
        "micrometer",
        "µm",
        &[
            "µm",
            "μm",
            "\\u00b5m",
            "\\u03bcm",
            "micron",
            "microns",
            "micrometer",
            "micrometers",
            "micrometre",
            "micrometres",
        ],
    ),
    unit("mm", Length, (1.0, -3), "millimeter", "mm", &["millimeter", "millimeters", "millimetre", "millimetres"]),
    unit("cm", Length, (1.0, -2), "centimeter", "cm", &["centimeter", "centimeters", "centimetre", "centimetres"]),
    unit("m", Length, (1.0, 0), "meter", "m", &["meter", "meters", "metre", "metres"]),
    unit("km", Length, (1.0, 3), "kilometer", "km", &["kilometer", "kilometers", "kilometre", "kilometres"]),
    unit("ns", Time, (1.0, -9), "nanosecond", "ns", &["nsec", "nanosecond", "nanoseconds"]),
    unit(
        "us",
        Time,
        (1.0, -6),
        "microsecond",
        "µs",
        &["µs", "μs", "\\u00b5s", "\\u03bcs", "usec", "µsec", "μsec", "microsecond", "microseconds"],
    ),
    unit("ms", Time, (1.0, -3), "millisecond", "ms", &["msec", "millisecond", "milliseconds"]),
    unit("s", Time, (1.0, 0), "second", "s", &["sec", "secs", "second", "seconds"]),
    unit("min", Time, (60.0, 0), "minute", "min", &["mins", "minute", "minutes"]),
    unit("h", Time, (3600.0, 0), "hour", "h", &["hr", "hrs", "hour", "hours"]),
    unit("d", Time, (86400.0, 0), "day", "d", &["day", "days"]),
];

/// Words that say there is no unit: the measure is counted in samples.
const COUNTED: [&str; 6] = ["pixel", "pixels", "px", "frame", "frames", "null"];

fn find(canonical: &str) -> Result<&'static Unit, UnitError> {
    UNITS.iter().find(|u| u.name == canonical).ok_or_else(|| UnitError::UnknownUnit { unit: canonical.to_owned() })
}

/// The canonical name of a unit as an instrument or a person writes it: `µm`, `micron` and `\u00B5m` are `um`.
///
/// `Ok(None)` is the unitless measure: an empty text, or a word such as `pixel` or `frames`.
///
/// # Errors
/// [`UnitError::UnknownUnit`] where the text is no length and no time.
pub fn canonical_unit(text: &str) -> Result<Option<&'static str>, UnitError> {
    let text = text.trim();
    let lower = text.to_lowercase();
    if text.is_empty() || COUNTED.contains(&lower.as_str()) {
        return Ok(None);
    }
    UNITS
        .iter()
        .find(|u| u.name == text || u.words.contains(&lower.as_str()))
        .map(|u| Some(u.name))
        .ok_or_else(|| UnitError::UnknownUnit { unit: text.to_owned() })
}

/// What a canonical unit measures.
///
/// # Errors
/// [`UnitError::UnknownUnit`] where `unit` is not a canonical name.
pub fn dimension(unit: &str) -> Result<Dimension, UnitError> {
    find(unit).map(|u| u.dimension)
}

/// `value` in the canonical unit `from`, expressed in the canonical unit `to`.
///
/// # Errors
/// [`UnitError::UnknownUnit`], or [`UnitError::WrongDimension`] where the two do not measure the same.
pub fn convert(value: f64, from: &str, to: &str) -> Result<f64, UnitError> {
    let (a, b) = (find(from)?, find(to)?);
    if a.dimension != b.dimension {
        return Err(UnitError::WrongDimension { unit: from.to_owned(), got: a.dimension, expected: b.dimension });
    }
    let scaled = value * a.mantissa;
    let power = 10f64.powi((a.exponent - b.exponent).abs());
    // 10^n is exact up to n = 22, so one rounding remains on either branch.
    let scaled = if a.exponent >= b.exponent { scaled * power } else { scaled / power };
    Ok(scaled / b.mantissa)
}

/// The name of a canonical unit in OME-NGFF metadata: `um` is `micrometer`, `s` is `second`.
///
/// `None` for anything that NGFF has no word for; it is to be left out of the metadata then.
#[must_use]
pub fn ngff_unit(unit: &str) -> Option<&'static str> {
    find(unit).ok().map(|u| u.ngff)
}

/// The symbol of a canonical unit for plots, such as `µm`; an unknown name stands for itself.
pub(super) fn symbol(name: &str) -> &str {
    find(name).map_or(name, |u| u.pretty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_instruments_have_one_canonical_name() {
        for text in ["um", "µm", "μm", "\\u00B5m", "\\u00b5m", "micron", "Microns", "micrometer", "Micrometre", " um "]
        {
            assert_eq!(canonical_unit(text), Ok(Some("um")), "{text}");
        }
        for text in ["s", "sec", "Seconds", "second"] {
            assert_eq!(canonical_unit(text), Ok(Some("s")), "{text}");
        }
        for text in ["Å", "\u{212b}", "angstrom", "Angstrom"] {
            assert_eq!(canonical_unit(text), Ok(Some("angstrom")), "{text}");
        }
        for text in ["", "pixel", "Pixels", "px", "frames"] {
            assert_eq!(canonical_unit(text), Ok(None), "{text}");
        }
        assert_eq!(canonical_unit("Mm"), Err(UnitError::UnknownUnit { unit: "Mm".into() }));
        assert!(canonical_unit("furlong").is_err());
    }

    #[test]
    fn every_unit_is_named_in_the_error_and_in_ngff() {
        let known: Vec<&str> = KNOWN.split(", ").collect();
        assert_eq!(known, UNITS.iter().map(|u| u.name).collect::<Vec<_>>());
        for u in &UNITS {
            assert_eq!(canonical_unit(u.name), Ok(Some(u.name)));
            assert_eq!(canonical_unit(u.ngff), Ok(Some(u.name)));
            assert_eq!(canonical_unit(u.pretty), Ok(Some(u.name)));
            assert!(u.words.iter().all(|w| w.to_lowercase() == **w), "{}", u.name);
        }
        assert_eq!(ngff_unit("um"), Some("micrometer"));
        assert_eq!(ngff_unit("pixel"), None);
    }

    #[test]
    fn decimal_conversions_are_correctly_rounded() {
        assert_eq!(convert(100.0, "nm", "um"), Ok(0.1));
        assert_eq!(convert(0.1, "um", "nm"), Ok(100.0));
        assert_eq!(convert(2.0, "min", "s"), Ok(120.0));
        assert_eq!(convert(1.0, "d", "h"), Ok(24.0));
        assert_eq!(convert(250.0, "ms", "s"), Ok(0.25));
        assert!(matches!(convert(1.0, "s", "um"), Err(UnitError::WrongDimension { .. })));
        assert!(matches!(convert(1.0, "parsec", "um"), Err(UnitError::UnknownUnit { .. })));
    }
}
