//! Forms with a file, whole and cut at every byte.

use super::*;

/// A form whose bytes arrive in portions of this size.
fn request(text: &[u8], portion: usize) -> Request {
    let (sender, body) = http_body_util::channel::Channel::<Bytes, std::io::Error>::new(1_024);
    let portions: Vec<_> = text.chunks(portion).map(Bytes::copy_from_slice).collect();
    let mut sender = sender;
    tokio::spawn(async move {
        for portion in portions {
            if sender.send_data(portion).await.is_err() {
                return;
            }
        }
    });
    Request::builder()
        .header("content-type", "multipart/form-data; boundary=----abc")
        .body(Body::new(body))
        .unwrap()
}

const FORM: &[u8] = b"------abc\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\ntoken\r\n\
    ------abc\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.zst\"\r\n\
    Content-Type: application/zstd\r\n\r\n\x00\xff\r\n------ab\r\n--\r\n------abc--\r\n";

#[tokio::test]
async fn a_form_with_a_file_is_read_in_portions_of_any_size() {
    for portion in 1..FORM.len() {
        let (form, upload) = begin(request(FORM, portion)).await.unwrap();
        assert_eq!(form.text("csrf"), "token");
        let mut upload = upload.unwrap();
        assert_eq!(upload.name, "a b.zst");
        let mut file = Vec::new();
        while let Some(piece) = upload.piece().await.unwrap() {
            file.extend_from_slice(&piece);
        }
        assert_eq!(file, b"\x00\xff\r\n------ab\r\n--", "in portions of {portion}");
        assert!(upload.piece().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_form_that_breaks_off_is_none() {
    let end = FORM.len() - 5;
    for length in [0, 9, 30, 70, end] {
        let read = async {
            let (_, upload) = begin(request(&FORM[..length], 7)).await?;
            let mut upload = upload.ok_or(Failure::NotAForm)?;
            while upload.piece().await?.is_some() {}
            Ok::<_, Failure>(())
        };
        assert!(length == end || read.await.is_err(), "cut at {length}");
    }
    let whole =
        [b"------abc\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n".as_slice(), &[b'y'; 20_000]]
            .concat();
    assert!(matches!(begin(request(&whole, 500)).await, Err(Failure::TooLarge)));
}

#[test]
fn only_such_forms_have_a_boundary() {
    for (kind, is) in [
        ("multipart/form-data; boundary=x", true),
        ("multipart/form-data; boundary=\"x y\"", true),
        ("multipart/form-data", false),
        ("application/x-www-form-urlencoded", false),
    ] {
        let request = Request::builder().header("content-type", kind).body(Body::empty()).unwrap();
        assert_eq!(is_upload(&request), is, "{kind}");
    }
}
