use super::*;

#[test]
fn a_bar_with_speed_and_time_left() {
    let half = bar("Uploading", (24_100_000, Some(48_200_000), "bytes"), 10.0);
    assert_eq!(
        half,
        format!("Uploading  {}{}  24.1 MB of 48.2 MB · 2.4 MB/s · 10 s left", "█".repeat(13), "░".repeat(13))
    );
    assert_eq!(
        bar("Sending", (0, Some(10), "records"), 1.0),
        format!("Sending  {}  0 records of 10 records", "░".repeat(26))
    );
    assert_eq!(bar("Pushed", (7, None, "records"), 1.0), "Pushed  7 records");
    assert_eq!(bar("Sending", (7, Some(5), "records"), 1.0), "Sending  7 records", "more than announced");
    assert_eq!(
        bar("Sending", (5, Some(5), "bytes"), 0.0),
        format!("Sending  {}  5 bytes of 5 bytes · 5.0 kB/s · 0 s left", "█".repeat(26))
    );
}
