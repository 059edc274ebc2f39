//! A limit on the size of files (`RLIMIT_FSIZE`) is a full disk, and not the end of the process.

use crate::child::{Child, holds, ways};

#[test]
fn a_limit_on_file_sizes_is_an_answer_and_kills_nobody() {
    for way in ways("a_limit_on_file_sizes") {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("journal");
        let mut child = Child::start(&dir, way);
        child.must("limit 100000");
        assert_eq!(child.ask("create 262144").outcome, "full", "{way:?}");
        child.must("limit none");
        child.must("create 262144");
        child.must("append 5 3000");
        child.must("limit 100000");
        // Stores through a map have no limit. Writes do, also over what is there; the rest of the
        // segment is past this one, which came too late for an answer before the record has its LSN.
        if way.writer.name == "direct" {
            let answer = child.ask("append 100 3000");
            assert!(answer.is_poisoned(), "{way:?}: {answer:?}");
            assert!(answer.outcome.contains("file too large"), "{answer:?}");
            drop(child);
            holds(&dir, 5 + answer.done, 3000);
            continue;
        }
        child.must("append 20 3000");
        let answer = child.ask("append 1000 3000");
        assert_eq!(answer.outcome, "full", "{way:?}");
        child.must("limit none");
        child.must("append 100 3000");
        child.must("close");
        holds(&dir, 125 + answer.done, 3000);
    }
}
