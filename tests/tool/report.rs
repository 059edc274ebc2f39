//! The report: what is in it, that nothing of the directory is taken for markup, and how a browser shows it.
//!
//! The test with a browser needs `chromium`; without it, it says so and passes, unless `TORRENS_NO_SKIP` is set.

use std::fs;

use serde_json::Value;
use torrens::lifecycle::{Cause, Derive, Event, NewRegion, PeerChange, RaftPosition, Split};
use torrens::{Key, PeerId, RegionEpoch, RegionId};

use super::browser::Browser;
use super::fixture::{Closed, Store, contents, run, voter};

const HOSTILE: &[u8] = b"</script><script>window.hacked=1</script><img src=x onerror=hacked()>";

/// The history of the other tests, split once more at a key that would be markup.
fn hostile() -> Closed {
    let mut store = Store::with_history();
    store.commit(
        Event::Split(Split {
            region: RegionId(1),
            incarnation: None,
            epoch: RegionEpoch {
                conf_ver: 1,
                version: 2,
            },
            position: RaftPosition { index: 7, term: 6 },
            boundaries: vec![Key::from(HOSTILE)],
            children: vec![NewRegion {
                id: RegionId(103),
                peers: vec![voter(311, 4), voter(312, 5), voter(313, 6)],
            }],
            derive: Derive::Left,
        }),
        Cause::Raft { term: 6, index: 7 },
    );
    store.close()
}

fn page(store: &Closed) -> String {
    let answer = run(store.path(), "report", &["-o", "-"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    answer.out
}

pub(crate) fn data(page: &str) -> Value {
    let open = "<script type=\"application/json\" id=\"data\">";
    let rest = page.split_once(open).unwrap().1;
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_report_says_what_the_directory_holds_and_changes_nothing() {
    let store = hostile();
    let before = contents(store.path());
    let page = page(&store);
    let data = data(&page);
    assert_eq!(data["verdict"]["name"], "clean");
    assert_eq!(
        (data["records"].as_u64(), data["last_lsn"].as_u64()),
        (Some(10), Some(10))
    );
    assert_eq!(data["rows"][0]["lsn"], 10);
    let slots = data["slots"].as_array().unwrap();
    assert_eq!(
        slots
            .iter()
            .map(|slot| slot[0].as_u64().unwrap())
            .sum::<u64>(),
        10
    );
    assert_eq!(data["samples"].as_array().unwrap().last().unwrap()[0], 3);
    let edge = |edge: &Value| (edge["from"].as_u64(), edge["to"].as_u64());
    let edges: Vec<_> = data["edges"].as_array().unwrap().iter().map(edge).collect();
    assert_eq!(edges, [(Some(1), Some(102)), (Some(1), Some(103))]);
    assert!(
        data["lives"]
            .as_array()
            .unwrap()
            .iter()
            .any(|life| life["ended"] == "peer.destroy-begin")
    );
    for outside in ["http://www.w3.org/2000/svg", "http-equiv"] {
        assert!(page.contains(outside));
    }
    let network = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!network.contains("http://") && !network.contains("https://"));
    assert!(!page.contains("<script>") && !page.contains("<img"));
    assert_eq!(contents(store.path()), before);
}

/// 400 regions, each split off the one before, and changes of their peers up to 100 000 records.
fn long() -> Closed {
    let mut store = Store::with_segments_of(16 << 20);
    store.history();
    let (count, mut index) = (400, 100);
    let mut region = RegionId(1);
    let mut ids = vec![region];
    for number in 0..count {
        let child = RegionId(1_000 + number);
        index += 1;
        let peer = 10_000 + number * 10;
        let lsn = store.append(
            Event::Split(Split {
                region,
                incarnation: None,
                epoch: store.epoch(region),
                position: RaftPosition { index, term: 6 },
                boundaries: vec![Key::from(format!("b{number:04}").as_bytes())],
                children: vec![NewRegion {
                    id: child,
                    peers: vec![voter(peer, 4), voter(peer + 1, 5), voter(peer + 2, 6)],
                }],
                derive: Derive::Left,
            }),
            Cause::Raft { term: 6, index },
        );
        store.journal.wait_durable(lsn).unwrap();
        ids.push(child);
        region = child;
    }
    let mut guest = 1_000_000;
    for number in 0..100_000 - (9 + count as usize) {
        let region = ids[number / 2 % ids.len()];
        index += 1;
        let change = match number % 2 {
            0 => {
                guest += 1;
                PeerChange::Add {
                    peer: voter(guest, 9),
                }
            }
            _ => PeerChange::Remove {
                peer: PeerId(guest),
            },
        };
        let lsn = store.append(
            Event::ChangePeers {
                region,
                incarnation: None,
                epoch: store.epoch(region),
                position: RaftPosition { index, term: 6 },
                change,
            },
            Cause::Raft { term: 6, index },
        );
        if number % 200 == 0 {
            store.journal.wait_durable(lsn).unwrap();
        }
    }
    store.journal.sync().unwrap();
    store.close()
}

#[test]
fn a_report_about_a_hundred_thousand_records_is_bounded_and_says_what_it_left_out() {
    let store = long();
    let page = page(&store);
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    let data = data(&page);
    assert_eq!(data["records"], 100_000);
    let length = |name: &str| data[name].as_array().unwrap().len() as u64;
    let left_out = |name: &str| data[name].as_u64().unwrap();
    assert_eq!(length("rows") + left_out("rows_left_out"), 100_000);
    assert_eq!(length("rows"), 2_000);
    // Region 102's, and that of a peer that was only created.
    assert_eq!(length("lives") + left_out("lives_left_out"), 400 + 3);
    assert_eq!(length("lineage") + left_out("lineage_left_out"), 400 + 3);
    assert_eq!(length("lives"), 300);
    let counted: u64 = data["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| slot[0].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 100_000, "the charts are about all of them");
    if let Some(kept) = std::env::var_os("TORRENS_KEEP_PAGE") {
        fs::write(kept, &page).unwrap();
    }
    if let Some(mut browser) = Browser::start() {
        let seen = seen(&mut browser, &page, 1366, false);
        assert_eq!(seen["errors"].as_array().unwrap().len(), 0, "{seen}");
        assert_eq!(seen["lives"], 300, "{seen}");
    }
}

#[test]
fn a_report_about_what_is_damaged_empty_or_foreign_says_so() {
    let verdict = |store: &Closed| {
        let answer = run(store.path(), "report", &["-o", "-"]);
        let data = data(&answer.out);
        (
            answer.code,
            data["verdict"]["name"].as_str().unwrap().to_owned(),
            data["rows"].as_array().unwrap().len(),
        )
    };
    let store = Store::with_history().close();
    store.overwrite(8192 + 4 * 4096 + 80, b"\xff\xff");
    assert_eq!(verdict(&store), (0, "corrupt-mid-log".to_owned(), 8));
    // Nothing of the first segment is left but its length.
    store.overwrite(0, &[0; 8192]);
    let (code, name, _) = verdict(&store);
    assert!(code == 0 && name.starts_with("corrupt"), "{code} {name}");
    let fresh = Store::new().close();
    assert_eq!(verdict(&fresh), (0, "clean".to_owned(), 0));
    for (make, code) in [
        (None, "missing"),
        (Some(false), "empty"),
        (Some(true), "not-a-store"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("store");
        if let Some(is_foreign) = make {
            fs::create_dir(&dir).unwrap();
            if is_foreign {
                fs::write(dir.join("holiday.jpg"), b"beach").unwrap();
            }
        }
        let out = place.path().join("report.html");
        let answer = run(&dir, "report", &["-o", out.to_str().unwrap()]);
        assert_eq!(answer.code, 8);
        assert!(
            answer.err.contains(&format!("error[{code}]")),
            "{}",
            answer.err
        );
        assert!(!out.exists(), "a report about nothing");
    }
}

#[test]
fn a_timeline_as_a_page_holds_the_regions_that_were_asked_for() {
    let store = hostile();
    let args = ["--format", "html", "--region", "1,102", "--until", "8"];
    let answer = run(store.path(), "timeline", &args);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    assert!(answer.out.contains("data-show=\"timeline\"") && !answer.out.contains("<script>"));
    let data = data(&answer.out);
    let regions: Vec<_> = data["lives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|life| life["region"].as_u64().unwrap())
        .collect();
    assert_eq!(regions, [1, 102]);
    let rows = data["rows"].as_array().unwrap();
    let about = |row: &Value| {
        row["regions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one == 1 || one == 102)
    };
    assert!(
        rows.iter()
            .all(|row| row["lsn"].as_u64().unwrap() <= 8 && about(row))
    );
    assert_eq!(data["last_lsn"], 8);
    let none = run(
        store.path(),
        "timeline",
        &["--format", "html", "--region", "999"],
    );
    assert_eq!(none.code, 1);
}

#[test]
fn a_report_with_redacted_keys_holds_no_key() {
    let store = hostile();
    let answer = run(store.path(), "report", &["-o", "-", "--keys", "redact"]);
    assert_eq!(answer.code, 0);
    assert!(answer.out.contains("k:") && !answer.out.contains("window.hacked"));
}

#[test]
fn a_report_never_lands_inside_the_store() {
    let store = hostile();
    let before = contents(store.path());
    let inside = store.path().join("journal/report.html");
    let answer = run(store.path(), "report", &["-o", inside.to_str().unwrap()]);
    assert_eq!(answer.code, 2, "{}", answer.err);
    assert!(
        answer.err.contains("error[inside-the-store]"),
        "{}",
        answer.err
    );
    assert_eq!(contents(store.path()), before);
}

/// What a browser sees of `page` at that width: before and after somebody types a filter.
fn seen(browser: &mut Browser, page: &str, width: u32, dark: bool) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page.html");
    fs::write(&path, page).unwrap();
    browser.look_as(width, dark);
    browser.open(&format!("file://{}", path.display()));
    let mut seen = browser.value(
        "(() => { const root = document.documentElement, rows = document.querySelectorAll('#records tbody tr'); \
         return { before: rows.length, scroll: root.scrollWidth, inner: innerWidth, hacked: 'hacked' in window, \
         dark: matchMedia('(prefers-color-scheme: dark)').matches, lives: document.querySelectorAll('#timeline .row').length, \
         paper: getComputedStyle(root).backgroundColor, unnamed: [...document.querySelectorAll('button,input')] \
         .filter((one) => !(one.ariaLabel || one.textContent)).length }; })()",
    );
    browser.value(
        "(() => { const filter = document.getElementById('filter'); filter.value = 'kind:split'; \
         filter.dispatchEvent(new Event('input')); })()",
    );
    browser.wait_for("/^[0-9]+ of/.test(document.getElementById('shown').textContent)");
    browser.wait_for(&format!(
        "document.querySelectorAll('#records tbody tr').length < {}",
        seen["before"]
    ));
    seen["after"] = browser.value("document.querySelectorAll('#records tbody tr').length");
    seen["errors"] = browser.errors().into();
    seen
}

#[test]
fn a_browser_shows_a_report_at_every_width_in_both_schemes_without_an_error() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let page = page(&hostile());
    for (width, dark) in [(1366, false), (1366, true), (390, false), (390, true)] {
        let seen = seen(&mut browser, &page, width, dark);
        let what = format!("{width} dark {dark}: {seen}");
        assert_eq!(seen["errors"].as_array().unwrap().len(), 0, "{what}");
        assert_eq!(
            (&seen["inner"], &seen["hacked"]),
            (&width.into(), &false.into()),
            "{what}"
        );
        assert!(
            seen["scroll"].as_u64().unwrap() <= u64::from(width),
            "{what}"
        );
        assert_eq!(
            (&seen["before"], &seen["after"]),
            (&10.into(), &2.into()),
            "{what}"
        );
        assert_eq!(seen["dark"], dark, "{what}");
        let paper = if dark {
            "rgb(15, 20, 26)"
        } else {
            "rgb(246, 247, 249)"
        };
        assert_eq!(seen["paper"], paper, "{what}");
        assert_eq!(
            (&seen["lives"], &seen["unnamed"]),
            (&4.into(), &0.into()),
            "{what}"
        );
    }
}
