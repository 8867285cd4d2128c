//! Enums whose variants index an array of counters in a record.

/// Declares such an enum and the number of its variants. The index, the name and `ALL` come from one list, so that they cannot
/// disagree; a gap or a permutation in the indices does not compile.
macro_rules! indexed {
    (
        $(#[$enum_attribute:meta])*
        $enum:ident,
        $(#[$count_attribute:meta])*
        $count:ident,
        $($(#[$variant_attribute:meta])* $variant:ident = $index:literal => $name:literal,)*
    ) => {
        $(#[$enum_attribute])*
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[$variant_attribute])* $variant = $index,)*
        }

        $(#[$count_attribute])*
        pub const $count: usize = [$($name),*].len();

        impl $enum {
            /// Every variant, in index order.
            pub const ALL: [Self; $count] = [$(Self::$variant),*];

            /// The position in arrays of counters.
            #[inline(always)]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The variant at an index, as a record or an event has it; none beyond the last.
            pub const fn from_index(index: usize) -> Option<Self> {
                if index < $count { Some(Self::ALL[index]) } else { None }
            }

            /// The name in JSON and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        const _: () = {
            let mut index = 0;
            while index < $count {
                assert!($enum::ALL[index].index() == index, "variants are in index order, without a gap");
                index += 1;
            }
        };
    };
}
pub(crate) use indexed;
