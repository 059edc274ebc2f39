//! The examples, run: what a reader copies must work.

#[path = "../examples/append_and_reopen.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod append_and_reopen;
#[path = "../examples/tail.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod tail;

use torrens_journal::Lsn;

#[test]
fn append_and_reopen_reads_back_what_both_runs_wrote() {
    let fresh = tempfile::tempdir().unwrap();
    let payloads = append_and_reopen::run(fresh.path()).unwrap();
    assert_eq!(
        payloads,
        ["10 to anna", "-4 from anna", "+4 to berta", "2 to anna"]
    );
}

#[test]
fn tail_hears_of_every_record_inside_and_reaches_the_end_outside() {
    let fresh = tempfile::tempdir().unwrap();
    assert_eq!(tail::run(fresh.path()).unwrap(), (1000, Lsn::new(1000)));
}
