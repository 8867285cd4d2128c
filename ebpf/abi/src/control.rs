//! What user space may change while the programs run.

/// The one value of the `CONTROL` map. User space replaces it as a whole; a program that reads it meanwhile may see some fields
/// of the old value, which the epoch makes harmless.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The data hooks observe one socket in `1 << sampling_shift`.
    pub sampling_shift: u32,
    /// Changes with the shift: a socket's record of a conversation of another epoch is stale. Records store its low half.
    pub sampling_epoch: u32,
    /// Monotonic time of the last change, nanoseconds.
    pub sampling_since_ns: u64,
    /// Maximum number of sockets with a record.
    pub max_sockets: u32,
    #[doc(hidden)]
    pub _pad: u32,
}

const _: () = assert!(size_of::<Control>() == 24, "a map value has no implicit padding");
