//! Writes the hand-made part of the corpus (`torrens_fuzz::seeds`); with the argument `dictionary` it prints the
//! fuzzer's dictionary instead.

#![allow(clippy::print_stdout, reason = "it prints what it was asked for")]

use std::error::Error;
use std::fs;
use std::path::Path;

use torrens_fuzz::seeds;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("dictionary") {
        print!("{}", seeds::dictionary());
        return Ok(());
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (path, bytes) in seeds::inputs()? {
        let path = corpus.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&corpus))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
