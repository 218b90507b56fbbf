//! NDTiff data sets made by hand, finished and in the making, against the values that were written.
#![cfg(feature = "std")]

use std::fs::{self, File, OpenOptions as FileOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mollifier::model::Kind;
use mollifier::source::{Follow, Frame, FrameInfo, Input, OpenOptions, Pixels, Read, Selection, SourceError, open};

const SHAPE: [usize; 2] = [12, 17];

fn values(frame: u64) -> Vec<u16> {
    (0..SHAPE[0] * SHAPE[1]).map(|pixel| ((frame as usize * 977 + pixel * 31) % 4093) as u16).collect()
}

/// Writes a data set piece by piece: as the program does, images into a stack and then an entry into the index.
struct Writer {
    folder: PathBuf,
    stack: Vec<u8>,
}

impl Writer {
    fn new(folder: &Path, summary: &str, version: u32) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let mut stack = b"II\x2a\x00\x00\x00\x00\x00".to_vec();
        let words: &[u32] = if version == 3 { &[483_729, 3, 3] } else { &[483_729, 2] };
        let words = words.iter().copied().chain([2_355_492, summary.len() as u32]);
        stack.extend(words.flat_map(u32::to_le_bytes));
        stack.extend(summary.bytes());
        let this = Self { folder: folder.to_owned(), stack };
        this.flush();
        this
    }

    fn flush(&self) {
        fs::write(self.folder.join("NDTiffStack.tif"), &self.stack).expect("it is written");
    }

    /// Put an image into the stack and give its entry.
    fn image(&mut self, axes: &str, pixels: &[u16], metadata: &str) -> Vec<u8> {
        // Where a directory would stand.
        self.stack.extend([0; 50]);
        let offset = self.stack.len() as u32;
        self.stack.extend(pixels.iter().flat_map(|v| v.to_le_bytes()));
        let after = self.stack.len() as u32;
        self.stack.extend(metadata.bytes());
        let mut entry = Vec::new();
        for text in [axes, "NDTiffStack.tif"] {
            entry.extend((text.len() as u32).to_le_bytes());
            entry.extend(text.bytes());
        }
        let [rows, columns] = SHAPE.map(|n| n as u32);
        for word in [offset, columns, rows, 1, 0, after, metadata.len() as u32, 0] {
            entry.extend(word.to_le_bytes());
        }
        entry
    }

    fn append(&self, bytes: &[u8]) {
        let mut options = FileOptions::new();
        let file = options.create(true).append(true).open(self.folder.join("NDTiff.index"));
        file.and_then(|mut file| file.write_all(bytes)).expect("it is written");
    }

    fn put(&mut self, axes: &str, pixels: &[u16], metadata: &str) {
        let entry = self.image(axes, pixels, metadata);
        self.flush();
        self.append(&entry);
    }
}

fn own(ms: f64) -> String {
    format!(r#"{{"PixelSizeUm":0.325,"ElapsedTime-ms":{ms},"Camera":"c"}}"#)
}

fn options(follow: Option<f64>) -> OpenOptions {
    let follow = follow.map(|idle| Follow { stop: Arc::default(), idle: Some(Duration::from_secs_f64(idle)) });
    OpenOptions { follow, ..OpenOptions::new(Kind::Fields) }
}

type Frames = Vec<(u64, Option<f64>, Pixels)>;

fn drain(folder: &Path, options: &OpenOptions) -> Result<(FrameInfo, Frames, Option<SourceError>), SourceError> {
    let Input::Frames(mut source) = open(&folder.display().to_string(), options)? else { panic!("frames") };
    let (mut frame, mut frames) = (Frame::default(), Vec::new());
    loop {
        match source.read(&mut frame) {
            Ok(Read::Filled) => frames.push((frame.index, frame.time, frame.pixels.clone())),
            Ok(Read::End) => return Ok((source.info().clone(), frames, None)),
            Err(e) => return Ok((source.info().clone(), frames, Some(e))),
        }
    }
}

fn read(folder: &Path, options: &OpenOptions) -> Result<(FrameInfo, Frames), SourceError> {
    let (info, frames, error) = drain(folder, options)?;
    error.map_or(Ok((info, frames)), Err)
}

fn message(folder: &Path, options: &OpenOptions) -> String {
    let error = read(folder, options).expect_err("it is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&folder.display().to_string(), "S").replace('\\', "/")
}

#[test]
fn frames_times_and_spacing() {
    for (version, sub) in [(3, ""), (2, "Full resolution"), (3, "Full resolution")] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::new(&folder.path().join(sub), r#"{"Interval_ms":500}"#, version);
        // Time 2 is written before 1, time 3 never.
        for (frame, ms) in [(0, 30.0), (2, 1041.0), (1, 530.5), (4, 2030.0)] {
            writer.put(&format!(r#"{{"time":{frame},"z":0}}"#), &values(frame), &own(ms));
        }
        let (info, frames) = read(folder.path(), &options(None)).expect("a data set");
        assert_eq!((info.shape, info.count), (SHAPE, Some(4)));
        assert_eq!(info.spacing.to_string(), "t=0.5s,y=0.325um,x=0.325um");
        assert_eq!(info.warnings, [""; 0]);
        let expected = [(0, 0.0), (1, 0.5005), (2, 1.011), (4, 2.0)];
        assert_eq!(frames.len(), 4);
        for ((index, time, pixels), (wanted, at)) in frames.iter().zip(expected) {
            assert_eq!(*index, wanted);
            assert!(time.is_some_and(|t| (t - at).abs() < 1e-9), "{time:?}");
            assert!(*pixels == Pixels::U16(values(wanted)));
        }
    }
}

#[test]
fn the_interval_of_the_first_two_frames_where_none_is_stated() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::new(folder.path(), r#"{"Interval_ms":0,"PixelSize_um":0.1}"#, 3);
    writer.put(r#"{"time":0}"#, &values(0), r#"{"ElapsedTime-ms":"12"}"#);
    writer.put(r#"{"time":2}"#, &values(2), r#"{"ElapsedTime-ms":"62"}"#);
    let (info, _) = read(folder.path(), &options(None)).expect("a data set");
    assert_eq!(info.spacing.to_string(), "t=0.025s,y=0.1um,x=0.1um");
    assert_eq!(info.warnings, ["the frame interval 0.025s is that of the first two frames"]);
}

#[test]
fn a_channel_is_chosen_by_number_or_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::new(folder.path(), r#"{"ChNames":["DAPI","GFP"]}"#, 3);
    for t in 0..3 {
        for c in 0..2 {
            writer.put(&format!(r#"{{"time":{t},"channel":{c}}}"#), &values(10 * t + c), "{}");
        }
    }
    for (choice, c) in ["0", "DAPI", "1", "GFP"].into_iter().zip([0, 0, 1, 1]) {
        let mut select = Selection::default();
        select.add("c", choice).expect("a choice");
        let (_, frames) = read(folder.path(), &OpenOptions { select, ..options(None) }).expect("a channel");
        let expected: Frames = (0..3).map(|t| (t, None, Pixels::U16(values(10 * t + c)))).collect();
        assert!(frames == expected, "{choice}");
    }
    let mut select = Selection::default();
    select.add("c", "DIC").expect("a choice");
    let got = message(folder.path(), &OpenOptions { select, ..options(None) });
    assert_eq!(got, "S: got no image at --select c=DIC, expected a place that the data set has");
    let got = message(folder.path(), &options(None));
    assert_eq!(got, "S: got images at 0 and at 1 along c, expected one, or a choice: --select c=1");
}

#[test]
fn damage_gives_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::new(folder.path(), "{}", 3);
    (0..3).for_each(|t| writer.put(&format!(r#"{{"time":{t}}}"#), &values(t), "{}"));
    let index = folder.path().join("NDTiff.index");
    let whole = fs::read(&index).expect("an index");

    fs::write(&index, &whole[..whole.len() - 10]).expect("cut off");
    let (_, frames, error) = drain(folder.path(), &options(None)).expect("its start is sound");
    let error = error.expect("cut off").to_string().replace(&folder.path().display().to_string(), "S");
    assert_eq!(frames.len(), 2);
    assert!(error.replace('\\', "/").starts_with("S/NDTiff.index: got the file's end at byte "), "{error}");
    // A file that was made long before and is zero behind the last entry is no damage.
    let mut zeros = whole.clone();
    zeros.resize(1 << 21, 0);
    fs::write(&index, &zeros).expect("written");
    assert_eq!(read(folder.path(), &options(None)).expect("whole").1.len(), 3);

    fs::write(&index, &whole).expect("mended");
    let stack = folder.path().join("NDTiffStack.tif");
    let length = fs::metadata(&stack).expect("a stack").len();
    File::options().write(true).open(&stack).and_then(|f| f.set_len(length - 300)).expect("cut off");
    let cut = message(folder.path(), &options(None));
    assert!(cut.starts_with("S, frame 2 (from 0): got the end of NDTiffStack.tif at byte "), "{cut}");

    for (at, byte, expected) in [
        (7, b'x', "images with axes (txme) and (t)"),
        (5, b'x', "axes {xtime"),
        (0, 0xff, "a text of"),
        (3, 0xff, "a text of"),
    ] {
        let mut damaged = whole.clone();
        damaged[at] = byte;
        fs::write(&index, &damaged).expect("damaged");
        let got = message(folder.path(), &options(None));
        assert!(got.contains(expected) || got.contains("an index without images"), "{got}");
    }
    fs::write(&index, b"").expect("emptied");
    assert!(message(folder.path(), &options(None)).contains("an index without images"));
}

#[test]
fn bytes_changed_anywhere_give_frames_or_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::new(folder.path(), r#"{"Interval_ms":500}"#, 3);
    (0..3).for_each(|t| writer.put(&format!(r#"{{"time":{t}}}"#), &values(t), &own(500.0 * t as f64)));
    let options = OpenOptions { max_pixels: 10_000, ..options(None) };
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut refused = 0;
    for round in 0..900 {
        let path = folder.path().join(["NDTiff.index", "NDTiffStack.tif"][round % 2]);
        let sound = fs::read(&path).expect("it is there");
        let mut bytes = sound.clone();
        for _ in 0..1 + random(3) {
            let at = random(bytes.len().min(300));
            bytes[at] = if random(2) == 0 { b'0' + random(10) as u8 } else { random(256) as u8 };
        }
        fs::write(&path, &bytes).expect("changed");
        let error = match drain(folder.path(), &options) {
            Ok((_, _, error)) => error,
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            refused += 1;
        }
        fs::write(&path, &sound).expect("mended");
    }
    assert!((200..900).contains(&refused), "{refused}");
}

#[test]
fn a_file_outside_the_data_set_is_not_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::new(folder.path(), "{}", 3);
    let mut entry = writer.image(r#"{"time":0}"#, &values(0), "{}");
    let at = entry.windows(11).position(|w| w == b"NDTiffStack").expect("the name");
    entry[at..at + 11].copy_from_slice(b"../../../et");
    writer.append(&entry);
    assert!(message(folder.path(), &options(None)).contains("expected one in the data set"));
}

#[test]
fn a_data_set_that_grows_gives_the_frames_of_the_finished_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, at) = (folder.path().join("run_1"), folder.path().join("run_1"));
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        let mut writer = Writer::new(&at, "{}", 3);
        for t in [0, 1, 2, 3, 5, 4, 6, 8, 9] {
            thread::sleep(Duration::from_millis(30));
            let entry = writer.image(&format!(r#"{{"time":{t}}}"#), &values(t), &own(20.0 * t as f64));
            // The entry comes before its image here, and in pieces: neither order is promised. Time 7 never comes.
            for part in entry.chunks(entry.len() / 3 + 1) {
                writer.append(part);
                thread::sleep(Duration::from_millis(5));
            }
            let whole = writer.stack.clone();
            writer.stack.truncate(whole.len() - 300);
            writer.stack.resize(whole.len(), 0);
            writer.flush();
            thread::sleep(Duration::from_millis(15));
            writer.stack = whole;
            writer.flush();
        }
    });
    let (live_info, live) = read(&path, &options(Some(1.5))).expect("it appears");
    writer.join().expect("it writes");
    let (info, finished) = read(&path, &options(None)).expect("it is there");
    assert_eq!(live.iter().map(|f| f.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    assert!(live == finished);
    assert_eq!(live_info.spacing, info.spacing);
    assert_eq!(info.spacing.to_string(), "t=0.02s,y=0.325um,x=0.325um");
}
