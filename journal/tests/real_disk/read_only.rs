//! A file system that turns read-only in the middle, as ext4 does after an error.

use crate::child::{Child, holds, ways};
use crate::place::{Kind, LoopFs};
use torrens_journal::testing::skip;

#[test]
fn a_file_system_that_turns_read_only_ends_the_journal_with_an_error() {
    const TEST: &str = "a_file_system_that_turns_read_only";
    for way in ways(TEST) {
        let Some(place) = LoopFs::with(TEST, Kind::Ext4, "errors=remount-ro") else {
            return;
        };
        let dir = place.journal();
        let mut child = Child::start(&dir, way);
        child.must("create 65536");
        child.must("append 20 3000");
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", place.device_name());
        if let Err(why) = std::fs::write(&trigger, "1") {
            return skip(TEST, why);
        }
        let answer = child.ask("append 100 3000");
        assert!(answer.is_poisoned(), "{way:?}: {answer:?}");
        assert_eq!(answer.done, 0);
        assert!(child.ask("append 1 3000").is_poisoned());
        assert!(!child.ask("mark").is_ok());
        assert_eq!(child.must("synced"), 20);
        drop(child);
        // Still read-only: a new journal is refused, the old one can be read.
        let mut other = Child::start(&place.path().join("other"), way);
        let refused = other.ask("create 65536").outcome;
        assert!(refused.starts_with("refused"), "{way:?}: {refused}");
        drop(other);
        holds(&dir, 20, 3000);
        place.remount();
        let mut child = Child::start(&dir, way);
        let last = child.must("resume 65536");
        assert!((20..=21).contains(&last), "{way:?}: {last}");
        child.must("append 40 3000");
        child.must("close");
        holds(&dir, last + 40, 3000);
    }
}
