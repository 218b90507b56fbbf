//! Recordings that are still being written give the frames of the finished ones.

use std::fs::{self, File, OpenOptions as FileOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mollifier::model::Kind;
use mollifier::source::{
    Follow, Frame, FrameSource, Input, OpenOptions, Pixels, Read, SampleSource, Samples, SourceError, open,
};

const SHAPE: [usize; 2] = [24, 31];

fn value(frame: usize, pixel: usize) -> u16 {
    ((frame * 977 + pixel * 31) % 4093) as u16
}

fn pixels(frame: usize) -> Vec<u16> {
    (0..SHAPE[0] * SHAPE[1]).map(|pixel| value(frame, pixel)).collect()
}

fn png(frame: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SHAPE[1] as u32, SHAPE[0] as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    let data: Vec<u8> = pixels(frame).iter().flat_map(|v| v.to_be_bytes()).collect();
    encoder.write_header().and_then(|mut w| w.write_image_data(&data)).expect("it is encoded");
    bytes
}

fn tiff(path: &Path, frames: usize, compressed: bool) {
    use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, colortype::Gray16};
    let encoder = TiffEncoder::new(File::create(path).expect("a file")).expect("an encoder");
    let compression = if compressed { Compression::Deflate(DeflateLevel::Fast) } else { Compression::Uncompressed };
    let mut encoder = encoder.with_compression(compression);
    for frame in 0..frames {
        encoder.write_image::<Gray16>(SHAPE[1] as u32, SHAPE[0] as u32, &pixels(frame)).expect("it is written");
    }
}

fn source(path: &Path, follow: Option<Follow>) -> Result<Box<dyn FrameSource>, SourceError> {
    let options = OpenOptions { follow, ..OpenOptions::new(Kind::Fields) };
    match open(&path.display().to_string(), &options)? {
        Input::Frames(source) => Ok(source),
        Input::Series(_) => unreachable!("images were written"),
    }
}

/// Indices and pixels up to the end.
fn frames(mut source: Box<dyn FrameSource>) -> Vec<(u64, Pixels)> {
    let mut all = Vec::new();
    let mut frame = Frame::default();
    while source.read(&mut frame).expect("a frame") == Read::Filled {
        all.push((frame.index, frame.pixels.clone()));
    }
    all
}

/// Until nothing has come for this long.
fn until_idle(seconds: f64) -> Follow {
    Follow { stop: Arc::default(), idle: Some(Duration::from_secs_f64(seconds)) }
}

fn write_torn(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).expect("a file");
    for part in bytes.chunks(bytes.len() / 3 + 1) {
        file.write_all(part).expect("it is written");
        thread::sleep(Duration::from_millis(15));
    }
}

#[test]
fn a_folder_that_grows_gives_the_frames_of_the_finished_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("frames");
    let path = at.clone();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        fs::create_dir(&at).expect("a folder");
        // Number 9 never comes, 12 comes before 11, and every file is torn for a while.
        for frame in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 11, 13, 14] {
            write_torn(&at.join(format!("img_{frame:03}.png")), &png(frame));
        }
    });
    let live = frames(source(&path, Some(until_idle(2.0))).expect("it appears"));
    writer.join().expect("it writes");
    let finished = frames(source(&path, None).expect("it is there"));
    let indices: Vec<u64> = live.iter().map(|f| f.0).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14]);
    assert!(live == finished);
}

#[test]
fn steps_in_the_numbers_are_no_loss_and_a_file_left_broken_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let writer = thread::spawn({
        let path = path.clone();
        move || {
            for frame in 0..8 {
                let bytes = png(frame);
                let kept = if frame == 5 { bytes.len() / 2 } else { bytes.len() };
                fs::write(path.join(format!("t{}.png", 1000 + 20 * frame)), &bytes[..kept]).expect("it is written");
                thread::sleep(Duration::from_millis(30));
            }
        }
    });
    let live = frames(source(&path, Some(until_idle(4.0))).expect("it appears"));
    writer.join().expect("it writes");
    assert_eq!(live.iter().map(|f| f.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6, 7]);
    assert_eq!(live[5].1, Pixels::U16(pixels(6)));
}

/// The wait for the end is shorter than that for a file to become whole: what is behind it is given all the same.
#[test]
fn a_broken_file_is_a_lost_frame_and_not_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    for frame in 0..8 {
        let bytes = png(frame);
        let whole = if matches!(frame, 4 | 5) { bytes.len() / 2 } else { bytes.len() };
        fs::write(folder.path().join(format!("f{frame:03}.png")), &bytes[..whole]).expect("it is written");
    }
    let given = frames(source(folder.path(), Some(until_idle(0.7))).expect("a folder"));
    let indices: Vec<u64> = given.iter().map(|(index, _)| *index).collect();
    assert_eq!(indices, [0, 1, 2, 3, 6, 7]);
}

#[test]
fn a_file_that_is_taken_away_is_a_lost_frame_and_a_folder_that_is_gone_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, away) = (folder.path().join("frames"), folder.path().join("away"));
    fs::create_dir(&path).expect("a folder");
    for frame in 0..9 {
        fs::write(path.join(format!("f{frame}.png")), png(frame)).expect("it is written");
    }
    let mut live = source(&path, Some(until_idle(6.0))).expect("it is there");
    let mut frame = Frame::default();
    let mut next = || (live.read(&mut frame).expect("a frame") == Read::Filled).then_some(frame.index);
    assert_eq!([next(), next()], [Some(0), Some(1)]);
    // Longer than a file that is broken is waited for.
    fs::rename(&path, &away).expect("it is moved");
    let back = thread::spawn({
        let path = path.clone();
        move || {
            thread::sleep(Duration::from_secs(3));
            fs::remove_file(away.join("f4.png")).expect("it was there");
            fs::rename(&away, &path).expect("it is moved");
        }
    });
    assert_eq!(
        [(); 7].map(|()| next()),
        [2, 3, 5, 6, 7, 8].map(Some).into_iter().chain([None]).collect::<Vec<_>>()[..]
    );
    back.join().expect("it ends");
}

#[test]
fn a_tiff_that_grows_byte_by_byte_gives_the_frames_of_the_finished_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for compressed in [false, true] {
        let (whole, growing) = (folder.path().join("whole.tif"), folder.path().join("growing.tif"));
        tiff(&whole, 9, compressed);
        let bytes = fs::read(&whole).expect("it is there");
        let writer = thread::spawn({
            let growing = growing.clone();
            move || {
                let mut file = File::create(growing).expect("a file");
                // Through the directory and the pixels at odd places.
                for (i, part) in bytes.chunks(271).enumerate() {
                    file.write_all(part).expect("it is written");
                    file.flush().expect("it is written");
                    thread::sleep(Duration::from_millis(if i % 7 == 0 { 30 } else { 1 }));
                }
            }
        });
        let live = frames(source(&growing, Some(until_idle(1.0))).expect("it appears"));
        writer.join().expect("it writes");
        assert_eq!(live.len(), 9);
        assert!(live == frames(source(&whole, None).expect("it is there")));
        fs::remove_file(&growing).expect("it was there");
    }
}

/// Writers that link a page only when it is complete, and those that link it first.
#[test]
fn a_page_is_given_once_its_pixels_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("movie.tif");
    tiff(&path, 3, false);
    let bytes = fs::read(&path).expect("it is there");
    // All but the last half page.
    let cut = bytes.len() - SHAPE[0] * SHAPE[1];
    fs::write(&path, &bytes[..cut]).expect("it is written");
    let mut live = source(&path, Some(until_idle(0.3))).expect("a page is there");
    assert_eq!(live.info().count, None);
    let mut frame = Frame::default();
    let mut count = 0;
    while live.read(&mut frame).expect("a frame") == Read::Filled {
        count += 1;
    }
    assert!(count < 3, "a half page was given");
    FileOptions::new().append(true).open(&path).and_then(|mut f| f.write_all(&bytes[cut..])).expect("it is written");
    while live.read(&mut frame).expect("a frame") == Read::Filled {
        count += 1;
    }
    assert_eq!((count, &frame.pixels), (3, &Pixels::U16(pixels(2))));
}

#[test]
fn a_tiff_made_in_full_beforehand_gives_pages_when_they_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run_MMStack_Pos0.ome.tif");
    let (bytes, directory) = (2 * SHAPE[0] * SHAPE[1], 2 + 9 * 12 + 4);
    let mut file = File::create(&path).expect("a file");
    file.set_len(100_000).and_then(|()| file.write_all(b"II\x2a\0\x08\0\0\0")).expect("it is made");
    let writer = thread::spawn(move || {
        let mut at = 8;
        for frame in 0..6 {
            // A directory links the next one, of which nothing is there, and its own pixels come later.
            let tags = [
                (256, SHAPE[1]),
                (257, SHAPE[0]),
                (258, 16),
                (259, 1),
                (262, 1),
                (273, at + directory),
                (277, 1),
                (278, SHAPE[0]),
                (279, bytes),
            ];
            let mut out = 9_u16.to_le_bytes().to_vec();
            for (tag, value) in tags {
                out.extend([tag, 4_u16].iter().flat_map(|v| v.to_le_bytes()));
                out.extend([1, value as u32].iter().flat_map(|v| v.to_le_bytes()));
            }
            at += directory + bytes;
            out.extend((at as u32).to_le_bytes());
            file.write_all(&out).expect("it is written");
            let values: Vec<u8> = pixels(frame).iter().flat_map(|v| v.to_le_bytes()).collect();
            for half in values.chunks(bytes / 2) {
                thread::sleep(Duration::from_millis(15));
                file.write_all(half).expect("it is written");
            }
            thread::sleep(Duration::from_millis(60));
        }
    });
    let live = frames(source(&path, Some(until_idle(1.0))).expect("it appears"));
    writer.join().expect("it writes");
    let expected: Vec<(u64, Pixels)> = (0..6).map(|frame| (frame, Pixels::U16(pixels(frame as usize)))).collect();
    assert!(live == expected);
}

#[test]
fn a_wait_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let stop = Arc::new(AtomicBool::new(false));
    let follow = Follow { stop: Arc::clone(&stop), idle: None };
    let raiser = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Release);
    });
    let start = Instant::now();
    let error = source(&folder.path().join("nothing.tif"), Some(follow)).err().expect("nothing came");
    assert!(error.to_string().contains("nothing.tif"), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(150) && start.elapsed() < Duration::from_secs(20));
    raiser.join().expect("it ends");
}

#[test]
fn what_cannot_be_followed_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("table.csv");
    fs::write(&table, "t,u\n0,1\n1,2\n2,3\n3,4\n").expect("it is written");
    for path in [table.as_path(), Path::new("-")] {
        let error = source(path, Some(until_idle(0.1))).err().expect("it is refused");
        assert!(error.is_misuse() && error.to_string().contains("--follow"), "{error}");
    }
}

fn table(path: &Path, follow: Follow) -> Result<Box<dyn SampleSource>, SourceError> {
    let options = OpenOptions { follow: Some(follow), ..OpenOptions::new(Kind::Series) };
    match open(&path.display().to_string(), &options)? {
        Input::Series(source) => Ok(source),
        Input::Frames(_) => unreachable!("a table was written"),
    }
}

/// The values of the next blocks, up to `count` of them or the end.
fn values(source: &mut dyn SampleSource, count: usize) -> Vec<f64> {
    let (mut all, mut block) = (Vec::new(), Samples::default());
    while all.len() < count && source.read(&mut block).expect("samples") == Read::Filled {
        all.extend(&block.values);
    }
    all
}

#[test]
fn half_a_line_waits_and_is_a_line_only_where_the_table_ends_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    for stopped in [false, true] {
        let path = folder.path().join("log.csv");
        fs::write(&path, "position\n1.5\n2.5\n3.").expect("a file");
        let stop = Arc::new(AtomicBool::new(false));
        let idle = (!stopped).then(|| Duration::from_millis(400));
        let mut source = table(&path, Follow { stop: Arc::clone(&stop), idle }).expect("a table");
        assert_eq!(values(&mut *source, 2), [1.5, 2.5]);
        let mut file = FileOptions::new().append(true).open(&path).expect("it is there");
        file.write_all(b"25\n4.12").expect("it is written");
        assert_eq!(values(&mut *source, 1), [3.25]);
        if stopped {
            stop.store(true, Ordering::Release);
        }
        let rest = values(&mut *source, 9);
        assert_eq!(rest, if stopped { vec![] } else { vec![4.12] });
        let told: u64 = source.info().faults.told().iter().filter(|f| f.0 == "half").map(|f| f.1).sum();
        assert_eq!(told, u64::from(stopped));
    }
}

#[test]
fn a_table_that_is_written_anew_ends_with_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.csv");
    fs::write(&path, "position\n1.5\n2.5\n3.5\n").expect("a file");
    let mut source = table(&path, Follow { stop: Arc::default(), idle: None }).expect("a table");
    assert_eq!(values(&mut *source, 3), [1.5, 2.5, 3.5]);
    fs::write(&path, "position\n1.5\n").expect("a file");
    let error = source.read(&mut Samples::default()).expect_err("it has shrunk").to_string();
    assert!(error.contains("written anew"), "{error}");
}

#[test]
fn a_table_may_be_taken_away_and_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, away) = (folder.path().join("log.csv"), folder.path().join("away.csv"));
    fs::write(&path, "position\n1.5\n2.5\n").expect("a file");
    let mut source = table(&path, Follow { stop: Arc::default(), idle: None }).expect("a table");
    assert_eq!(values(&mut *source, 2), [1.5, 2.5]);
    fs::rename(&path, &away).expect("it is moved");
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        fs::rename(&away, &path).expect("it is moved back");
        let mut file = FileOptions::new().append(true).open(&path).expect("it is there");
        file.write_all(b"3.5\n").expect("it is written");
    });
    assert_eq!(values(&mut *source, 1), [3.5]);
    writer.join().expect("it is written");
}
