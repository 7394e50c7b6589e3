use std::io::Write as _;

use flate2::write::GzEncoder;
use http::HeaderValue;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

/// What an answer becomes when it comes in pieces of this size, and the largest step.
fn decoded(encoding: Encoding, bytes: &[u8], size: usize) -> io::Result<(Vec<u8>, usize, bool)> {
    let mut decoder = Decoder::new(encoding)?;
    let (mut all, mut largest) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        decoder.feed(Bytes::copy_from_slice(piece));
        while let Some(step) = decoder.next()? {
            largest = largest.max(step.len());
            all.extend_from_slice(&step);
        }
    }
    Ok((all, largest, decoder.is_whole()))
}

fn text() -> Vec<u8> {
    (0..40_000)
        .flat_map(|n: u32| format!("{} line {n}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect()
}

#[test]
fn both_encodings_come_back_whatever_the_pieces() {
    let text = text();
    for (encoding, bytes) in [(Encoding::Gzip, gzip(&text)), (Encoding::Zstd, zstd(&text))] {
        for size in [1, 7, 1_000, bytes.len()] {
            let (all, largest, whole) = decoded(encoding, &bytes, size).unwrap();
            assert!(all == text && whole, "{encoding:?} in pieces of {size}");
            assert!(largest <= STEP_BYTES);
        }
        let twice = [&bytes[..], &bytes[..]].concat();
        let (all, _, whole) = decoded(encoding, &twice, 1_000).unwrap();
        assert!(all.len() == 2 * text.len() && whole, "{encoding:?} has members that follow each other");
    }
    for (encoding, bytes) in [(Encoding::Gzip, gzip(b"")), (Encoding::Zstd, zstd(b""))] {
        assert_eq!(decoded(encoding, &bytes, 3).unwrap(), (Vec::new(), 0, true));
    }
}

#[test]
fn what_unfolds_to_much_does_so_step_by_step() {
    let zeros = vec![0; 64 << 20];
    for (encoding, bytes) in [(Encoding::Gzip, gzip(&zeros)), (Encoding::Zstd, zstd(&zeros))] {
        let mut decoder = Decoder::new(encoding).unwrap();
        decoder.feed(Bytes::from(bytes));
        let mut count = 0;
        while let Some(step) = decoder.next().unwrap() {
            assert!(step.len() <= STEP_BYTES);
            count += step.len();
        }
        assert_eq!((count, decoder.is_whole()), (zeros.len(), true), "{encoding:?}");
    }
}

#[test]
fn what_is_cut_or_broken_is_seen() {
    let text = text();
    for (encoding, bytes) in [(Encoding::Gzip, gzip(&text)), (Encoding::Zstd, zstd(&text))] {
        let (all, _, whole) = decoded(encoding, &bytes[..bytes.len() - 1], 1_000).unwrap();
        assert!(!whole && all.len() <= text.len(), "{encoding:?} was cut");
        assert!(decoded(encoding, b"this is no compressed answer", 9).is_err(), "{encoding:?}");
    }
    let mut changed = gzip(&text);
    let checksum = changed.len() - 8;
    changed[checksum] ^= 1;
    assert!(decoded(Encoding::Gzip, &changed, 1_000).is_err(), "the checksum is compared");
    assert!(!decoded(Encoding::Gzip, b"", 1).unwrap().2, "nothing is no member");
}

#[test]
fn encodings_are_read_from_the_head() {
    let of = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        Encoding::of(&headers)
    };
    for plain in [&[][..], &[""], &["identity"]] {
        assert_eq!(of(plain), Some(None), "{plain:?}");
    }
    for gzip in [&["gzip"][..], &["GZip "], &["x-gzip"], &["identity, gzip"]] {
        assert_eq!(of(gzip), Some(Some(Encoding::Gzip)), "{gzip:?}");
    }
    assert_eq!(of(&["zstd"]), Some(Some(Encoding::Zstd)));
    for other in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "br"], &["aes128gcm"]] {
        assert_eq!(of(other), None, "{other:?}");
    }
}
