//! Names and comments that fit into what nf_tables and nft take.

/// A name of at most so many bytes: a longer one is cut, and ended with a hash of the whole, so that two of them stay
/// different.
pub(crate) fn shorten(whole: String, max: usize) -> String {
    if whole.len() <= max {
        return whole;
    }
    let hash = format!("_{:016x}", fnv1a(whole.as_bytes()));
    let mut cut = whole;
    let mut end = max.saturating_sub(hash.len());
    while !cut.is_char_boundary(end) {
        end -= 1;
    }
    cut.truncate(end);
    cut + &hash
}

/// FNV-1a, 64 bits: stable over versions and machines, which the standard library's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
