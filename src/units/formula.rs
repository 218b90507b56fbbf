//! Units of outputs as formulas of the units of inputs: `y^2/t`.

use core::fmt;
use core::str::FromStr;

use super::UnitError;
use super::table::symbol;

/// The axes of a recording: a formula that uses one without a unit has no unit.
const AXES: [&str; 3] = ["t", "y", "x"];

/// A product of integer powers of axis and input names, such as `y^2/t` or `m*y^2/u`.
///
/// As text: names joined by `*`, a space or `/`, each with an optional power (`y^-4`), `1` as an empty
/// numerator and parentheses where wanted; `/` divides by the next factor only, so `a/b*c` is (a/b)c. The
/// empty text is the pure number. A name is letters, digits and `_`, or anything in square brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFormula {
    /// Each name once with a power that is not zero: the numerator's in order of appearance, then the others.
    factors: Vec<(String, i32)>,
}

impl UnitFormula {
    /// Names and powers, positive powers first, each in order of appearance; none is zero.
    pub fn factors(&self) -> impl Iterator<Item = (&str, i32)> {
        self.factors.iter().map(|(name, power)| (name.as_str(), *power))
    }

    /// The canonical unit that the formula gives: `y^2/t` with `um` and `s` is `um^2/s`.
    ///
    /// `units` gives the unit of a name. For an axis (`t`, `y`, `x`) `None` means that the recording is
    /// unitless. For any other name `None` means that nobody stated the unit, which is then named in brackets, as in
    /// `[unit of m]*um^2/[unit of u]` (a bare `[m]` would read as metres); `Some` of an empty text is a pure number. A
    /// stated unit may itself be a product of powers; one that cannot be read as such is left in brackets as it is.
    ///
    /// `None` is a number without unit: an axis that the formula uses has none, or everything cancels.
    pub fn render(&self, units: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut product = Self::default();
        for (name, power) in &self.factors {
            let unit = match units(name) {
                None if AXES.contains(&name.as_str()) => return None,
                None => Self::atom(format!("[unit of {name}]")),
                Some(text) => text.parse().unwrap_or_else(|_| Self::atom(format!("[{text}]"))),
            };
            for (name, inner) in unit.factors {
                product.multiply(name, inner.saturating_mul(*power));
            }
        }
        product.normalise();
        (!product.factors.is_empty()).then(|| product.to_string())
    }

    fn atom(name: String) -> Self {
        Self { factors: vec![(name, 1)] }
    }

    fn normalise(&mut self) {
        self.factors.retain(|(_, power)| *power != 0);
        self.factors.sort_by_key(|(_, power)| *power < 0);
    }

    fn multiply(&mut self, name: String, power: i32) {
        match self.factors.iter_mut().find(|(n, _)| *n == name) {
            Some((_, p)) => *p = p.saturating_add(power),
            None => self.factors.push((name, power)),
        }
    }

    /// The formula as text, with `write_factor` for each factor (name, positive power) and `times` between.
    fn write(&self, times: &str, factor: impl Fn(&str, u32) -> String) -> String {
        let part = |sign: i32| -> Vec<String> {
            let of_sign = self.factors.iter().filter(|(_, p)| p.signum() == sign);
            of_sign.map(|(name, p)| factor(name, p.unsigned_abs())).collect()
        };
        let (above, below) = (part(1), part(-1));
        let top = if above.is_empty() && !below.is_empty() { "1".to_owned() } else { above.join(times) };
        match below.len() {
            0 => top,
            1 => format!("{top}/{}", below[0]),
            _ => format!("{top}/({})", below.join(times)),
        }
    }
}

/// Canonical text: `um^2/s`, `1/(u*t)`, `[unit of m]*um^2`; empty for the pure number.
impl fmt::Display for UnitFormula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.write("*", |name, power| match power {
            1 => name.to_owned(),
            _ => format!("{name}^{power}"),
        });
        f.write_str(&text)
    }
}

impl FromStr for UnitFormula {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut parser = Parser { text, rest: text.trim_start(), product: Self::default() };
        if !parser.rest.is_empty() {
            parser.product(1, 0)?;
            if !parser.rest.is_empty() {
                return Err(parser.error("expected `*`, `/` or the end"));
            }
        }
        let mut product = parser.product;
        product.normalise();
        Ok(product)
    }
}

/// A canonical unit for plots: `um^2/s` is `µm²/s`, `[unit of m]*um^2` is `[unit of m]·µm²`.
///
/// Every character is in Latin-1, so that plain bitmap fonts have it; that is why powers above 3 stay `^4`. A
/// text that is not a product of powers is given back as it is.
#[must_use]
pub fn pretty_unit(unit: &str) -> String {
    let Ok(formula) = unit.parse::<UnitFormula>() else {
        return unit.to_owned();
    };
    formula.write("·", |name, power| match power {
        1 => symbol(name).to_owned(),
        2 => format!("{}²", symbol(name)),
        3 => format!("{}³", symbol(name)),
        _ => format!("{}^{power}", symbol(name)),
    })
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    product: UnitFormula,
}

/// Deeper parentheses than anybody writes; a bound keeps hostile metadata from exhausting the stack.
const MAX_DEPTH: usize = 8;
/// Larger powers than any unit has.
const MAX_POWER: i32 = 99;

impl<'a> Parser<'a> {
    fn error(&self, reason: &'static str) -> UnitError {
        UnitError::BadFormula { formula: self.text.to_owned(), at: self.rest.to_owned(), reason }
    }

    fn eat(&mut self, token: char) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// factor (('*' | '/' | space) factor)*
    fn product(&mut self, sign: i32, depth: usize) -> Result<(), UnitError> {
        self.factor(sign, depth)?;
        while !self.rest.is_empty() && !self.rest.starts_with(')') {
            let factor_sign = if self.eat('/') { -sign } else { sign };
            if factor_sign == sign {
                // A space multiplies too; it was skipped with the factor before it.
                let _ = self.eat('*') || self.eat('·');
            }
            self.factor(factor_sign, depth)?;
        }
        Ok(())
    }

    fn factor(&mut self, sign: i32, depth: usize) -> Result<(), UnitError> {
        if self.eat('(') {
            if depth == MAX_DEPTH {
                return Err(self.error("too many parentheses"));
            }
            self.product(sign, depth + 1)?;
            if !self.eat(')') {
                return Err(self.error("expected `)`"));
            }
            return Ok(());
        }
        if self.eat('1') {
            return Ok(());
        }
        let name = self.name()?;
        let power = if self.eat('^') { self.power()? } else { 1 };
        self.product.multiply(name.to_owned(), sign * power);
        Ok(())
    }

    fn name(&mut self) -> Result<&'a str, UnitError> {
        let length = if self.rest.starts_with('[') {
            self.rest.find(']').map_or(0, |end| end + 1)
        } else if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            0
        } else {
            let end = |c: char| !(c.is_alphanumeric() || c == '_');
            self.rest.find(end).unwrap_or(self.rest.len())
        };
        if length == 0 {
            return Err(self.error("expected a name"));
        }
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest.trim_start();
        Ok(name)
    }

    fn power(&mut self) -> Result<i32, UnitError> {
        let sign = self.rest.starts_with(['-', '+']);
        let digits = self.rest[usize::from(sign)..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(usize::from(sign) + digits);
        match number.parse::<i32>() {
            Ok(power) if power.abs() <= MAX_POWER => {
                self.rest = rest.trim_start();
                Ok(power)
            }
            _ => Err(self.error("expected a whole number from -99 to 99")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn microscope(name: &str) -> Option<String> {
        match name {
            "y" | "x" => Some("um".into()),
            "t" => Some("s".into()),
            _ => None,
        }
    }

    fn render(formula: &str, units: impl Fn(&str) -> Option<String>) -> Option<String> {
        formula.parse::<UnitFormula>().expect(formula).render(units)
    }

    #[test]
    fn formulas_have_one_canonical_text() {
        for (text, canonical) in [
            ("y^2/t", "y^2/t"),
            ("m*y^2/u", "m*y^2/u"),
            ("1/t", "1/t"),
            ("y^-4", "1/y^4"),
            ("y y / t", "y^2/t"),
            ("1/(t*u)", "1/(t*u)"),
            ("a/b/c", "a/(b*c)"),
            ("a/b*c", "a*c/b"),
            ("t/t", ""),
            ("", ""),
            ("1", ""),
            ("[photon count]^2/um", "[photon count]^2/um"),
        ] {
            let formula: UnitFormula = text.parse().expect(text);
            assert_eq!(formula.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(formula), "{text}");
        }
    }

    #[test]
    fn units_of_outputs_follow_from_those_of_inputs() {
        assert_eq!(render("y^2/t", microscope).as_deref(), Some("um^2/s"));
        assert_eq!(render("1/t", microscope).as_deref(), Some("1/s"));
        assert_eq!(render("y^-4", microscope).as_deref(), Some("1/um^4"));
        assert_eq!(render("y/x", microscope), None);
        assert_eq!(render("y*x", microscope).as_deref(), Some("um^2"));
        assert_eq!(render("m*y^2/u", microscope).as_deref(), Some("[unit of m]*um^2/[unit of u]"));
        assert_eq!(render("", microscope), None);
    }

    #[test]
    fn stated_units_of_fields_are_multiplied_in() {
        let units = |name: &str| match name {
            "m" => Some("K/s".to_owned()),
            "u" => Some("K".to_owned()),
            "c" => Some(String::new()),
            "w" => Some("100 % of it".to_owned()),
            _ => microscope(name),
        };
        assert_eq!(render("m*y^2/u", units).as_deref(), Some("um^2/s"));
        assert_eq!(render("m^2/c", units).as_deref(), Some("K^2/s^2"));
        assert_eq!(render("w/t", units).as_deref(), Some("[100 % of it]/s"));
    }

    #[test]
    fn a_unitless_recording_has_unitless_outputs() {
        assert_eq!(render("y^2/t", |_| None), None);
        assert_eq!(render("m*y^2/u", |_| None), None);
        assert_eq!(render("m/u", |_| None).as_deref(), Some("[unit of m]/[unit of u]"));
    }

    #[test]
    fn plots_show_symbols() {
        assert_eq!(pretty_unit("um^2/s"), "µm²/s");
        assert_eq!(pretty_unit("[unit of m]*um^2/[unit of u]"), "[unit of m]·µm²/[unit of u]");
        assert_eq!(pretty_unit("1/um^4"), "1/µm^4");
        assert_eq!(pretty_unit("angstrom^3"), "Å³");
        assert_eq!(pretty_unit("us"), "µs");
        assert_eq!(pretty_unit("100 %"), "100 %");
        assert_eq!(pretty_unit(""), "");
    }

    #[test]
    fn a_wrong_formula_says_where() {
        let message = |text: &str| text.parse::<UnitFormula>().expect_err(text).to_string();
        assert_eq!(message("y^"), "unit formula `y^`, at ``: expected a whole number from -99 to 99");
        assert_eq!(message("y*/t"), "unit formula `y*/t`, at `/t`: expected a name");
        assert_eq!(message("(y"), "unit formula `(y`, at ``: expected `)`");
        assert_eq!(message("y)"), "unit formula `y)`, at `)`: expected `*`, `/` or the end");
        assert_eq!(message("y^999"), "unit formula `y^999`, at `999`: expected a whole number from -99 to 99");
        assert!(message(&"(".repeat(50)).contains("too many parentheses"));
        assert!(message("[u").contains("expected a name"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_canonical_text_reads_back(text in "[a-c\\[\\]()/*^0-9 -]{0,24}") {
            if let Ok(formula) = text.parse::<UnitFormula>() {
                prop_assert_eq!(formula.to_string().parse(), Ok(formula));
            }
            let _ = pretty_unit(&text);
        }
    }
}
