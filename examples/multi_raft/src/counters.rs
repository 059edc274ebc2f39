//! What a store counts, by name.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Counters that any thread adds to. A name that was never counted is zero.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<String, u64>>);

impl Counters {
    pub fn add(&self, family: &str, name: &str) {
        let mut all = self.0.lock().expect("nothing panics while it counts");
        *all.entry(format!("{family}.{name}")).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0
            .lock()
            .expect("nothing panics while it counts")
            .clone()
    }
}
