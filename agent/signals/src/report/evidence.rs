//! Evidence: measured values with a name, a unit, a window and a baseline.

use std::fmt;

use crate::report::{
    defect::{Defect, words},
    quantity::Quantity,
};

/// The baseline that a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compared {
    /// Learned for this subject.
    Learned(f64),
    /// Expected of any healthy subject, where none was learned.
    Expected(f64),
    /// The most that is healthy.
    AtMost(f64),
}

impl Compared {
    /// The number.
    pub fn value(self) -> f64 {
        let (Self::Learned(value) | Self::Expected(value) | Self::AtMost(value)) = self;
        value
    }

    fn adjective(self) -> &'static str {
        match self {
            Self::Learned(_) => "normal",
            Self::Expected(_) => "expected",
            Self::AtMost(_) => "at most",
        }
    }
}

/// A measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    name: &'static str,
    quantity: Quantity,
    baseline: Option<Compared>,
    window_ns: u64,
    n: u64,
}

impl Evidence {
    /// Most characters of a name. A choice, as in `contract`.
    const MAX_NAME: usize = 32;

    /// A value of `n` events in a window.
    ///
    /// # Errors
    /// When the value or the baseline is not finite, the name is empty or too long, or there are no events or no time.
    pub fn new(
        name: &'static str,
        quantity: Quantity,
        baseline: Option<Compared>,
        window_ns: u64,
        n: u64,
    ) -> Result<Self, Defect> {
        words(name, Self::MAX_NAME)?;
        if let Some(baseline) = baseline {
            Quantity::new(baseline.value(), quantity.measure())?;
        }
        if window_ns == 0 || n == 0 {
            return Err(Defect::NoSample);
        }
        Ok(Self { name, quantity, baseline, window_ns, n })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value with its unit.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// What it is compared with.
    pub fn baseline(&self) -> Option<Compared> {
        self.baseline
    }

    /// Length of its window, seconds.
    pub fn window_s(&self) -> f64 {
        self.window_ns as f64 / 1e9
    }

    /// Number of events in it.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// "normal 0%", if there is a baseline.
    pub(crate) fn compared(&self) -> Option<String> {
        let baseline = self.baseline?;
        let value = Quantity::new(baseline.value(), self.quantity.measure()).ok()?;
        Some(format!("{} {value}", baseline.adjective()))
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.quantity)?;
        self.compared().map_or(Ok(()), |compared| write!(f, " ({compared})"))
    }
}
