//! The required parts of an alert, as types that cannot be made without their contents.
//!
//! "Error rate increased" lacks the amount, the baseline, the place to look and the impact. Here none can be left out: `What` is
//! made of evidence with a baseline, `Where` of a place and a command, `Why` of a number, and `Report` of all of them,
//! three pieces of evidence, an origin and a cause ruled out.
//!
//! The limits on the lengths of phrases are choices: with them the text of a typical alert fits into `alert::MAX_TEXT`.

use std::{fmt, net::SocketAddr};

use crate::report::defect::{Defect, words};
use crate::report::{
    evidence::Evidence,
    quantity::{Measure, Quantity},
};
use weir_engine::{Owner, Process, Service, Short};

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts! {
    /// What is wrong: how much, of what, compared with which baseline.
    What
    /// Where to look, and with which command.
    Where
    /// The impact on callers.
    Why
    /// A cause ruled out, with the number that rules it out.
    RuledOut
}

impl What {
    /// "100% of connects fail: refused (50 in 5 s, normal 0%)".
    ///
    /// # Errors
    /// When the phrase is empty or too long, or the evidence has no baseline.
    pub fn new(measured: &Evidence, phrase: &str) -> Result<Self, Defect> {
        let phrase = words(phrase, 100)?;
        let compared = measured.compared().ok_or(Defect::NoBaseline)?;
        let window = Quantity::new(measured.window_s(), Measure::Seconds)?;
        Ok(Self(format!("{} {phrase} ({} in {window}, {compared})", measured.quantity(), measured.n())))
    }
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and port.
    Address(SocketAddr),
    /// A process on this host.
    Process {
        /// Its name.
        name: String,
        /// Its id.
        pid: u32,
    },
    /// A service of which no process or address is known.
    Service(Service),
    /// A file of the kernel or of a cgroup.
    File(String),
}

impl Place {
    /// A process whose program is known.
    pub fn of(process: &Process) -> Self {
        Self::Process { name: process.name().to_owned(), pid: process.pid }
    }
}

impl From<&Owner> for Place {
    /// A process of which only the name of its first thread is known.
    fn from(owner: &Owner) -> Self {
        Self::Process { name: owner.comm.to_string(), pid: owner.pid }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Process { name, pid } => write!(f, "{} (pid {pid})", Short(name)),
            Self::Service(service) => write!(f, "{service}"),
            Self::File(path) => write!(f, "{}", Short(path)),
        }
    }
}

impl Where {
    /// "what listens at 10.0.0.2:6379: ss -ltnp 'sport = :6379'".
    ///
    /// # Errors
    /// When the phrase or the command is empty or too long.
    pub fn new(phrase: &str, place: &Place, command: &str) -> Result<Self, Defect> {
        Ok(Self(format!("{} {place}: {}", words(phrase, 60)?, words(command, 60)?)))
    }
}

impl Why {
    /// "10 calls/s of app are lost".
    ///
    /// # Errors
    /// When the phrase is empty or too long.
    pub fn new(cost: Quantity, phrase: &str) -> Result<Self, Defect> {
        Ok(Self(format!("{cost} {}", words(phrase, 130)?)))
    }
}

impl RuledOut {
    /// "the network: 0 segments retransmitted".
    ///
    /// # Errors
    /// When the cause or the phrase is empty or too long.
    pub fn new(cause: &str, seen: Quantity, phrase: &str) -> Result<Self, Defect> {
        Ok(Self(format!("{}: {seen} {}", words(cause, 40)?, words(phrase, 60)?)))
    }
}

/// Confidence, 0 to 1: a judgement of the signal's author by class, not a computed probability.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Confidence(f64);

impl Confidence {
    /// Clamped to 0 and 1.
    ///
    /// # Errors
    /// When it is NaN.
    pub fn new(value: f64) -> Result<Self, Defect> {
        if value.is_nan() { Err(Defect::NotANumber) } else { Ok(Self(value.clamp(0.0, 1.0))) }
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// The suspected origin of a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// A service, process or edge.
    pub node: String,
    /// Confidence in it.
    pub confidence: Confidence,
}

impl Origin {
    /// A suspected origin.
    ///
    /// # Errors
    /// When its name is empty or too long.
    pub fn new(node: &impl fmt::Display, confidence: Confidence) -> Result<Self, Defect> {
        let node = node.to_string();
        // An address has no letter in it.
        if !node.chars().any(char::is_alphanumeric) {
            return Err(Defect::NoWords);
        }
        if node.chars().count() > 80 { Err(Defect::TooManyWords) } else { Ok(Self { node, confidence }) }
    }
}

#[cfg(test)]
mod tests;
