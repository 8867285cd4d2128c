//! Memory of the programs' own, written in whole words.

/// IPv4 (network order) in its IPv6-mapped form.
#[inline(always)]
pub(crate) fn map_v4(address: u32, into: &mut [u8; 16]) {
    const _: () = assert!(cfg!(target_endian = "little"), "the prefix's two bytes of ones come before the address");
    let words: *mut u64 = (&raw mut *into).cast();
    // SAFETY: 16 bytes, 8-aligned in every caller's key or record.
    unsafe {
        words.write_volatile(0);
        words.add(1).write_volatile(u64::from(address) << 32 | 0xffff_0000);
    }
}

/// Copies an address in two words: the compiler would call a function that copies byte by byte.
#[inline(always)]
pub(crate) fn copy_address(from: &[u8; 16], into: &mut [u8; 16]) {
    let (from, into): (*const u64, *mut u64) = ((&raw const *from).cast(), (&raw mut *into).cast());
    // SAFETY: 16 bytes, 8-aligned in every caller's key or record.
    unsafe {
        into.write_volatile(from.read_volatile());
        into.add(1).write_volatile(from.add(1).read_volatile());
    }
}

/// Zeroes a value of whole words, for the same reason word by word.
#[inline(always)]
pub(crate) fn clear<T>(value: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    clear_words(value.cast(), size_of::<T>() / 8);
}

/// Zeroes `n` words.
#[inline(always)]
pub(crate) fn clear_words(words: *mut u64, n: usize) {
    let mut word = 0;
    while word < n {
        // SAFETY: inside the value; callers pass plain integers.
        unsafe { words.add(word).write_volatile(0) };
        word += 1;
    }
}
