//! What an alert must say, as types that cannot be made without it.
//!
//! "Error rate increased" says neither how much, nor against what, nor where to look, nor whom it hurts. None of it can be
//! left out here: `What` is made of a piece of evidence with its baseline, `Where` of a place and a command, `Why` of a
//! number, and `Report` of all of them, three pieces of evidence, an origin and something ruled out.

use std::{fmt, net::SocketAddr};

use crate::report::{
    evidence::Evidence,
    quantity::{Measure, Quantity},
};
use weir_engine::{Owner, Process, Service, Short};

/// Why something cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Defect {
    /// A value that is NaN, infinite, or of nothing.
    NotANumber,
    /// A number without a unit.
    NoUnit,
    /// Words without a letter.
    NoWords,
    /// Words beyond what fits.
    TooManyWords,
    /// A value of no events, or in no time.
    NoSample,
    /// What is said to be abnormal is compared with nothing.
    NoBaseline,
    /// The same evidence twice.
    SameEvidence,
    /// More than a terminal takes (`alert::MAX_TEXT`).
    TooLong,
}

impl Defect {
    /// Every defect, in order.
    pub const ALL: [Self; 8] = [
        Self::NotANumber,
        Self::NoUnit,
        Self::NoWords,
        Self::TooManyWords,
        Self::NoSample,
        Self::NoBaseline,
        Self::SameEvidence,
        Self::TooLong,
    ];

    /// As a phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotANumber => "a value is no number",
            Self::NoUnit => "a number has no unit",
            Self::NoWords => "words are missing",
            Self::TooManyWords => "a phrase is too long",
            Self::NoSample => "a value is of no events or no time",
            Self::NoBaseline => "nothing says what is normal",
            Self::SameEvidence => "the same evidence twice",
            Self::TooLong => "the text is too long",
        }
    }
}

/// Words with a letter in them, on one line, no longer than fits.
pub(crate) fn words(text: &str, max: usize) -> Result<String, Defect> {
    let text: String = text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if !text.chars().any(char::is_alphabetic) {
        return Err(Defect::NoWords);
    }
    if text.chars().count() > max { Err(Defect::TooManyWords) } else { Ok(text) }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// As it is read.
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
    /// What is the matter: how much, of what, against what is normal.
    What
    /// Where to look, and with which command.
    Where
    /// What it costs those who depend on it.
    Why
    /// What it is not, and how that is known.
    RuledOut
}

impl What {
    /// "100% of connects fail: refused (50 in 5 s, normal 0%)".
    ///
    /// # Errors
    /// When there are no words, too many, or nothing to compare with.
    pub fn new(measured: &Evidence, phrase: &str) -> Result<Self, Defect> {
        let phrase = words(phrase, 100)?;
        let compared = measured.compared().ok_or(Defect::NoBaseline)?;
        let window = Quantity::new(measured.window_s(), Measure::Seconds)?;
        Ok(Self(format!("{} {phrase} ({} in {window}, {compared})", measured.quantity(), measured.n())))
    }
}

/// Something that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and port.
    Address(SocketAddr),
    /// A process of this host.
    Process {
        /// Its name.
        name: String,
        /// Its id.
        pid: u32,
    },
    /// A service whose processes and addresses are not known (any more).
    Service(Service),
    /// A file of the kernel's, or of a cgroup.
    File(String),
}

impl Place {
    /// A process of which weir knows the program.
    pub fn of(process: &Process) -> Self {
        Self::Process { name: process.name().to_owned(), pid: process.pid }
    }
}

impl From<&Owner> for Place {
    /// A process of which no more is known than the name of its first thread.
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
    /// When phrase or command are missing or too long.
    pub fn new(phrase: &str, place: &Place, command: &str) -> Result<Self, Defect> {
        Ok(Self(format!("{} {place}: {}", words(phrase, 60)?, words(command, 60)?)))
    }
}

impl Why {
    /// "10 calls/s of app are lost".
    ///
    /// # Errors
    /// When there are no words, or too many.
    pub fn new(cost: Quantity, phrase: &str) -> Result<Self, Defect> {
        Ok(Self(format!("{cost} {}", words(phrase, 130)?)))
    }
}

impl RuledOut {
    /// "the network: 0 segments sent again".
    ///
    /// # Errors
    /// When there are no words, or too many.
    pub fn new(cause: &str, seen: Quantity, phrase: &str) -> Result<Self, Defect> {
        Ok(Self(format!("{}: {seen} {}", words(cause, 40)?, words(phrase, 60)?)))
    }
}

/// How sure: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Confidence(f64);

impl Confidence {
    /// Kept within 0 and 1.
    ///
    /// # Errors
    /// When it is no number.
    pub fn new(value: f64) -> Result<Self, Defect> {
        if value.is_nan() { Err(Defect::NotANumber) } else { Ok(Self(value.clamp(0.0, 1.0))) }
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// Where it is thought to come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// A service, process or edge.
    pub node: String,
    /// How sure.
    pub confidence: Confidence,
}

impl Origin {
    /// A suspect.
    ///
    /// # Errors
    /// When it has no name, or too long a one.
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
