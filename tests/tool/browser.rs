//! A headless Chromium that is driven through its own protocol, over a pair of pipes.
//!
//! <https://chromedevtools.github.io/devtools-protocol/>: JSON, each message ended by a zero byte. Not here: what
//! is looked at (`report`, `serve`).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Where Debian has it.
const CHROMIUM: &str = "/usr/bin/chromium";
/// How long a page may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page in it; gone with its drop.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Value,
    last_id: u64,
    /// What went wrong on the page: exceptions, refused scripts, failed loads, `console.error`.
    errors: Vec<String>,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts one; `None`, and a word about it, if there is none on this machine.
    pub(crate) fn start() -> Option<Browser> {
        if !Path::new(CHROMIUM).exists() {
            torrens_journal::testing::skip("a browser", "chromium is not installed");
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        // It reads from descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null"])
            .arg(CHROMIUM)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut browser = Browser {
            child,
            to,
            from: BufReader::new(from),
            session: Value::Null,
            last_id: 0,
            errors: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Asks for `method` and gives its result.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser went away at {method}");
            let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
            if answer["id"] == self.last_id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.note(&answer);
        }
    }

    /// Keeps an event that says that something went wrong.
    fn note(&mut self, event: &Value) {
        let is_error = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        if is_error {
            self.errors.push(event["params"].to_string());
        }
    }

    /// How wide the window is, and which colours the reader prefers.
    pub(crate) fn look_as(&mut self, width: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Opens an address and waits until the page is loaded.
    pub(crate) fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({"url": address}));
        assert!(opened["errorText"].is_null(), "{address}: {opened}");
        self.wait_for(&format!(
            "document.readyState === 'complete' && location.href === {}",
            Value::from(address)
        ));
    }

    /// The value of a script.
    pub(crate) fn value(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until a script's value is true.
    pub(crate) fn wait_for(&mut self, script: &str) {
        let began = Instant::now();
        while self.value(script) != true {
            assert!(began.elapsed() < PATIENCE, "{script} does not become true");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What went wrong since the last call.
    pub(crate) fn errors(&mut self) -> Vec<String> {
        // Whatever was on its way before this answer is here then.
        self.value("0");
        std::mem::take(&mut self.errors)
    }

    /// The whole page as a picture, into the folder that `TORRENS_KEEP_PICTURES` names, for a person: base64 of a
    /// PNG file.
    pub(crate) fn keep_picture(&mut self, name: &str) {
        if let Some(folder) = std::env::var_os("TORRENS_KEEP_PICTURES") {
            let whole = json!({"captureBeyondViewport": true});
            let picture = self.call("Page.captureScreenshot", whole);
            let path = Path::new(&folder).join(format!("{name}.png.base64"));
            std::fs::write(path, picture["data"].as_str().unwrap()).unwrap();
        }
    }
}
