//! Sizes of chunks.

use super::chunks;

#[test]
fn chunks_have_few_sizes_and_lose_nothing() {
    let check = |count: usize, sizes: &[usize]| {
        let rows: Vec<usize> = (0..count).collect();
        let cut: Vec<&[usize]> = chunks(&rows).collect();
        assert_eq!(cut.iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), sizes, "{count}");
        assert_eq!(cut.concat(), rows);
    };
    check(0, &[]);
    check(1, &[1]);
    check(7, &[4, 2, 1]);
    check(63, &[32, 16, 8, 4, 2, 1]);
    check(64, &[64]);
    check(130, &[64, 64, 2]);
}
