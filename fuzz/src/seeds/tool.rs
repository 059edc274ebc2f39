//! What may become of a directory: seeds of the target `tool`.

use crate::tool::Change;

/// Every input by its name.
pub(super) fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let input = |(name, is_mended, changes): (&'static str, bool, Vec<Change>)| {
        let changes = changes.iter().flat_map(|change| change.encode());
        (
            name,
            [u8::from(is_mended)].into_iter().chain(changes).collect(),
        )
    };
    let streams = stream_changes().into_iter().map(|(name, how, changes)| {
        let changes = changes.iter().flat_map(|change| change.encode());
        (name, [how].into_iter().chain(changes).collect())
    });
    tool_changes()
        .into_iter()
        .map(input)
        .chain(streams)
        .collect()
}

/// What may come through a pipe, with how it comes: plain (2), packed (4), packed and changed then (6).
fn stream_changes() -> Vec<(&'static str, u8, Vec<Change>)> {
    let change = |file: u8, what: u8, at: u32, by: u16| Change { file, what, at, by };
    vec![
        ("stream", 2, vec![]),
        (
            "stream_bit_in_a_group",
            2,
            vec![change(0, 0, 8192 + 100, 4)],
        ),
        (
            "stream_bit_in_both_headers",
            2,
            vec![change(0, 0, 20, 1), change(0, 0, 4096 + 20, 1)],
        ),
        ("stream_cut_in_a_group", 2, vec![change(2, 2, 20_000, 0)]),
        ("stream_middle_segment_gone", 2, vec![change(1, 3, 0, 0)]),
        ("stream_segment_twice", 2, vec![change(1, 5, 0, 0)]),
        (
            "stream_of_nothing",
            2,
            (0..3).map(|file| change(file, 3, 0, 0)).collect(),
        ),
        ("packed_stream", 4, vec![]),
        (
            "packed_stream_bit_in_a_group",
            4,
            vec![change(0, 0, 8192 + 100, 4)],
        ),
        ("packed_stream_cut", 6, vec![change(0, 2, 1_000, 0)]),
        (
            "packed_stream_bit_in_the_frame_header",
            6,
            vec![change(0, 0, 4, 8)],
        ),
        (
            "packed_stream_bit_in_a_block",
            6,
            vec![change(0, 0, 400, 16)],
        ),
        (
            "packed_stream_length_of_a_block",
            6,
            vec![change(0, 6, 9, 0xffff)],
        ),
    ]
}

/// What may become of a directory, from which a fuzzer goes on.
fn tool_changes() -> Vec<(&'static str, bool, Vec<Change>)> {
    let change = |file: u8, what: u8, at: u32, by: u16| Change { file, what, at, by };
    // The places in the list of files: three segments, the mark, two checkpoints.
    vec![
        ("untouched", false, vec![]),
        ("bit_in_a_group", false, vec![change(0, 0, 8192 + 100, 4)]),
        (
            "bit_in_a_padding",
            false,
            vec![change(1, 0, 8192 + 4000, 1)],
        ),
        ("bit_in_a_header", false, vec![change(0, 0, 20, 1)]),
        (
            "bit_in_both_headers",
            false,
            vec![change(1, 0, 20, 1), change(1, 0, 4096 + 20, 1)],
        ),
        ("bit_behind_the_end", false, vec![change(2, 0, 60_000, 1)]),
        ("bit_in_a_checkpoint", false, vec![change(5, 0, 200, 1)]),
        ("bit_in_the_mark", false, vec![change(3, 0, 40, 1)]),
        (
            "bits_in_all_marks",
            false,
            (0..4)
                .map(|page| change(3, 0, page * 4096 + 40, 1))
                .collect(),
        ),
        (
            "zero_page_in_the_middle",
            false,
            vec![change(1, 1, 16_384, 0)],
        ),
        ("zero_last_group", false, vec![change(2, 1, 24_576, 0)]),
        (
            "zero_last_group_and_marks",
            false,
            (0..4)
                .map(|page| change(3, 1, page * 4096, 0))
                .chain([change(2, 1, 24_576, 0)])
                .collect(),
        ),
        ("cut_in_a_group", false, vec![change(2, 2, 20_000, 0)]),
        ("cut_in_a_header", false, vec![change(2, 2, 100, 0)]),
        ("empty_segment", false, vec![change(1, 2, 0, 0)]),
        ("first_segment_gone", false, vec![change(0, 3, 0, 0)]),
        ("middle_segment_gone", false, vec![change(1, 3, 0, 0)]),
        ("last_segment_gone", false, vec![change(2, 3, 0, 0)]),
        ("mark_gone", false, vec![change(3, 3, 0, 0)]),
        (
            "checkpoints_gone",
            false,
            vec![change(4, 3, 0, 0), change(5, 3, 0, 0)],
        ),
        (
            "first_segment_and_checkpoints_gone",
            false,
            vec![change(0, 3, 0, 0), change(4, 3, 0, 0), change(5, 3, 0, 0)],
        ),
        (
            "everything_gone",
            false,
            (0..6).map(|file| change(file, 3, 0, 0)).collect(),
        ),
        ("group_over_another", false, vec![change(1, 4, 12_288, 2)]),
        ("last_group_twice", false, vec![change(2, 4, 28_672, 6)]),
        (
            "segment_under_another_name",
            false,
            vec![change(2, 5, 0, 0)],
        ),
        ("checkpoint_as_segment", false, vec![change(1, 5, 0, 5)]),
        ("segment_as_mark", false, vec![change(3, 5, 0, 2)]),
        (
            "kind_of_a_record_mended",
            true,
            vec![change(2, 6, 8192 + 96, 0x31)],
        ),
        (
            "payload_of_a_record_mended",
            true,
            vec![change(2, 0, 8192 + 120, 8)],
        ),
        (
            "length_of_a_record_mended",
            true,
            vec![change(2, 6, 8192 + 84, 0xffff)],
        ),
        (
            "last_payload_mended",
            true,
            vec![change(2, 0, 24_576 + 110, 2)],
        ),
    ]
}
