use std::io::Read as _;

use axum::http::HeaderValue;
use flate2::read::GzDecoder;

use super::*;

fn accepts(fields: &[&'static str]) -> bool {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(field));
    }
    is_accepted(&headers)
}

const ACCEPTED: &[&[&str]] = &[
    &["gzip"],
    &["gzip, deflate, br, zstd"],
    &["br;q=1.0, gzip;q=0.8, *;q=0.1"],
    &["deflate", "GZIP"],
    &["x-gzip"],
    &["*"],
    &["identity;q=0.5, gzip;q=0.5"],
    &["gzip;q=0.001"],
    &["gzip ; Q = 1.000"],
    &["identity;q=0, *;q=0.2"],
];

const REFUSED: &[&[&str]] = &[
    &[],
    &[""],
    &["br, zstd"],
    &["gzip;q=0"],
    &["gzip;q=0.000, *"],
    &["*;q=0"],
    &["identity"],
    &["identity, gzip;q=0.9"],
    &["gzip;q=2"],
    &["gzip;q=-1"],
    &["gzip;q=1.001"],
    &["gzip;q=0.1234"],
    &["gzip;q=much"],
    &["gzip;q="],
    &["gzipped"],
];

#[test]
fn gzip_is_sent_to_whoever_accepts_it() {
    for fields in ACCEPTED {
        assert!(accepts(fields), "{fields:?}");
    }
    for fields in REFUSED {
        assert!(!accepts(fields), "{fields:?}");
    }
}

#[test]
fn a_text_is_compressed_once_and_anew_when_it_changed() {
    let plain = |bytes: &[u8]| {
        let mut text = String::new();
        GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        text
    };
    let first = of("a test", "1", "one").unwrap();
    assert_eq!(plain(&first), "one");
    assert_eq!(of("a test", "1", "never read").unwrap(), first);
    assert_eq!(plain(&of("a test", "2", "two").unwrap()), "two");
    assert_eq!(plain(&of("another test", "2", "three").unwrap()), "three");
}
