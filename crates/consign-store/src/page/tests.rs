//! Cursors and the edges of pages.

use super::{Page, decode, encode};
use crate::StoreError;

#[test]
fn cursors_come_back_and_strangers_are_refused() {
    let parts = vec!["0".to_owned(), "zürich \"a\"".to_owned()];
    assert_eq!(decode(&encode(&parts)), Some(parts));
    for stranger in ["", "5b", "zz", "5b5", "+5", "é1", "7b7d"] {
        assert_eq!(decode(stranger), None, "{stranger}");
        let page = Page { after: Some(stranger.to_owned()), ..Page::first(5) };
        assert!(matches!(page.turn(), Err(StoreError::BadCursor)), "{stranger}");
    }
}

#[test]
fn neighbours_are_offered_where_there_are_any() {
    let check = |page: Page, read: &[i32], items: &[i32], next: bool, previous: bool| {
        let turn = page.turn().unwrap();
        let listed = turn.listed(read.to_vec(), |item| vec![item.to_string()]);
        assert_eq!(listed.items, items);
        assert_eq!((listed.next.is_some(), listed.previous.is_some()), (next, previous));
    };
    let at = || Some(encode(&["4".to_owned()]));
    check(Page::first(2), &[1, 2], &[1, 2], false, false);
    check(Page::first(2), &[1, 2, 3], &[1, 2], true, false);
    check(Page { after: at(), ..Page::first(2) }, &[5, 6, 7], &[5, 6], true, true);
    check(Page { after: at(), ..Page::first(2) }, &[5], &[5], false, true);
    check(Page { before: at(), ..Page::first(2) }, &[3, 2, 1], &[2, 3], true, true);
    check(Page { before: at(), ..Page::first(2) }, &[3, 2], &[2, 3], true, false);
    check(Page::first(0), &[1, 2], &[1], true, false);
}
