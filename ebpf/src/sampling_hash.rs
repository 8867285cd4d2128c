//! The choice of sampled sockets by their addresses.

/// Whether the socket at this address (or at this distance from a fixed one) is in the sample of one in `1 << shift`. Samples are
/// nested: a member of a smaller one is in every larger one.
///
/// Addresses are multiples of a slab object's size, so they are mixed first (two rounds of xor, shift and multiplication,
/// as in MurmurHash3's finalizer); the sample is then the values with `shift` leading zeroes.
#[inline(always)]
pub fn in_sample(address: u64, shift: u32) -> bool {
    let mut mixed = address ^ (address >> 33);
    mixed = mixed.wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^= mixed >> 33;
    mixed = mixed.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed.wrapping_shr(64u32.wrapping_sub(shift)) == 0 || shift == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of `n` objects of `size` bytes from `base` on are in the sample.
    fn sampled(base: u64, size: u64, n: u64, shift: u32) -> u64 {
        (0..n).filter(|i| in_sample(base.wrapping_add(i * size), shift)).count() as u64
    }

    #[test]
    fn shift_0_samples_all() {
        assert_eq!(sampled(0xffff_8881_0000_0000, 2304, 1000, 0), 1000);
    }

    #[test]
    fn no_size_of_object_is_favoured() {
        // Sizes that slabs have, on sizes that tables have.
        for size in [64, 1024, 2048, 2304, 2368, 2432, 4096, 65_536] {
            for shift in [2, 4, 6] {
                let n = 40_000u64;
                let expected = (n >> shift) as f64;
                // Five standard deviations of a binomial.
                let allowed = 5.0 * expected.sqrt();
                let actual = sampled(0xffff_8881_2345_0000, size, n, shift) as f64;
                assert!(
                    (actual - expected).abs() < allowed,
                    "{actual} of {n} objects of {size} bytes at shift {shift}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn samples_are_nested(address: u64, shift in 0u32..32) {
            prop_assert!(!in_sample(address, shift + 1) || in_sample(address, shift));
        }

        #[test]
        fn wherever_the_objects_lie_the_share_is_right(base: u64, shift in 1u32..7) {
            let expected = (20_000u64 >> shift) as f64;
            let actual = sampled(base & !63, 2304, 20_000, shift) as f64;
            prop_assert!((actual - expected).abs() < 6.0 * expected.sqrt(), "{actual} for {expected}");
        }
    }
}
