//! Cells that spreadsheets would run, and cells that hold separators.

use super::*;

#[test]
fn nothing_is_taken_for_a_formula_and_nothing_breaks_a_line() {
    for (text, cell) in [
        ("plain", "plain"),
        ("", ""),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@sum(a1)", "'@sum(a1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "\"'\r=1\""),
        ("=cmd|' /C calc'!A0,b", "\"'=cmd|' /C calc'!A0,b\""),
        ("a,b", "\"a,b\""),
        ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ("two\nlines", "\"two\nlines\""),
        (" padded ", "\" padded \""),
        ("a=b", "a=b"),
    ] {
        assert_eq!(quoted(text), cell, "{text:?}");
    }
    assert!(head().starts_with("sequence,id,at,") && head().ends_with(",result\r\n"));
}
