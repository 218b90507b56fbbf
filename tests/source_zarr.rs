//! OME-Zarr stores, our own and made by hand, finished and in the making, against the values that were written.
#![cfg(feature = "std")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mollifier::model::Kind;
use mollifier::source::{Follow, Frame, FrameInfo, Input, OpenOptions, Pixels, Read, Selection, SourceError, open};
use serde_json::{Value, json};

const SHAPE: [usize; 2] = [20, 33];
/// Rows and columns of a chunk; two by two of them are a frame.
const CHUNK: [usize; 2] = [12, 20];
const FILL: u16 = 7;

fn value(frame: u64, pixel: usize) -> u16 {
    ((frame as usize * 977 + pixel * 31) % 4093) as u16 + 8
}

fn pixels(frame: u64) -> Pixels {
    Pixels::U16((0..SHAPE[0] * SHAPE[1]).map(|pixel| value(frame, pixel)).collect())
}

/// One chunk of a frame, as bytes.
fn chunk(frame: u64, cell: [usize; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for y in cell[0] * CHUNK[0]..(cell[0] + 1) * CHUNK[0] {
        for x in cell[1] * CHUNK[1]..(cell[1] + 1) * CHUNK[1] {
            let inside = y < SHAPE[0] && x < SHAPE[1];
            let value = if inside { value(frame, y * SHAPE[1] + x) } else { FILL };
            bytes.extend(value.to_le_bytes());
        }
    }
    bytes
}

fn cells() -> impl Iterator<Item = [usize; 2]> {
    [[0, 0], [0, 1], [1, 0], [1, 1]].into_iter()
}

fn write(path: &Path, json: &Value) {
    let new = path.with_extension("new");
    fs::write(&new, json.to_string()).and_then(|()| fs::rename(&new, path)).expect("it is written");
}

fn axes(names: &[&str]) -> Value {
    let axis = |name: &&str| match *name {
        "t" => json!({ "name": "t", "type": "time", "unit": "millisecond" }),
        "c" => json!({ "name": "c", "type": "channel" }),
        other => json!({ "name": other, "type": "space", "unit": "micrometer" }),
    };
    names.iter().map(axis).collect()
}

/// The group of an image of version 0.5 with the axes t, c, y, x or fewer.
fn group(root: &Path, names: &[&str]) {
    fs::create_dir_all(root.join("0")).expect("folders");
    let scale: Vec<f64> = names
        .iter()
        .map(|n| {
            if *n == "t" {
                40.0
            } else if *n == "c" {
                1.0
            } else {
                0.25
            }
        })
        .collect();
    let dataset = json!({ "path": "0", "coordinateTransformations": [{ "type": "scale", "scale": scale }] });
    let image = json!({ "version": "0.5", "multiscales": [{ "axes": axes(names), "datasets": [dataset] }],
        "omero": { "channels": [{ "label": "DAPI" }, { "label": "GFP" }] } });
    write(&root.join("zarr.json"), &json!({ "zarr_format": 3, "node_type": "group", "attributes": { "ome": image } }));
}

fn array(shape: &[u64], chunk: &[u64]) -> Value {
    json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint16", "fill_value": FILL,
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": chunk } },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }],
    })
}

/// A store of version 0.5 with so many frames, axes (t, y, x), none of them written.
fn store(root: &Path, frames: u64) {
    group(root, &["t", "y", "x"]);
    grow(root, frames);
}

fn grow(root: &Path, frames: u64) {
    let shape = [frames, SHAPE[0] as u64, SHAPE[1] as u64];
    write(&root.join("0/zarr.json"), &array(&shape, &[1, CHUNK[0] as u64, CHUNK[1] as u64]));
}

fn put(root: &Path, frame: u64, cell: [usize; 2], bytes: &[u8]) {
    let path = root.join(format!("0/c/{frame}/{}/{}", cell[0], cell[1]));
    fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(path, bytes)).expect("it is written");
}

fn put_all(root: &Path, frame: u64) {
    cells().for_each(|cell| put(root, frame, cell, &chunk(frame, cell)));
}

fn options(follow: Option<f64>) -> OpenOptions {
    let follow = follow.map(|idle| Follow { stop: Arc::default(), idle: Some(Duration::from_secs_f64(idle)) });
    OpenOptions { follow, ..OpenOptions::new(Kind::Fields) }
}

/// Frames up to the end, or to the error that ended them.
fn read(root: &Path, options: &OpenOptions) -> Result<(FrameInfo, Vec<(u64, Pixels)>), SourceError> {
    let Input::Frames(mut source) = open(&root.display().to_string(), options)? else { panic!("frames") };
    let (mut frame, mut frames) = (Frame::default(), Vec::new());
    while source.read(&mut frame)? == Read::Filled {
        assert_eq!(frame.shape, source.info().shape);
        frames.push((frame.index, frame.pixels.clone()));
    }
    Ok((source.info().clone(), frames))
}

fn message(root: &Path, options: &OpenOptions) -> String {
    let error = read(root, options).expect_err("it is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&root.display().to_string(), "S").replace('\\', "/")
}

#[test]
fn axes_units_and_missing_chunks() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a.ome.zarr");
    store(&root, 6);
    [0, 1, 3].into_iter().for_each(|frame| put_all(&root, frame));
    put(&root, 2, [0, 1], &chunk(2, [0, 1]));
    let (info, frames) = read(&root, &options(None)).expect("a store");
    assert_eq!((info.shape, info.count), (SHAPE, Some(6)));
    assert_eq!(info.spacing.to_string(), "t=40ms,y=0.25um,x=0.25um");
    let expected = "the last 2 of 6 frames were never written and are the store's fill value";
    assert_eq!(info.warnings, [expected]);
    for frame in [0, 1, 3] {
        assert_eq!(frames[frame as usize], (frame, pixels(frame)));
    }
    for frame in [2, 4, 5] {
        let there = |i: usize| frame == 2 && i / SHAPE[1] < CHUNK[0] && i % SHAPE[1] >= CHUNK[1];
        let filled = |i: usize| if there(i) { value(2, i) } else { FILL };
        let expected = (0..SHAPE[0] * SHAPE[1]).map(filled).collect();
        assert!(frames[frame as usize] == (frame, Pixels::U16(expected)), "{frame}");
    }
    // The array by itself, without the image's axes and units.
    let (info, alone) = read(&root.join("0"), &options(None)).expect("an array");
    assert!(alone == frames && info.spacing.is_empty());
}

#[test]
fn a_channel_is_chosen_by_number_or_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a.ome.zarr");
    group(&root, &["t", "c", "z", "y", "x"]);
    let [rows, columns] = SHAPE.map(|n| n as u64);
    write(&root.join("0/zarr.json"), &array(&[2, 2, 1, rows, columns], &[1, 2, 1, rows, columns]));
    for t in 0..2 {
        let bytes: Vec<u8> = (0..2)
            .flat_map(|c| match pixels(10 * t + c) {
                Pixels::U16(values) => values.into_iter().flat_map(u16::to_le_bytes),
                _ => unreachable!("that is what pixels are"),
            })
            .collect();
        let path = root.join(format!("0/c/{t}/0/0/0/0"));
        fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(path, bytes)).expect("written");
    }
    let chosen = |text: &[(&str, &str)]| {
        let mut select = Selection::default();
        text.iter().for_each(|(axis, value)| select.add(axis, value).expect("a choice"));
        OpenOptions { select, ..options(None) }
    };
    for (choice, c) in [("c", "0"), ("channel", "DAPI"), ("c", "1"), ("C", "GFP")].into_iter().zip([0, 0, 1, 1]) {
        let (_, frames) = read(&root, &chosen(&[choice])).expect("a channel");
        assert!(frames == [(0, pixels(c)), (1, pixels(10 + c))], "{choice:?}");
    }
    assert_eq!(
        message(&root, &options(None)),
        "S: got 2 places along c (DAPI, GFP), expected one, or a choice: --select c=0"
    );
    assert_eq!(
        message(&root, &chosen(&[("c", "2")])),
        "S: got --select c=2 with 2 places along c (DAPI, GFP), expected one of them, counted from 0"
    );
    assert_eq!(
        message(&root, &chosen(&[("c", "0"), ("p", "1")])),
        "S: got --select p=1, expected --select of an axis that it has beside t, y and x (c, z)"
    );
    assert!(read(&root, &options(None)).expect_err("two").is_misuse());
}

#[test]
fn damage_gives_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a.ome.zarr");
    store(&root, 3);
    (0..3).for_each(|frame| put_all(&root, frame));
    put(&root, 1, [1, 0], &chunk(1, [1, 0])[..100]);
    assert_eq!(
        message(&root, &options(None)),
        "S, frame 1 of 3 (from 0): got a chunk of 100 bytes in c/1/1/0, expected a chunk of 480 bytes"
    );
    let with = |change: &dyn Fn(&mut Value)| {
        let mut json = array(&[3, 20, 33], &[1, 12, 20]);
        change(&mut json);
        write(&root.join("0/zarr.json"), &json);
        message(&root, &options(None))
    };
    let big = with(&|a| a["shape"] = json!([3, 1_u64 << 40, 1_u64 << 40]));
    assert!(big.contains("1099511627776x1099511627776"), "{big}");
    let big = with(&|a| a["chunk_grid"]["configuration"]["chunk_shape"] = json!([1 << 20, 1 << 20, 1]));
    assert!(big.contains("over the limit"), "{big}");
    let big = with(&|a| a["chunk_grid"]["configuration"]["chunk_shape"] = json!([u64::MAX, u64::MAX, 2]));
    assert!(big.contains("over the limit"), "{big}");
    let codec = with(&|a| a["codecs"] = json!([{ "name": "bytes" }, { "name": "numcodecs.bz2" }]));
    assert!(codec.contains("codec numcodecs.bz2"), "{codec}");
    let kind = with(&|a| a["data_type"] = json!("complex64"));
    assert!(kind.contains("data type complex64"), "{kind}");
    let fill = with(&|a| a["fill_value"] = json!(65536));
    assert!(fill.contains("fill_value 65536"), "{fill}");
    let empty = with(&|a| a["shape"] = json!([0, 20, 33]));
    assert!(empty.contains("an array without frames"), "{empty}");
    for file in ["0/zarr.json", "zarr.json"] {
        let text = fs::read(root.join(file)).expect("metadata");
        fs::write(root.join(file), &text[..text.len() / 2]).expect("cut off");
        let cut = message(&root, &options(None));
        assert!(cut.contains("bytes that are no JSON") && cut.contains(file), "{cut}");
        fs::write(root.join(file), text).expect("mended");
    }
    write(&root.join("zarr.json"), &json!({ "zarr_format": 3, "node_type": "group", "attributes": {} }));
    assert!(message(&root, &options(None)).contains("no multiscales"));
    let plate = json!({ "ome": { "version": "0.5", "plate": {} } });
    write(&root.join("zarr.json"), &json!({ "zarr_format": 3, "node_type": "group", "attributes": plate }));
    assert!(message(&root, &options(None)).ends_with("give its own path, such as S/A/1/0"));
}

#[test]
fn bytes_changed_anywhere_give_frames_or_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a.ome.zarr");
    store(&root, 3);
    (0..3).for_each(|frame| put_all(&root, frame));
    // A shard of three frames with its index, beside the chunks.
    let sharded = json!([{ "name": "sharding_indexed", "configuration": {
        "chunk_shape": [1, 12, 20], "codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }],
        "index_codecs": [{ "name": "bytes" }], "index_location": "start" } }]);
    let mut shard = Vec::new();
    let chunks: Vec<Vec<u8>> = (0..3).flat_map(|frame| cells().map(move |cell| chunk(frame, cell))).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let at = 16 * chunks.len() + i * chunk.len();
        shard.extend([at as u64, chunk.len() as u64].iter().flat_map(|v| v.to_le_bytes()));
    }
    shard.extend(chunks.concat());
    let mut json = array(&[3, 20, 33], &[3, 24, 40]);
    json["codecs"] = sharded;
    let second = folder.path().join("b.ome.zarr");
    store(&second, 3);
    write(&second.join("0/zarr.json"), &json);
    fs::create_dir_all(second.join("0/c/0/0"))
        .and_then(|()| fs::write(second.join("0/c/0/0/0"), &shard))
        .expect("written");
    let whole = read(&second, &options(None)).expect("a store").1;
    assert!(whole == read(&root, &options(None)).expect("a store").1);

    let files = ["zarr.json", "0/zarr.json", "0/c/0/0/0"];
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    // Sizes that a change makes larger are over this limit, so that no test takes long.
    let options = OpenOptions { max_pixels: 10_000, ..options(None) };
    let mut refused = 0;
    for round in 0..900 {
        let (root, file) = ([&root, &second][round % 2], files[round % 3]);
        let path = root.join(file);
        let sound = fs::read(&path).expect("it is there");
        let mut bytes = sound.clone();
        // The index is what can go wrong in a shard.
        let reach = if file.ends_with("json") { bytes.len() } else { 192 };
        for _ in 0..1 + random(3) {
            let at = random(reach);
            bytes[at] = if random(2) == 0 { b'0' + random(10) as u8 } else { random(256) as u8 };
        }
        fs::write(&path, &bytes).expect("changed");
        if let Ok(Input::Frames(mut source)) = open(&root.display().to_string(), &options) {
            let mut frame = Frame::default();
            for _ in 0..4 {
                if source.read(&mut frame).is_err_and(|e| e.to_string().lines().count() == 1) {
                    refused += 1;
                    break;
                }
            }
        } else {
            refused += 1;
        }
        fs::write(&path, &sound).expect("mended");
    }
    assert!((200..900).contains(&refused), "{refused}");
}

#[test]
fn a_store_that_grows_gives_its_frames_when_they_are_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a.ome.zarr");
    let at = root.clone();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        fs::create_dir(&at).expect("a folder");
        store(&at, 0);
        for frame in 0..12 {
            thread::sleep(Duration::from_millis(20));
            // Made larger before it is written, as most programs do, and one chunk after the other, in pieces.
            grow(&at, frame + 1);
            for cell in cells() {
                let bytes = chunk(frame, cell);
                put(&at, frame, cell, &bytes[..200]);
                thread::sleep(Duration::from_millis(5));
                put(&at, frame, cell, &bytes);
            }
        }
    });
    let (info, live) = read(&root, &options(Some(1.5))).expect("it appears");
    writer.join().expect("it writes");
    assert_eq!(info.count, None);
    assert!(live == read(&root, &options(None)).expect("it is there").1);
    assert!(live.iter().zip(0..12).all(|(found, frame)| *found == (frame, pixels(frame))) && live.len() == 12);
}

#[test]
fn frames_that_are_not_written_yet_are_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a.ome.zarr");
    // Made for 40 frames from the start; one comes late, one lacks a chunk that is all fill value, one is damaged.
    store(&root, 40);
    let at = root.clone();
    let writer = thread::spawn(move || {
        for frame in [0, 1, 3, 2, 4, 5, 6, 7, 8, 9] {
            thread::sleep(Duration::from_millis(30));
            match frame {
                5 => cells().skip(1).for_each(|cell| put(&at, 5, cell, &chunk(5, cell))),
                7 => cells().for_each(|cell| put(&at, 7, cell, &chunk(7, cell)[1..])),
                _ => put_all(&at, frame),
            }
        }
    });
    let start = Instant::now();
    let (_, live) = read(&root, &options(Some(4.0))).expect("it goes on");
    assert!(start.elapsed() < Duration::from_secs(12));
    writer.join().expect("it writes");
    let indices: Vec<u64> = live.iter().map(|(index, _)| *index).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    for (index, found) in &live {
        if *index != 5 {
            assert!(*found == pixels(*index), "{index}");
        }
    }
    let filled = |i: usize| if i / SHAPE[1] < CHUNK[0] && i % SHAPE[1] < CHUNK[1] { FILL } else { value(5, i) };
    assert!(live[5].1 == Pixels::U16((0..SHAPE[0] * SHAPE[1]).map(filled).collect()));
}

#[test]
fn a_chunk_of_several_frames_is_read_as_it_fills() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a.ome.zarr");
    group(&root, &["t", "y", "x"]);
    let [rows, columns] = SHAPE.map(|n| n as u64);
    write(&root.join("0/zarr.json"), &array(&[9, rows, columns], &[4, rows, columns]));
    let at = root.clone();
    let writer = thread::spawn(move || {
        for frame in 0..9_u64 {
            thread::sleep(Duration::from_millis(60));
            // The whole chunk again with each frame, in one step.
            let (first, mut bytes) = (frame / 4 * 4, Vec::new());
            for i in first..first + 4 {
                match pixels(i) {
                    Pixels::U16(v) if i <= frame => bytes.extend(v.iter().flat_map(|v| v.to_le_bytes())),
                    _ => bytes.extend(FILL.to_le_bytes().repeat(SHAPE[0] * SHAPE[1])),
                }
            }
            let path = at.join(format!("0/c/{}/0/0", frame / 4));
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(at.join("new"), bytes).and_then(|()| fs::rename(at.join("new"), path)).expect("written");
        }
    });
    let (_, live) = read(&root, &options(Some(1.5))).expect("it goes on");
    writer.join().expect("it writes");
    assert!(live.iter().zip(0..9).all(|(found, frame)| *found == (frame, pixels(frame))));
    assert_eq!(live.len(), 9);
}
