//! Runs the committed corpus through every target.

use std::fs;
use std::path::Path;

#[test]
fn every_committed_input_passes_its_target() {
    for (name, target) in torrens_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).expect("every target has a corpus folder") {
            let path = entry.expect("a readable folder").path();
            let input = fs::read(&path).expect("a readable input");
            println!("{name}: {}", path.display());
            target(&input);
            inputs += 1;
        }
        assert!(inputs >= 3, "{name} has only {inputs} inputs");
    }
}
