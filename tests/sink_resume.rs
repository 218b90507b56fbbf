//! What an interrupted run left is gone on with: the files are those of a run without an interruption, whatever the
//! machine had not written when it died.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use mollifier::sink::{
    CurveInfo, Destination, Format, Kept, MapInfo, OutputSet, PanelInfo, SeriesInfo, SinkError, TableInfo,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn Error>>;
/// Every file's name and bytes.
type Files = Vec<(String, Vec<u8>)>;

const MAPS: u64 = 6;
const SHAPE: [usize; 2] = [3, 5];

fn map_info(name: &str) -> MapInfo {
    MapInfo {
        name: name.into(),
        quantity: "diffusivity".into(),
        unit: Some("um^2/s".into()),
        shape: SHAPE,
        maps: None,
        start: 0.0,
        spacing: "t=2s,y=0.1um,x=0.1um".parse().expect("a spacing"),
        log_scale: true,
        description: String::new(),
        recording: None,
        acquired: None,
    }
}

fn series_info() -> SeriesInfo {
    SeriesInfo {
        name: "lambda".into(),
        quantity: "forcing".into(),
        unit: None,
        channels: 2,
        step: Some("0.1s".parse().expect("a step")),
        start: 0.0,
        log_scale: false,
        description: String::new(),
    }
}

fn map(output: usize, number: u64) -> Vec<f32> {
    let mut map: Vec<f32> = (0..SHAPE[0] * SHAPE[1]).map(|i| ((i + output) as f32).sin() + number as f32).collect();
    map[1 + output] = f32::NAN;
    map
}

/// A table with a picture, as the curves of a run, and one without.
static TABLES: LazyLock<[TableInfo; 2]> = LazyLock::new(|| {
    let panel = |column, log_scale| PanelInfo {
        title: "a panel".into(),
        columns: vec![(column, "a column".into()), (1, "another".into())],
        log_scale,
    };
    let panels = vec![panel(2, true), panel(1, false)];
    let curves = CurveInfo { title: "curves".into(), along: (0, "map".into()), panels };
    let info = |name: &str, curves| TableInfo { name: name.into(), header: "map,a,b".into(), curves };
    [info("summary", None), info("convergence", Some(curves))]
});

/// What is noted with a map: its number, and its rows.
fn note(n: u64) -> Value {
    let row = format!("{n},{},{}", (n as f64).sqrt(), if n == 2 { String::new() } else { (n * n).to_string() });
    json!({"number": n, "rows": {"summary": format!("{n},1,\"a, b\""), "convergence": row}})
}

fn to_series<'a>(dir: &'a Path, formats: &'a [Format], resume: bool) -> Destination<'a> {
    Destination { run: json!({"model": "abc", "noise": 0.5}), resume, ..Destination::new(dir, formats) }
}

fn to<'a>(dir: &'a Path, formats: &'a [Format], resume: bool) -> Destination<'a> {
    Destination { tables: &*TABLES, ..to_series(dir, formats, resume) }
}

/// Write the maps from `first` up to `end`.
fn write(set: &mut OutputSet, first: u64, end: u64) -> Result<(), SinkError> {
    for n in first..end {
        let maps = [map(0, n), map(1, n)];
        let time = if n == 3 { f64::NAN } else { 2.0 * n as f64 };
        set.write(n, n + 2, time, &[&maps[0], &maps[1]], note(n))?;
    }
    Ok(())
}

fn resume(dir: &Path, formats: &[Format], kept: &mut Vec<u64>) -> Result<OutputSet, Box<dyn Error>> {
    let mut set = OutputSet::create(&to(dir, formats, true), &[map_info("lambda"), map_info("support")])?;
    let mut wrong = Vec::new();
    let count = set.replay(&mut |k: &Kept<'_>| {
        let same = (0..2).all(|i| bits(&k.outputs[i]) == bits(&map(i, k.number)));
        let time = if k.number == 3 { k.time.is_nan() } else { k.time == 2.0 * k.number as f64 };
        if !same || !time || k.frame != k.number + 2 || k.note != &note(k.number) {
            wrong.push(k.number);
        }
        kept.push(k.number);
    })?;
    assert_eq!(wrong, [0; 0]);
    assert_eq!(*kept, (0..count).collect::<Vec<_>>());
    assert_eq!(set.complete(), count);
    Ok(set)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Every file below the folder, with its bytes.
fn contents(dir: &Path) -> Result<Files, std::io::Error> {
    fn walk(top: &Path, dir: &Path, files: &mut Files) -> Result<(), std::io::Error> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(top, &path, files)?;
                continue;
            }
            let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((name, fs::read(&path)?));
        }
        Ok(())
    }
    let mut files = Vec::new();
    walk(dir, dir, &mut files)?;
    files.sort();
    Ok(files)
}

fn whole(dir: &Path, formats: &[Format]) -> Result<Files, Box<dyn Error>> {
    let mut set = OutputSet::create(&to(dir, formats, false), &[map_info("lambda"), map_info("support")])?;
    write(&mut set, 0, MAPS)?;
    set.commit(&json!({"run": 1}), None, false)?;
    Ok(contents(dir)?)
}

/// Interrupt after `maps`, let `damage` do its work, go on: how many maps were kept.
fn interrupted(
    formats: &[Format],
    maps: u64,
    expected: &[(String, Vec<u8>)],
    damage: impl Fn(&Path) -> std::io::Result<()>,
) -> Result<u64, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut set = OutputSet::create(&to(dir.path(), formats, false), &[map_info("lambda"), map_info("support")])?;
    write(&mut set, 0, maps)?;
    drop(set);
    damage(dir.path())?;
    let mut kept = Vec::new();
    let mut set = resume(dir.path(), formats, &mut kept)?;
    let count = kept.len() as u64;
    write(&mut set, count, MAPS)?;
    set.commit(&json!({"run": 1}), None, false)?;
    assert!(contents(dir.path())? == expected, "the files are not those of a run without an interruption");
    Ok(count)
}

#[test]
fn a_killed_run_goes_on_where_it_ended() -> Outcome {
    let zarr = [Format::Zarr, Format::Png];
    for formats in
        [&Format::ALL[..], &zarr, &[Format::Zarr04], &[Format::Tiff, Format::Png], &[Format::Csv, Format::Png]]
    {
        let dir = tempfile::tempdir()?;
        let expected = whole(dir.path(), formats)?;
        for maps in 0..=MAPS {
            assert_eq!(interrupted(formats, maps, &expected, |_| Ok(()))?, maps);
        }
    }
    Ok(())
}

#[test]
fn pictures_alone_hold_no_maps_to_go_on_from() -> Outcome {
    let dir = tempfile::tempdir()?;
    let expected = whole(dir.path(), &[Format::Png])?;
    assert_eq!(interrupted(&[Format::Png], 4, &expected, |_| Ok(()))?, 0);
    Ok(())
}

/// What a machine without power does to a file.
#[derive(Clone, Debug)]
enum Damage {
    /// The end was not written.
    Cut(f64),
    /// A piece has the right length and was not written.
    Zeros(f64, f64),
    /// More was written than the journal knows.
    More(usize),
}

impl Damage {
    fn apply(&self, path: &Path) -> std::io::Result<()> {
        let mut bytes = fs::read(path)?;
        let at = |share: f64| (share * bytes.len() as f64) as usize;
        match *self {
            Self::Cut(share) => bytes.truncate(at(share)),
            Self::Zeros(a, b) => {
                let range = at(a.min(b))..at(a.max(b));
                bytes[range].fill(0);
            }
            Self::More(count) => bytes.extend(std::iter::repeat_n(0x2a, count)),
        }
        fs::write(path, bytes)
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0.0..1.0).prop_map(Damage::Cut),
        (0.0..1.0, 0.0..1.0).prop_map(|(a, b)| Damage::Zeros(a, b)),
        (0_usize..400).prop_map(Damage::More),
    ]
}

#[test]
fn a_power_cut_at_any_byte_costs_maps_but_never_makes_wrong_ones() -> Outcome {
    let choices = [&Format::ALL[..], &[Format::Tiff], &[Format::Zarr], &[Format::Zarr04, Format::Npy]];
    let folders: Vec<_> = choices.iter().map(|_| tempfile::tempdir()).collect::<Result<_, _>>()?;
    let expected: Vec<Files> =
        choices.iter().zip(&folders).map(|(c, d)| whole(d.path(), c)).collect::<Result<_, _>>()?;
    let files: Vec<String> = expected[0].iter().map(|f| f.0.clone()).filter(|f| f != "run.json").collect();
    let some = prop::collection::vec((0..=files.len(), damage()), 1..4);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    runner.run(&(1..=MAPS, some, 0..choices.len()), |(maps, damages, choice)| {
        let result = interrupted(choices[choice], maps, &expected[choice], |dir| {
            for (file, damage) in &damages {
                let name = files.get(*file).map_or("journal.jsonl", String::as_str);
                for path in [dir.join(format!("{name}.part")), dir.join(name)] {
                    if path.exists() {
                        damage.apply(&path)?;
                    }
                }
            }
            Ok(())
        });
        prop_assert!(result.is_ok(), "{:?}", result);
        Ok(())
    })?;
    Ok(())
}

#[test]
fn a_journal_with_zeros_anywhere_in_its_start_is_still_the_runs_own() -> Outcome {
    let dir = tempfile::tempdir()?;
    let expected = whole(dir.path(), &[Format::Npy])?;
    for end in 1..=16 {
        for start in 0..end {
            let kept = interrupted(&[Format::Npy], 3, &expected, |dir| {
                let path = dir.join("journal.jsonl");
                let mut bytes = fs::read(&path)?;
                bytes[start..end].fill(0);
                fs::write(path, bytes)
            })?;
            assert_eq!(kept, 0, "bytes {start} to {end}");
        }
    }
    Ok(())
}

#[test]
fn what_one_format_lost_another_one_has() -> Outcome {
    let formats = [Format::Tiff, Format::Csv, Format::Npy];
    let dir = tempfile::tempdir()?;
    let expected = whole(dir.path(), &formats)?;
    let kept = interrupted(&formats, 5, &expected, |dir| {
        Damage::Zeros(0.3, 0.9).apply(&dir.join("lambda.tif.part"))?;
        Damage::Cut(0.2).apply(&dir.join("lambda.npy.part"))?;
        Damage::Cut(0.0).apply(&dir.join("support.csv.part"))
    })?;
    assert_eq!(kept, 5);
    Ok(())
}

#[test]
fn a_run_that_the_user_ended_goes_on_too() -> Outcome {
    let formats = Format::ALL;
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let expected = whole(one.path(), &formats)?;
    let infos = [map_info("lambda"), map_info("support")];
    let mut set = OutputSet::create(&to(two.path(), &formats, false), &infos)?;
    write(&mut set, 0, 4)?;
    set.commit(&json!({"run": 0}), None, true)?;
    let complete = contents(two.path())?;
    assert!(complete.iter().all(|f| !f.0.contains("mollifier-part")));
    assert!(complete.iter().any(|f| f.0 == "lambda.tif") && complete.iter().all(|f| !f.0.ends_with(".part")));

    let mut kept = Vec::new();
    let mut set = resume(two.path(), &formats, &mut kept)?;
    assert_eq!(kept.len(), 4);
    write(&mut set, 4, MAPS)?;
    set.commit(&json!({"run": 1}), None, false)?;
    assert!(contents(two.path())? == expected);
    Ok(())
}

#[test]
fn samples_go_on_behind_the_last_block_that_was_noted() -> Outcome {
    let formats = [Format::Csv, Format::Npy, Format::Png];
    let block =
        |first: u64, count: u64| -> Vec<f32> { (2 * first..2 * (first + count)).map(|i| (i as f32).cos()).collect() };
    let finish = |set: &mut OutputSet, first: u64| -> Result<(), SinkError> {
        for first in (first..5000).step_by(1000) {
            set.write_samples(first, &[&block(first, 1000)], Some(json!(first)))?;
        }
        set.write_samples(5000, &[&block(5000, 77)], None)
    };
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut set = OutputSet::create_series(&to_series(one.path(), &formats, false), &[series_info()])?;
    finish(&mut set, 0)?;
    set.commit(&json!({}), None, false)?;

    let mut set = OutputSet::create_series(&to_series(two.path(), &formats, false), &[series_info()])?;
    for first in [0, 1000] {
        set.write_samples(first, &[&block(first, 1000)], Some(json!(first)))?;
    }
    // The end as it was then: other values than with more behind them.
    set.write_samples(2000, &[&[0.5; 60]], None)?;
    set.commit(&json!({}), None, true)?;
    let mut set = OutputSet::create_series(&to_series(two.path(), &formats, true), &[series_info()])?;
    let mut last = Value::Null;
    assert_eq!(set.replay(&mut |k| last.clone_from(k.note))?, 2000);
    assert_eq!(last, json!(1000));
    finish(&mut set, 2000)?;
    set.commit(&json!({}), None, false)?;
    assert!(contents(one.path())? == contents(two.path())?);
    Ok(())
}

#[test]
fn a_row_that_does_not_come_is_an_error_and_keeps_the_run_from_being_committed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let infos = [map_info("lambda"), map_info("support")];
    let mut set = OutputSet::create(&to(dir.path(), &[Format::Npy], false), &infos)?;
    write(&mut set, 0, 2)?;
    let (maps, without) = ([map(0, 2), map(1, 2)], json!({"rows": {"summary": "2,1,1"}}));
    let error = set.write(2, 4, 4.0, &[&maps[0], &maps[1]], without).err().ok_or("no row")?.to_string();
    assert!(error.contains("no row for convergence"), "{error}");
    assert!(matches!(set.commit(&json!({}), None, false), Err(SinkError::Failed { .. })));
    assert_eq!(fs::read_to_string(dir.path().join("summary.csv.part"))?.lines().count(), 4);
    let mut kept = Vec::new();
    drop(resume(dir.path(), &[Format::Npy], &mut kept)?);
    assert_eq!(kept, [0, 1]);
    assert_eq!(fs::read_to_string(dir.path().join("summary.csv.part"))?, "map,a,b\n0,1,\"a, b\"\n1,1,\"a, b\"\n");
    Ok(())
}

#[test]
fn another_run_is_not_gone_on_with() -> Outcome {
    let dir = tempfile::tempdir()?;
    let formats = [Format::Npy];
    let infos = [map_info("lambda"), map_info("support")];
    let mut set = OutputSet::create(&to(dir.path(), &formats, false), &infos)?;
    write(&mut set, 0, 3)?;
    drop(set);
    let before = contents(dir.path())?;

    let other = Destination { run: json!({"model": "abc", "noise": 0.25}), ..to(dir.path(), &formats, true) };
    let error = OutputSet::create(&other, &infos).err().ok_or("went on with another run")?.to_string();
    assert!(error.contains("journal.jsonl") && error.contains("noise 0.5, this one has 0.25"), "{error}");
    let error = OutputSet::create(&to(dir.path(), &[Format::Tiff], true), &infos).err().ok_or("other files")?;
    assert!(
        error
            .to_string()
            .contains("this one has lambda.tif, support.tif, summary.csv, convergence.csv, convergence.png;"),
        "{error}"
    );
    let error = OutputSet::create(&to(dir.path(), &formats, true), &infos[..1]).err().ok_or("fewer outputs")?;
    assert!(matches!(error, SinkError::OtherRun { .. }), "{error}");
    assert!(contents(dir.path())? == before);

    // An older run's output is not taken for the part that is gone.
    fs::remove_file(dir.path().join("lambda.npy.part"))?;
    fs::write(dir.path().join("lambda.npy"), "an older run's")?;
    let error = OutputSet::create(&to(dir.path(), &formats, true), &infos).err().ok_or("a part is gone")?;
    assert!(matches!(error, SinkError::Gone { .. }), "{error}");
    assert_eq!(fs::read(dir.path().join("lambda.npy"))?, b"an older run's");
    Ok(())
}

#[test]
fn without_a_run_to_go_on_with_one_starts() -> Outcome {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let expected = whole(one.path(), &[Format::Npy])?;
    let journal = two.path().join("journal.jsonl");
    for text in [None, Some(""), Some("{\"version\":1}\n"), Some("{\"ver"), Some("\0\0\0")] {
        text.map_or(Ok(()), |text| fs::write(&journal, text))?;
        let mut kept = Vec::new();
        let mut set = resume(two.path(), &[Format::Npy], &mut kept)?;
        assert_eq!(kept, [0; 0]);
        write(&mut set, 0, MAPS)?;
        set.commit(&json!({"run": 1}), None, false)?;
        assert!(contents(two.path())? == expected);
    }
    Ok(())
}
