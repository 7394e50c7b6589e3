//! Hexadecimal text.

/// Two lower-case digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)]));
    bytes.iter().flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_have_two_digits() {
        assert_eq!(super::hex(&[0, 1, 0x9a, 0xff]), "00019aff");
        assert_eq!(super::hex(&[]), "");
    }
}
