use std::io::Read as _;

use super::*;

fn text() -> Vec<u8> {
    (0..200_000_u32).flat_map(|number| format!("row {number}\n").into_bytes()).collect()
}

fn expanded(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut all = Vec::new();
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut all).unwrap();
            all
        }
        Compression::Zstd => zstd::decode_all(bytes).unwrap(),
    }
}

#[test]
fn what_comes_out_is_what_went_in() {
    let text = text();
    for (_, compression) in Compression::ALL {
        let whole = compressed(*compression, text.clone()).unwrap();
        assert_eq!(expanded(*compression, &whole), text);
        assert_eq!(compressed(*compression, text.clone()).unwrap(), whole, "the same bytes");
        let mut compressor = Compressor::new(*compression).unwrap();
        let mut pieces = Vec::new();
        for piece in text.chunks(70_000) {
            pieces.extend(compressor.push(piece.to_vec()).unwrap());
        }
        pieces.extend(compressor.finish().unwrap());
        assert_eq!(expanded(*compression, &pieces), text);
        if *compression != Compression::None {
            assert!(whole.len() < text.len() / 3, "{}", whole.len());
        }
    }
}

#[test]
fn nothing_is_held_back_without_end() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut compressor = Compressor::new(compression).unwrap();
        let mut out = 0;
        for piece in text().chunks(100_000) {
            out += compressor.push(piece.to_vec()).unwrap().len();
        }
        let rest = compressor.finish().unwrap().len();
        assert!(rest < 512 << 10 && out > 0, "{rest} bytes were held back");
    }
}
