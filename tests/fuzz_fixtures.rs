//! Inputs that once made a reader fail, and hostile ones made by hand: `tests/fuzz/fixtures/TARGET/NAME`, whole and cut off.

#[path = "fuzz/readers.rs"]
mod readers;

use std::fs;
use std::path::Path;

/// A reader and the name of its target.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 15] = [
    ("tiff", readers::tiff),
    ("png", readers::png),
    ("npy", readers::npy),
    ("npz", readers::npz),
    ("csv", readers::csv),
    ("localisations", readers::localisations),
    ("picasso", readers::picasso),
    ("zarr", readers::zarr),
    ("ndtiff", readers::ndtiff),
    ("raw", readers::raw),
    ("model", readers::model),
    ("contract", readers::contract),
    ("spec", readers::spec),
    ("units", readers::units),
    ("journal", readers::journal),
];

#[test]
fn what_once_failed_is_read_or_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut inputs = 0;
    for (name, read) in TARGETS {
        assert!(root.join("targets").join(format!("{name}.rs")).exists(), "{name} is no target");
        let Ok(entries) = fs::read_dir(root.join("fixtures").join(name)) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a fixture");
            println!("{}", path.display());
            read(&bytes);
            for part in 1..8 {
                read(&bytes[..bytes.len() * part / 8]);
            }
            inputs += 1;
        }
    }
    assert!(inputs > 0, "no fixture was found");
    let targets = fs::read_dir(root.join("targets")).expect("targets").count();
    // What brokers send has no entrance but a broker, except where the fuzzer's is built in.
    assert_eq!(targets, TARGETS.len() + 1, "a target is not held against its fixtures here");
}
