//! Numbers that speak for an incident.

use std::fmt;

use crate::report::{
    contract::{Defect, words},
    quantity::Quantity,
};

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compared {
    /// What this unit has been seen to do.
    Learned(f64),
    /// What any unit does that is well, where none was learned.
    Expected(f64),
    /// The most that is well.
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

/// A number that speaks for an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    name: &'static str,
    quantity: Quantity,
    baseline: Option<Compared>,
    window_ns: u64,
    n: u64,
}

impl Evidence {
    /// Characters of a name.
    const MAX_NAME: usize = 32;

    /// A value of so many events in a window.
    ///
    /// # Errors
    /// When value or baseline is no number, the name says nothing, or the value is of no events or no time.
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

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How much.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// What is normal.
    pub fn baseline(&self) -> Option<Compared> {
        self.baseline
    }

    /// Length of the window that it is of, seconds.
    pub fn window_s(&self) -> f64 {
        self.window_ns as f64 / 1e9
    }

    /// Events that it is of.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// "normal 0%", if that is known.
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
