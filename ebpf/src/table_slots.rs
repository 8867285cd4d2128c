//! The slots of the table in which a socket's record may be.

/// Slots of the table: 2 MiB. With half as many connections nearly all records are here; with more, records that find no slot are
/// elsewhere, and slower (see `SPILLED`).
pub const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;
/// Slots in which a socket's record may be, from its home on. In a half-full table, one socket in twenty finds all of them
/// taken.
pub const REACH: usize = 4;

/// The first slot to look at. `tag` stands for the socket's address.
#[inline(always)]
pub fn home(tag: u64) -> usize {
    // Fibonacci hashing: the golden ratio's bits spread the addresses of one slab.
    (tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOT_BITS)) as usize
}

/// The `step`th slot to look at.
#[inline(always)]
pub fn neighbour(home: usize, step: usize) -> usize {
    (home + step) & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `n` sockets, allocated by a slab of 4-page groups as the kernel's are, find no slot in reach.
    fn spilled(n: usize, size: u64, per_slab: u64) -> usize {
        let mut taken = vec![false; SLOTS];
        let mut state = 1u64;
        let mut spilled = 0;
        for i in 0..n as u64 {
            if i % per_slab == 0 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            }
            // 32 KiB slabs anywhere in 64 GiB.
            let address = 0xffff_8880_0000_0000 + (state >> 43) * 32768 + i % per_slab * size;
            let home = home(address.wrapping_sub(0xffff_c900_0123_4560));
            match (0..REACH).map(|step| neighbour(home, step)).find(|&slot| !taken[slot]) {
                Some(slot) => taken[slot] = true,
                None => spilled += 1,
            }
        }
        spilled
    }

    #[test]
    fn few_spill_while_the_table_is_half_full() {
        for (size, per_slab) in [(2240, 14), (2432, 13), (2368, 13)] {
            assert!(
                spilled(SLOTS / 4, size, per_slab) < SLOTS / 4 / 50,
                "a quarter: {}",
                spilled(SLOTS / 4, size, per_slab)
            );
            assert!(
                spilled(SLOTS / 2, size, per_slab) < SLOTS / 2 / 15,
                "half: {}",
                spilled(SLOTS / 2, size, per_slab)
            );
        }
    }

    #[test]
    fn neighbours_stay_in_the_table() {
        assert_eq!(neighbour(SLOTS - 1, 3), 2);
        assert!((0..1000u64).all(|i| home(i.wrapping_mul(0x1234_5678_9abc_def1)) < SLOTS));
    }
}
