//! The masking of RFC 6455 section 5.3.

/// Removes (or applies) `mask`, whose first byte belongs to the first byte of `bytes`.
pub(crate) fn apply(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn equals_the_definition_for_every_short_length() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        for len in 0..70_usize {
            let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]).collect();
            let mut masked = plain.clone();
            apply(&mut masked, mask);
            assert_eq!(masked, expected, "length {len}");
        }
    }
}
