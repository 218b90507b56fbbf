//! Localisation tables that grow: the density maps are those of the finished table, bit for bit.

use std::fs::{self, OpenOptions as FileOptions};
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mollifier::model::Kind;
use mollifier::source::{
    Count, Follow, Frame, FrameSource, Input, OpenOptions, Pixels, Read, SourceError, from_reader, open,
};
use proptest::prelude::*;

const HEADER: &str = "\"id\",\"frame\",\"x [nm]\",\"y [nm]\",\"uncertainty_xy [nm]\"\n";

/// Rows of 400 camera frames of up to five localisations in a field of 3 x 4 um (y, x), frames 100 to 149 without any.
fn rows() -> Vec<String> {
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut rows = Vec::new();
    for frame in (1..=400).filter(|f| !(100..150).contains(f)) {
        for _ in 0..(uniform() * 6.0) as usize {
            let (x, y) = (4000.0 * uniform(), 3000.0 * uniform());
            rows.push(format!("{},{frame},{x:.3},{y:.3},12.5\n", rows.len() + 1));
        }
    }
    rows
}

fn options(every: Option<u64>, region: Option<&str>, follow: Option<f64>) -> OpenOptions {
    let follow = follow.map(|s| Follow { stop: Arc::default(), idle: Some(Duration::from_secs_f64(s)) });
    let region = region.map(|r| r.parse().expect("a field of view"));
    OpenOptions { every, region, follow, ..OpenOptions::new(Kind::Localisations) }
}

fn source(path: &Path, options: &OpenOptions) -> Result<Box<dyn FrameSource>, SourceError> {
    match open(&path.display().to_string(), options)? {
        Input::Frames(source) => Ok(source),
        Input::Series(_) => unreachable!("a table of localisations gives images"),
    }
}

/// The maps with what they were drawn of, and what was noted.
type Maps = (Vec<(Frame, Option<Count>)>, Vec<String>);

fn maps(mut source: Box<dyn FrameSource>) -> Result<Maps, SourceError> {
    let tally = source.tally();
    let mut all = Vec::new();
    let mut frame = Frame::default();
    while source.read(&mut frame)? == Read::Filled {
        all.push((frame.clone(), tally.as_ref().and_then(|t| t.take(frame.index))));
    }
    Ok((all, tally.map(|t| t.notes()).unwrap_or_default()))
}

fn sum(frame: &Frame) -> f64 {
    (0..frame.pixels.len()).map(|i| frame.pixels.get(i)).sum()
}

const FIELD: &str = "y=0um:3um,x=0um:4um";

#[test]
fn a_table_that_grows_gives_the_maps_of_the_finished_one() -> Result<(), SourceError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locs.csv");
    let at = path.clone();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(60));
        let text = HEADER.to_owned() + &rows().concat();
        let mut file = fs::File::create(&at).expect("a file");
        // Torn at any byte, in the header too.
        let mut at = 0;
        for step in [5, 9, 40, 700, 701, 1500, 3000, 1].into_iter().cycle() {
            let end = (at + step).min(text.len());
            file.write_all(&text.as_bytes()[at..end]).expect("it is written");
            thread::sleep(Duration::from_millis(8));
            at = end;
            if at == text.len() {
                break;
            }
        }
    });
    let (live, notes) = maps(source(&path, &options(Some(50), Some(FIELD), Some(1.0)))?)?;
    writer.join().expect("it writes");
    let (finished, _) = maps(source(&path, &options(Some(50), Some(FIELD), None))?)?;
    assert!(live == finished);
    assert_eq!(notes, Vec::<String>::new());

    // Blocks are counted from the first frame; the third, of frames 101 to 150, has no row until 150.
    let rows = rows();
    let frame_of = |row: &String| row.split(',').nth(1).and_then(|f| f.parse::<u64>().ok()).expect("a frame");
    let up_to = |end: u64| rows.iter().filter(|r| frame_of(r) < end).count() as u64;
    let counts: Vec<u64> = finished.iter().map(|(_, c)| c.expect("a count").localisations).collect();
    let mut expected: Vec<u64> = (1..=8).map(|k| up_to(1 + 50 * k)).collect();
    expected.dedup();
    assert_eq!(counts, expected);
    for (i, (frame, count)) in finished.iter().enumerate() {
        let count = count.expect("a count");
        assert_eq!((frame.index, frame.shape, frame.time), (i as u64, [60, 80], Some(count.camera_frames as f64)));
        assert!((sum(frame) / count.localisations as f64 - 1.0).abs() < 1e-5);
    }

    // The last map is that of the whole table, and so it is where the table says the field.
    let (whole, _) = maps(source(&path, &options(None, Some(FIELD), None))?)?;
    assert_eq!(whole.len(), 1);
    assert!(whole[0].0.pixels == finished[finished.len() - 1].0.pixels);
    let own = maps(source(&path, &options(None, None, None))?)?.0;
    let growing = maps(source(&path, &options(Some(50), None, None))?)?.0;
    assert!(growing.len() == finished.len() && growing[growing.len() - 1].0.pixels == own[0].0.pixels);
    Ok(())
}

#[test]
fn a_half_written_line_waits_and_one_that_is_never_ended_is_left_out() -> Result<(), SourceError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locs.csv");
    // With 120 for x it would be another pixel.
    fs::write(&path, format!("{HEADER}1,1,50,60,9\n2,2,120")).expect("it is written");
    let at = path.clone();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        let mut file = FileOptions::new().append(true).open(&at).expect("the file");
        file.write_all(b"0,70,9\n3,3,10,20").expect("it is written");
    });
    let options = OpenOptions { blur: None, ..options(Some(10), Some(FIELD), Some(0.6)) };
    let (live, notes) = maps(source(&path, &options)?)?;
    writer.join().expect("it writes");
    assert_eq!(live.len(), 1);
    let Pixels::F32(map) = &live[0].0.pixels else { panic!("counts are float32") };
    let counted: Vec<usize> = (0..map.len()).filter(|i| map[*i] > 0.0).collect();
    assert_eq!(counted, [80 + 1, 80 + 24]);
    assert_eq!(notes, ["the last line is half written and was left out"]);
    Ok(())
}

#[test]
fn a_last_row_without_its_end_may_be_half_whatever_its_fields() -> Result<(), SourceError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locs.csv");
    let half = ["the last line is half written and was left out"];
    // An uncertainty of 12.5 that was cut, and an x of 1200.
    for last in ["3,3,10,20,1", "3,3,120", "3,3,10,20,1e"] {
        let text = format!("{HEADER}1,1,50,60,9\n2,2,1200,70,9\n{last}");
        fs::write(&path, &text).expect("it is written");
        for region in [None, Some(FIELD)] {
            let piped = Box::new(Cursor::new(text.clone().into_bytes()));
            let Input::Frames(piped) = from_reader(piped, "standard input", &options(None, region, None))? else {
                unreachable!("a table of localisations gives images");
            };
            let mut said = piped.info().warnings.clone();
            let (maps, notes) = maps(piped)?;
            said.extend(notes);
            assert_eq!(maps.len(), 1);
            assert!(said.iter().any(|s| s == half[0]), "{last}, {region:?}: {said:?}");
        }
        let (live, notes) = maps(source(&path, &options(Some(10), Some(FIELD), Some(0.1)))?)?;
        assert_eq!(
            (live.iter().map(|m| m.1.expect("a count").localisations).sum::<u64>(), notes),
            (2, half.map(str::to_owned).to_vec())
        );
    }
    // A file that nobody writes is there as a whole.
    fs::write(&path, format!("{HEADER}1,1,50,60,9\n2,2,1200,70,9")).expect("it is written");
    let (whole, notes) = maps(source(&path, &options(Some(10), Some(FIELD), None))?)?;
    assert_eq!((whole[0].1.expect("a count").localisations, notes), (2, Vec::new()));
    Ok(())
}

#[test]
fn a_table_written_again_is_read_on_and_another_one_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, new) = (folder.path().join("locs.csv"), folder.path().join("new.csv"));
    let rows = rows();
    let text = |n: usize| HEADER.to_owned() + &rows[..n].concat();
    fs::write(&path, text(100)).expect("it is written");
    let (at, longer) = (path.clone(), text(rows.len()));
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        // First under another name, as careful programs do, then in place, as others do.
        fs::write(&new, &longer[..longer.len() / 2]).expect("it is written");
        fs::rename(&new, &at).expect("it is renamed");
        thread::sleep(Duration::from_millis(150));
        fs::write(&at, &longer).expect("it is written");
    });
    let (live, _) = maps(source(&path, &options(Some(50), Some(FIELD), Some(1.0))).expect("a table")).expect("maps");
    writer.join().expect("it writes");
    let (finished, _) = maps(source(&path, &options(Some(50), Some(FIELD), None)).expect("a table")).expect("maps");
    assert!(live == finished);

    let source = source(&path, &options(Some(1000), Some(FIELD), Some(2.0))).expect("a table");
    let at = path.clone();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        fs::write(&at, HEADER.to_owned() + &"1,1,5,5,5\n".repeat(3000)).expect("it is written");
    });
    let error = maps(source).map(|_| ()).expect_err("another table").to_string();
    other.join().expect("it writes");
    assert!(error.contains("only grows") && !error.contains('\n'), "{error}");
}

#[test]
fn localisations_outside_and_out_of_order_are_counted() -> Result<(), SourceError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locs.csv");
    let rows =
        ["1,10,50,50,9", "2,25,5000,50,9", "3,26,60,60,9", "4,12,70,70,9", "5,31,-1,70,9", "6,1000000000000,9,9,9"];
    fs::write(&path, HEADER.to_owned() + &rows.join("\n")).expect("it is written");
    let (all, _) = maps(source(&path, &options(Some(10), Some(FIELD), None))?)?;
    let counts: Vec<Count> = all.iter().map(|(_, c)| c.expect("a count")).collect();
    let count = |camera_frames, localisations, outside, late| Count { camera_frames, localisations, outside, late };
    let expected = [count(1, 1, 0, 0), count(17, 3, 1, 1), count(22, 3, 2, 1), count(999_999_999_991, 4, 2, 1)];
    assert_eq!(counts, expected);

    // None in the field, no field, no frames: said, not guessed.
    let elsewhere = source(&path, &options(Some(10), Some("y=1mm:1.01mm,x=0um:4um"), None))?;
    let error = maps(elsewhere).map(|_| ()).expect_err("none").to_string();
    assert!(error.contains("6 localisations, none of them in the field of view"), "{error}");
    let error = source(&path, &options(Some(10), None, Some(0.1))).map(|_| ()).expect_err("no field").to_string();
    assert!(error.contains("--region y=0um:54.8um,x=0um:54.8um"), "{error}");
    fs::write(&path, "x [nm],y [nm]\n1,2\n").expect("it is written");
    let error = source(&path, &options(Some(10), None, None)).map(|_| ()).expect_err("no frames").to_string();
    assert!(error.contains("a column `frame`"), "{error}");
    for bad in ["-1", "1e17", "nan"] {
        fs::write(&path, format!("{HEADER}1,{bad},1,1,1\n")).expect("it is written");
        let error = source(&path, &options(Some(10), None, None)).map(|_| ()).expect_err(bad).to_string();
        assert!(error.contains(", line 2: got `"), "{error}");
    }
    Ok(())
}

#[test]
fn maps_that_are_not_wanted_are_counted_and_not_drawn() -> Result<(), SourceError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locs.csv");
    fs::write(&path, HEADER.to_owned() + &rows().concat()).expect("it is written");
    let options = options(Some(50), Some(FIELD), None);
    let (all, _) = maps(source(&path, &options)?)?;
    let mut rest = source(&path, &options)?;
    rest.skip_to(4)?;
    assert!(maps(rest)?.0 == all[4..]);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_a_table_holds_it_is_read_or_refused(text in "(frame|x \\[nm\\]|y \\[nm\\]|[,;\t\n\"# .e0-9-]|[0-9]{1,3}){0,60}") {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("locs.csv");
        for header in ["", HEADER, "x [nm];frame;y [nm]\n"] {
            fs::write(&path, format!("{header}{text}")).expect("it is written");
            for options in [options(Some(1), Some("y=0um:1um,x=0um:1um"), None), options(Some(7), None, None)] {
                if let Err(error) = source(&path, &OpenOptions { max_pixels: 1 << 16, ..options }).and_then(maps) {
                    prop_assert!(!error.to_string().contains('\n'), "{}", error);
                }
            }
        }
    }
}
