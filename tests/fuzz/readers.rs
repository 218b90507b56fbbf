//! Every reader on bytes that anybody may have made: it gives something sound or an error, never a panic, never memory
//! without bound, never a value that contradicts what it said before.
//!
//! Shared by the fuzz targets (`targets/`) and by `tests/fuzz_fixtures.rs`, which holds what they once found.
#![allow(dead_code, reason = "each target uses one of them")]

use std::fs;
use std::path::{Path, PathBuf};

use mollifier::model::{BakeOptions, FIT_KEY, Kind, METADATA_KEY, Model, ModelFile, Spec, bake};
use mollifier::sink::{Destination, Format, MapInfo, OutputSet};
use mollifier::source::{Frame, FrameSource, Input, OpenOptions, Read, SampleSource, Samples, from_reader, open};
use mollifier::units::{Spacing, UnitFormula, canonical_unit};

/// Frames or blocks that are read of one input.
const MOST: usize = 64;

fn options(kind: Kind) -> OpenOptions {
    let mut options = OpenOptions::new(kind);
    options.max_pixels = 1 << 16;
    options
}

/// A folder in memory, where the system has such.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}

/// Call `with` with the path of a file that holds `bytes`.
fn file(bytes: &[u8], name: &str, with: impl FnOnce(&str)) {
    let folder = folder();
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a file");
    with(&path.display().to_string());
}

fn drain_frames(mut source: Box<dyn FrameSource>) {
    let shape = source.info().shape;
    let mut frame = Frame::default();
    let mut next = 0;
    for _ in 0..MOST {
        match source.read(&mut frame) {
            Ok(Read::Filled) => {
                assert_eq!(frame.shape, shape);
                assert_eq!(frame.pixels.len(), shape[0] * shape[1]);
                assert!(frame.index >= next, "frame {} behind {next}", frame.index);
                next = frame.index.saturating_add(1);
            }
            Ok(Read::End) | Err(_) => break,
        }
    }
}

fn drain_samples(mut source: Box<dyn SampleSource>) {
    let channels = source.info().channels.len().max(1);
    let mut block = Samples::default();
    let mut next = 0;
    for _ in 0..MOST {
        match source.read(&mut block) {
            Ok(Read::Filled) => {
                assert_eq!(block.channels, channels);
                assert!(!block.values.is_empty() && block.values.len().is_multiple_of(channels));
                assert!(block.first >= next, "sample {} behind {next}", block.first);
                next = block.first + (block.values.len() / channels) as u64;
            }
            Ok(Read::End) | Err(_) => break,
        }
    }
}

fn drain(input: Input) {
    match input {
        Input::Frames(source) => drain_frames(source),
        Input::Series(source) => drain_samples(source),
    }
}

fn read(bytes: &[u8], name: &str, kinds: &[Kind]) {
    file(bytes, name, |path| {
        for kind in kinds {
            if let Ok(input) = open(path, &options(*kind)) {
                drain(input);
            }
        }
    });
}

/// A TIFF file.
pub(crate) fn tiff(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    // Anything else is read as another format.
    if !bytes.starts_with(b"II") && !bytes.starts_with(b"MM") {
        bytes.splice(0..bytes.len().min(4), *b"II\x2a\0");
    }
    read(&bytes, "recording", &[Kind::Fields]);
}

/// A PNG file.
pub(crate) fn png(bytes: &[u8]) {
    read(&prefixed(bytes, b"\x89PNG\r\n\x1a\n"), "recording", &[Kind::Fields]);
}

/// An NPY file.
pub(crate) fn npy(bytes: &[u8]) {
    read(&prefixed(bytes, b"\x93NUMPY"), "recording", &[Kind::Fields, Kind::Series]);
}

/// An NPZ archive.
pub(crate) fn npz(bytes: &[u8]) {
    read(&prefixed(bytes, b"PK\x03\x04"), "recording", &[Kind::Fields, Kind::Series]);
}

/// A table of a series.
pub(crate) fn csv(bytes: &[u8]) {
    read(bytes, "recording", &[Kind::Series]);
}

/// A table of localisations.
pub(crate) fn localisations(bytes: &[u8]) {
    read(bytes, "recording", &[Kind::Localisations]);
}

/// Picasso's HDF5 file, beside a sound YAML file.
pub(crate) fn picasso(bytes: &[u8]) {
    let bytes = prefixed(bytes, b"\x89HDF\r\n\x1a\n");
    let folder = folder();
    let path = folder.path().join("locs.hdf5");
    fs::write(&path, bytes).expect("a file");
    fs::write(folder.path().join("locs.yaml"), "Width: 32\nHeight: 32\nPixelsize: 130\n").expect("a file");
    if let Ok(input) = open(&path.display().to_string(), &options(Kind::Localisations)) {
        drain(input);
    }
}

/// A Zarr store: an array's metadata, and behind a NUL the bytes of its first chunk (or shard), which is its second too.
pub(crate) fn zarr(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |b| *b == 0);
    let (metadata, chunk) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let folder = folder();
    for (name, chunks) in [("zarr.json", ["c/0/0/0", "c/1/0/0"]), (".zarray", ["0.0.0", "1.0.0"])] {
        let store = folder.path().join(name.trim_start_matches('.').replace('.', "-"));
        for chunk_name in chunks {
            let path = store.join(chunk_name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, chunk).expect("a chunk");
        }
        fs::write(store.join(name), metadata).expect("metadata");
        if let Ok(input) = open(&store.display().to_string(), &options(Kind::Fields)) {
            drain(input);
        }
    }
}

/// An NDTiff data set: two bytes that say how long the index is, the index, the stack.
pub(crate) fn ndtiff(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (index, stack) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
    let folder = folder();
    fs::write(folder.path().join("NDTiff.index"), index).expect("an index");
    fs::write(folder.path().join("u_NDTiffStack.tif"), stack).expect("a stack");
    if let Ok(input) = open(&folder.path().display().to_string(), &options(Kind::Fields)) {
        drain(input);
    }
}

/// What a broker sends: samples, or a frame with the header that frames over TCP have.
#[cfg(fuzzing)]
pub(crate) fn message(bytes: &[u8]) {
    for kind in [Kind::Series, Kind::Fields] {
        if let Ok(input) = mollifier::source::fuzz_messages(bytes, &options(kind)) {
            drain(input);
        }
    }
}

/// What a pipe sends.
pub(crate) fn raw(bytes: &[u8]) {
    for kind in [Kind::Fields, Kind::Series, Kind::Localisations] {
        if let Ok(input) = from_reader(Box::new(std::io::Cursor::new(bytes.to_vec())), "pipe", &options(kind)) {
            drain(input);
        }
    }
    let mut options = options(Kind::Fields);
    options.raw = "u16:3x5".parse().ok();
    if let Ok(input) = from_reader(Box::new(std::io::Cursor::new(bytes.to_vec())), "pipe", &options) {
        drain(input);
    }
}

/// A model file.
pub(crate) fn model(bytes: &[u8]) {
    match ModelFile::from_bytes("model", bytes) {
        Ok(ModelFile::Inverse(model)) => said(&model),
        Ok(ModelFile::Fit(fit)) => {
            let axes = fit.record.axes.len();
            assert!(matches!(axes, 1..=3) && fit.outputs.len() == 2, "a fit of {axes} axes");
        }
        Err(_) => {}
    }
}

/// The contract in a model file that is sound otherwise, and what a fit says of itself in the same place.
pub(crate) fn contract(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let sound: &[u8] = include_bytes!("../../models/langevin-closed-form.onnx");
    // The metadata stand last: one property, whose value is replaced.
    let at = sound.windows(METADATA_KEY.len()).rposition(|w| w == METADATA_KEY.as_bytes()).expect("a contract");
    // Back over the key's own tag and length, the property's tag and its length (a varint of up to five bytes).
    let start = (1..=8)
        .map(|back| at - 2 - back)
        .find(|s| sound[*s] == 0x72 && varint(&sound[s + 1..]).is_some_and(|(_, n)| s + 1 + n == at - 2))
        .expect("a property");
    for key in [METADATA_KEY, FIT_KEY] {
        let mut file = sound[..start].to_vec();
        let mut property = vec![0x0a, key.len() as u8];
        property.extend_from_slice(key.as_bytes());
        property.push(0x12);
        push_varint(&mut property, text.len());
        property.extend_from_slice(text.as_bytes());
        file.push(0x72);
        push_varint(&mut file, property.len());
        file.extend_from_slice(&property);
        model(&file);
    }
}

/// A spec, and the model that it describes.
pub(crate) fn spec(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if Spec::parse("spec", text).is_ok()
        && let Ok(file) = bake("spec", text, &BakeOptions::default())
    {
        let model = Model::from_bytes("model", &file).expect("what was baked can be read");
        said(&model);
    }
}

/// What users and files write of units.
pub(crate) fn units(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(spacing) = text.parse::<Spacing>() {
        let again = spacing.to_string().parse::<Spacing>();
        assert_eq!(again.ok().as_ref(), Some(&spacing), "{text:?} is {spacing}");
    }
    if let Ok(Some(unit)) = canonical_unit(text) {
        assert_eq!(canonical_unit(unit).ok().flatten(), Some(unit), "{text:?}");
    }
    let _ = text.parse::<UnitFormula>();
}

/// The journal of an interrupted run, and a part beside it, which a later run takes up.
pub(crate) fn journal(bytes: &[u8]) {
    let folder = folder();
    let dir = folder.path().join("out");
    let formats = [Format::Npy];
    let mut to = Destination::new(&dir, &formats);
    let outputs = [MapInfo {
        name: "lambda".into(),
        quantity: "diffusivity".into(),
        unit: None,
        shape: [2, 3],
        maps: None,
        start: 0.0,
        spacing: Spacing::default(),
        log_scale: true,
        description: String::new(),
        recording: None,
        acquired: None,
    }];
    let start = |to: &Destination<'_>| OutputSet::create(to, &outputs);
    {
        let mut set = start(&to).expect("a run");
        for map in 0..3 {
            set.write(map, map, map as f64, &[&[1.0; 6]], serde_json::Value::Null).expect("a map");
        }
    }
    // The journal's lines behind the first; a NUL stands before what the part holds.
    let mut halves = bytes.splitn(2, |b| *b == 0);
    let path: PathBuf = dir.join("journal.jsonl");
    let mut text = fs::read(&path).expect("a journal");
    if let Some(lines) = halves.next().filter(|l| !l.is_empty()) {
        let first = text.iter().position(|b| *b == b'\n').expect("a line");
        text.truncate(first + 1);
        text.extend_from_slice(lines);
        fs::write(&path, &text).expect("a journal");
    }
    if let Some(part) = halves.next() {
        fs::write(dir.join("lambda.npy.part"), part).expect("a part");
    }
    to.resume = true;
    if let Ok(mut set) = start(&to) {
        let mut seen = 0;
        if let Ok(kept) = set.replay(&mut |kept| {
            assert_eq!(kept.number, seen);
            assert_eq!(kept.outputs.len(), 1);
            assert_eq!(kept.outputs[0].len(), 6);
            seen += 1;
        }) {
            assert_eq!(kept, seen);
            // And goes on from there.
            set.write(kept, kept, 0.0, &[&[1.0; 6]], serde_json::Value::Null).expect("a map");
        }
    }
}

/// What the command does with any model before it computes.
fn said(model: &Model) {
    let contract = &model.contract;
    for output in &contract.outputs {
        let _ = output.unit.parse::<UnitFormula>();
    }
    let _ = serde_json::to_string(contract).expect("a contract is JSON");
}

fn prefixed(bytes: &[u8], magic: &[u8]) -> Vec<u8> {
    if bytes.starts_with(magic) {
        return bytes.to_vec();
    }
    let mut all = magic.to_vec();
    all.extend_from_slice(bytes.get(magic.len()..).unwrap_or_default());
    all
}

fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, b) in bytes.iter().take(5).enumerate() {
        value |= usize::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

fn push_varint(to: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
