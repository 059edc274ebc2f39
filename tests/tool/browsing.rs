//! The page of `torrens serve` in a browser: at every width, in both schemes, while the store grows, vanishes and
//! comes back. Without `chromium` these tests say so and pass, unless `TORRENS_NO_SKIP` is set.

use std::fs;

use super::browser::Browser;
use super::fixture::Store;
use super::serve::{Server, store};

/// What a browser sees of the page.
const SEEN: &str = "({
    rows: document.querySelectorAll('#records tbody tr').length,
    lives: document.querySelectorAll('#timeline .row').length,
    title: document.title,
    scroll: document.documentElement.scrollWidth,
    inner: innerWidth,
    paper: getComputedStyle(document.documentElement).backgroundColor,
    lost: !document.getElementById('lost').hidden,
})";

#[test]
fn a_browser_shows_the_page_of_a_server_at_every_width_in_both_schemes_without_an_error() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let store = store();
    let server = Server::of(store.path(), &[]);
    let address = format!("http://{}/", server.address);
    for (width, dark) in [(1400, false), (1400, true), (390, false), (390, true)] {
        browser.look_as(width, dark);
        browser.open(&address);
        let seen = browser.value(SEEN);
        let what = format!("{width} dark {dark}: {seen}");
        assert_eq!(
            (&seen["rows"], &seen["lives"]),
            (&9.into(), &3.into()),
            "{what}"
        );
        assert_eq!(seen["title"], "Torrens report: clean", "{what}");
        assert!(seen["scroll"].as_u64() <= Some(width.into()), "{what}");
        assert_eq!(seen["inner"], width, "{what}");
        let paper = match dark {
            true => "rgb(15, 20, 26)",
            false => "rgb(246, 247, 249)",
        };
        assert_eq!(seen["paper"], paper, "{what}");
        assert_eq!(browser.errors(), [] as [String; 0], "{what}");
        browser.keep_picture(&format!(
            "serve-{width}-{}",
            if dark { "dark" } else { "light" }
        ));
    }
}

#[test]
fn the_page_of_a_server_follows_a_store_that_grows_and_says_when_it_is_not_fresh() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let mut store = Store::with_history();
    let server = Server::of(store.path(), &[]);
    browser.look_as(1400, false);
    browser.open(&format!("http://{}/", server.address));
    assert_eq!(browser.value(SEEN)["rows"], 9);
    // Whoever filters goes on seeing what was filtered for.
    browser.value(
        "(() => { const filter = document.getElementById('filter'); filter.value = 'kind:split'; \
         filter.dispatchEvent(new Event('input')); window.untouched = true; })()",
    );
    browser.wait_for("document.querySelectorAll('#records tbody tr').length === 1");
    store.late_split();
    browser.wait_for("document.querySelectorAll('#records tbody tr').length === 2");
    assert_eq!(
        browser.value("window.untouched"),
        true,
        "it was loaded again"
    );
    assert_eq!(browser.errors(), [] as [String; 0]);

    // What the browser says of the connection by itself is no error of the page.
    drop(server);
    browser.wait_for("!document.getElementById('lost').hidden");
    let told = browser.value("document.getElementById('lost').textContent");
    assert!(told.as_str().unwrap().contains("does not answer"), "{told}");
    assert_eq!(browser.value(SEEN)["rows"], 2, "what was there stays");
    browser.keep_picture("serve-lost");
    let own = |error: &&String| !error.contains("ERR_CONNECTION_REFUSED");
    assert_eq!(browser.errors().iter().filter(own).count(), 0);
}

#[test]
fn a_browser_is_told_why_there_is_nothing_to_show_and_sees_the_store_when_it_comes() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("store");
    let server = Server::of(&dir, &[]);
    browser.look_as(390, true);
    browser.open(&format!("http://{}/", server.address));
    let told = browser.value("document.body.innerText");
    assert!(told.as_str().unwrap().contains("missing"), "{told}");
    browser.keep_picture("serve-missing");
    let store = store();
    fs::rename(store.path(), &dir).unwrap();
    browser.wait_for("document.querySelectorAll('#records tbody tr').length === 9");
    fs::rename(&dir, store.path()).unwrap();
    // The first answer was 503, and so it should be.
    let own = |error: &&String| !error.contains("503");
    assert_eq!(browser.errors().iter().filter(own).count(), 0);
}
