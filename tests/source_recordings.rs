//! Recordings made by others, read as a person would try them. They are not part of the repository: the folder
//! is `MOLLIFIER_TEST_DATA`, or `../shared/data` beside the repository.
#![cfg(feature = "std")]

use std::path::{Path, PathBuf};

use mollifier::model::Kind;
use mollifier::source::{Frame, Pixels, Samples};
use mollifier::source::{FrameInfo, Input, OpenOptions, Read, SourceError, open};

/// The path of one recording; where it is absent the test is skipped with a printed reason.
fn recording(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("MOLLIFIER_TEST_DATA").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent (set MOLLIFIER_TEST_DATA to the folder of recordings)", path.display());
    None
}

fn frames(path: &Path, kind: Kind) -> Result<(FrameInfo, Vec<Frame>), SourceError> {
    let input = open(&path.display().to_string(), &OpenOptions::new(kind))?;
    let Input::Frames(mut source) = input else { panic!("expected frames") };
    let mut frame = Frame { index: 0, time: None, shape: [0, 0], pixels: Pixels::U8(Vec::new()) };
    let mut frames = Vec::new();
    while source.read(&mut frame)? == Read::Filled {
        frames.push(frame.clone());
    }
    Ok((source.info().clone(), frames))
}

fn series(path: &Path) -> Result<(Vec<String>, Vec<f64>), SourceError> {
    let input = open(&path.display().to_string(), &OpenOptions::new(Kind::Series))?;
    let Input::Series(mut source) = input else { panic!("expected samples") };
    let (mut block, mut values) = (Samples::default(), Vec::new());
    while source.read(&mut block)? == Read::Filled {
        values.extend(&block.values);
    }
    Ok((source.info().channels.clone(), values))
}

fn sum(frame: &Frame) -> f64 {
    (0..frame.pixels.len()).map(|i| frame.pixels.get(i)).sum()
}

#[test]
fn camera_stacks() -> Result<(), SourceError> {
    // Sums of the first and last frame as tifffile 2025 reads them.
    for (name, shape, sums) in [
        ("movies/locan_images.tif", [128, 128], [8_534_336.0, 8_586_329.0]),
        ("movies/trackpy_stuck.tif", [512, 512], [130_733_195.0, 131_612_762.0]),
    ] {
        let Some(path) = recording(name) else {
            continue;
        };
        let (info, frames) = frames(&path, Kind::Fields)?;
        assert_eq!((info.shape, info.count, frames.len()), (shape, Some(5), 5), "{name}");
        assert_eq!([sum(&frames[0]), sum(&frames[4])], sums, "{name}");
        // Neither states a pixel size: `unit=pixel`, and no unit at all.
        assert!(info.spacing.is_empty() && info.warnings.is_empty(), "{name}: {info:?}");
        assert!(frames.iter().all(|f| f.pixels.type_name() == "u16"), "{name}");
    }
    Ok(())
}

#[test]
fn colour_pictures_of_colloids() -> Result<(), SourceError> {
    let Some(path) = recording("movies/bulk_water") else {
        return Ok(());
    };
    let (info, frames) = frames(&path, Kind::Fields)?;
    assert_eq!((info.shape, frames.len()), ([424, 640], 10));
    assert_eq!(frames.iter().map(|f| f.index).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!(sum(&frames[0]), 34_459_075.0);
    assert_eq!(info.warnings.len(), 1, "{:?}", info.warnings);
    Ok(())
}

#[test]
fn storm_tables() -> Result<(), SourceError> {
    for (name, count) in [
        ("localisations/ecoli_thunderstorm.csv", 29_995.0),
        ("localisations/Thunderstorm_dstorm_data.csv", 19.0),
        ("localisations/Nanoimager_dstorm_data.csv", 14.0),
        ("localisations/Elyra_dstorm_data.txt", 15.0),
        ("localisations/rapidSTORM_dstorm_data.txt", 14.0),
    ] {
        let Some(path) = recording(name) else {
            continue;
        };
        let (info, frames) = frames(&path, Kind::Localisations)?;
        eprintln!("{name}: {:?} {:?}", info.shape, info.warnings);
        assert!((sum(&frames[0]) - count).abs() < 1e-3 * count, "{name}: {}", sum(&frames[0]));
        assert_eq!(info.spacing.to_string(), "y=50nm,x=50nm");
    }
    Ok(())
}

#[test]
fn picasso_tables() -> Result<(), SourceError> {
    let Some(path) = recording("localisations/raw_movie_locs.hdf5") else {
        return Ok(());
    };
    // 17.2 x 15.9 pixels of 130 nm, as h5py reads them.
    let (info, maps) = frames(&path, Kind::Localisations)?;
    assert_eq!((info.shape, info.spacing.to_string().as_str()), ([42, 45], "y=50nm,x=50nm"));
    assert!((sum(&maps[0]) - 2399.0).abs() < 0.1, "{}", sum(&maps[0]));

    // Damaged, cut off, or without the pixel size: an error in one line, or what can be read.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("locs.hdf5");
    let bytes = std::fs::read(&path).expect("it was read");
    std::fs::write(&copy, &bytes).expect("it is written");
    let error = frames(&copy, Kind::Localisations).map(|_| ()).expect_err("no YAML").to_string();
    assert!(error.contains("locs.yaml") && error.contains("Pixelsize: 130"), "{error}");
    let yaml = folder.path().join("locs.yaml");
    for (text, expected) in [("Width: 3\n", "no `Pixelsize:`"), ("Pixelsize: -1\n", "`Pixelsize: -1`")] {
        std::fs::write(&yaml, text).expect("it is written");
        let error = frames(&copy, Kind::Localisations).map(|_| ()).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
    std::fs::write(&yaml, "Pixelsize: 99\n---\n  Pixelsize: 130\n").expect("it is written");
    assert_eq!(frames(&copy, Kind::Localisations)?.0.shape, [42, 45]);
    for turn in 0..300_usize {
        let mut damaged = bytes.clone();
        // The first bytes say how the rest is laid out.
        let at = turn * 2_654_435_761 % if turn % 2 == 0 { 2048 } else { damaged.len() };
        damaged[at] ^= 1 << (turn % 8);
        if turn % 5 == 0 {
            damaged.truncate(at);
        }
        std::fs::write(&copy, damaged).expect("it is written");
        if let Err(error) = frames(&copy, Kind::Localisations) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    Ok(())
}

#[test]
fn tables_of_other_programs_are_refused_in_one_line() {
    for name in ["SMLM_dstorm_data.smlm", "decode_dstorm_data.h5"] {
        let Some(path) = recording(&format!("localisations/{name}")) else {
            continue;
        };
        let error = frames(&path, Kind::Localisations).map(|_| ()).expect_err(name).to_string();
        eprintln!("{error}");
        assert!(!error.contains('\n') && error.contains(name), "{error}");
    }
}

#[test]
fn sensors() -> Result<(), SourceError> {
    if let Some(path) = recording("series/seattle-temps.csv") {
        let (channels, values) = series(&path)?;
        // A year of hours, of which the one that summer time leaves out has no row.
        assert_eq!((channels, values.len(), values[0]), (vec!["temp".to_owned()], 8760, 39.4));
        let missing: Vec<usize> = (0..values.len()).filter(|i| values[*i].is_nan()).collect();
        assert_eq!(missing, [1731]);
    }
    if let Some(path) = recording("series/ecg.npz") {
        let (_, values) = series(&path)?;
        assert_eq!((values.len(), values.iter().sum::<f64>()), (108_000, 107_025_651.0));
    }
    Ok(())
}
