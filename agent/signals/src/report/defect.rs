//! Why a part of a report cannot be made.

/// Why a part of an alert is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Defect {
    /// A value that is NaN or infinite.
    NotANumber,
    /// A number without a unit.
    NoUnit,
    /// A phrase without a letter.
    NoWords,
    /// A phrase that is too long.
    TooManyWords,
    /// A value of no events, or of a window without length.
    NoSample,
    /// A value without a baseline where one is required.
    NoBaseline,
    /// Two pieces of evidence with the same name.
    SameEvidence,
    /// A text longer than `alert::MAX_TEXT`.
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

    /// The reason, as a phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotANumber => "a value is not finite",
            Self::NoUnit => "a number has no unit",
            Self::NoWords => "a phrase is missing",
            Self::TooManyWords => "a phrase is too long",
            Self::NoSample => "a value is of no events or no time",
            Self::NoBaseline => "a baseline is missing",
            Self::SameEvidence => "the same evidence twice",
            Self::TooLong => "the text is too long",
        }
    }
}

/// A phrase of at most `max` characters with a letter in it. Control characters are replaced: names come from processes and
/// must not drive a terminal.
pub(crate) fn words(text: &str, max: usize) -> Result<String, Defect> {
    let text: String = text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if !text.chars().any(char::is_alphabetic) {
        return Err(Defect::NoWords);
    }
    if text.chars().count() > max { Err(Defect::TooManyWords) } else { Ok(text) }
}
