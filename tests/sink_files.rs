//! What the sinks write is read back by other code; a run that is not committed leaves nothing that looks complete.

use std::error::Error;
use std::fs;
use std::path::Path;

use mollifier::sink::{Destination, Format, MapInfo, OutputSet, SeriesInfo, SinkError};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn Error>>;

fn map_info(name: &str, shape: [usize; 2], maps: Option<u64>) -> MapInfo {
    MapInfo {
        name: name.into(),
        quantity: "diffusivity".into(),
        unit: Some("um^2/s".into()),
        shape,
        maps,
        start: 0.0,
        spacing: "t=2s,y=0.1um,x=0.1um".parse().expect("a spacing"),
        log_scale: true,
        description: "transient heat, u_t = div(lambda grad u)".into(),
        recording: None,
        acquired: None,
    }
}

fn series_info(name: &str, channels: usize) -> SeriesInfo {
    SeriesInfo {
        name: name.into(),
        quantity: "forcing".into(),
        unit: Some("mV/s".into()),
        channels,
        step: Some("0.1s".parse().expect("a step")),
        start: 0.0,
        log_scale: false,
        description: "Langevin".into(),
    }
}

/// A map with a NaN in it.
fn map(shape: [usize; 2], number: u64) -> Vec<f32> {
    let [rows, columns] = shape;
    let mut map: Vec<f32> = (0..rows * columns).map(|i| (i as f32).sin() + number as f32).collect();
    map[1] = f32::NAN;
    map
}

fn write_maps(dir: &Path, infos: &[MapInfo], formats: &[Format], count: u64) -> Result<OutputSet, SinkError> {
    let mut set = OutputSet::create(&Destination::new(dir, formats), infos)?;
    for n in 0..count {
        let maps: Vec<Vec<f32>> = infos.iter().map(|i| map(i.shape, n)).collect();
        let slices: Vec<&[f32]> = maps.iter().map(Vec::as_slice).collect();
        set.write(n, n + 2, 2.0 * (n + 2) as f64, &slices, Value::Null)?;
    }
    Ok(set)
}

fn names(dir: &Path) -> Result<Vec<String>, std::io::Error> {
    let mut names: Vec<String> = fs::read_dir(dir)?
        .map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    names.sort();
    Ok(names)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn check_tiff(path: &Path, shape: [usize; 2], count: u64) -> Outcome {
    use tiff::decoder::{Decoder, DecodingResult};
    use tiff::tags::Tag;
    let mut decoder = Decoder::new(fs::File::open(path)?)?;
    let xml = decoder.get_tag_ascii_string(Tag::ImageDescription)?;
    let document = roxmltree::Document::parse(xml.trim())?;
    let pixels = document.descendants().find(|n| n.has_tag_name("Pixels")).ok_or("no Pixels")?;
    for (name, value) in [("SizeT", count.to_string().as_str()), ("PhysicalSizeX", "0.1"), ("PhysicalSizeXUnit", "µm")]
    {
        assert_eq!(pixels.attribute(name), Some(value), "{name}");
    }
    assert_eq!((pixels.attribute("TimeIncrement"), pixels.attribute("TimeIncrementUnit")), (Some("2"), Some("s")));
    assert!(xml.contains(r#"<M K="unit">um^2/s</M>"#), "{xml}");
    for n in 0..count {
        assert_eq!(decoder.dimensions()?, (shape[1] as u32, shape[0] as u32));
        let DecodingResult::F32(values) = decoder.read_image()? else { return Err("not float32".into()) };
        assert_eq!(bits(&values), bits(&map(shape, n)));
        assert_eq!(decoder.more_images(), n + 1 < count);
        if decoder.more_images() {
            decoder.next_image()?;
        }
    }
    Ok(())
}

#[test]
fn maps_come_back_bit_for_bit() -> Outcome {
    // An odd size, one pixel, a single map; known and unknown numbers of maps (classic TIFF and BigTIFF).
    for (shape, count) in [([5, 7], 3), ([1, 2], 1), ([16, 16], 12)] {
        for known in [Some(count), None] {
            let dir = tempfile::tempdir()?;
            let infos = [map_info("lambda", shape, known), map_info("residual", shape, known)];
            let set = write_maps(dir.path(), &infos, &[Format::Tiff, Format::Npy], count)?;
            set.commit(&json!({"maps": count}), None, false)?;
            let expected = ["lambda.npy", "lambda.tif", "residual.npy", "residual.tif", "run.json"];
            assert_eq!(names(dir.path())?, expected);

            check_tiff(&dir.path().join("lambda.tif"), shape, count)?;
            let start = fs::read(dir.path().join("residual.tif"))?;
            assert_eq!(start[2], if known.is_some() { 42 } else { 43 });

            let array: ndarray::Array3<f32> = ndarray_npy::read_npy(dir.path().join("residual.npy"))?;
            assert_eq!(array.dim(), (count as usize, shape[0], shape[1]));
            let all: Vec<f32> = (0..count).flat_map(|n| map(shape, n)).collect();
            assert_eq!(bits(array.as_slice().ok_or("not in C order")?), bits(&all));
        }
    }
    Ok(())
}

#[test]
fn series_come_back_with_their_axes() -> Outcome {
    let dir = tempfile::tempdir()?;
    let infos = [series_info("one", 1), series_info("two", 2)];
    let mut set = OutputSet::create_series(&Destination::new(dir.path(), &[Format::Npy, Format::Csv]), &infos)?;
    set.write_samples(0, &[&[1.0, 2.0], &[10.0, 20.0, 11.0, 21.0]], None)?;
    set.write_samples(2, &[&[], &[]], None)?;
    set.write_samples(2, &[&[f32::NAN, 0.5], &[12.0, 22.0, 13.0, 1e-9]], None)?;
    assert_eq!(set.complete(), 4);
    set.commit(&json!({}), None, false)?;

    let one: ndarray::Array1<f32> = ndarray_npy::read_npy(dir.path().join("one.npy"))?;
    assert_eq!(bits(&one.to_vec()), bits(&[1.0, 2.0, f32::NAN, 0.5]));
    let two: ndarray::Array2<f32> = ndarray_npy::read_npy(dir.path().join("two.npy"))?;
    assert_eq!(two.dim(), (2, 4));
    assert_eq!(two.row(1).to_vec(), [20.0, 21.0, 22.0, 1e-9]);

    let text = fs::read_to_string(dir.path().join("one.csv"))?;
    assert_eq!(text, "sample,time [s],one [mV/s]\n0,0,1\n1,0.1,2\n2,0.2,NaN\n3,0.3,0.5\n");
    let text = fs::read_to_string(dir.path().join("two.csv"))?;
    assert!(text.starts_with("sample,time [s],two 0 [mV/s],two 1 [mV/s]\n0,0,10,20\n"), "{text}");
    assert!(text.ends_with("3,0.3,13,1e-9\n"), "{text}");
    Ok(())
}

#[test]
fn maps_as_text_have_a_row_for_each_pixel() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut set =
        OutputSet::create(&Destination::new(dir.path(), &[Format::Csv]), &[map_info("lambda", [2, 1], None)])?;
    set.write(0, 0, 0.0, &[&[1.5, f32::NAN]], Value::Null)?;
    set.write(1, 1, 2.0, &[&[2.5, 3.5]], Value::Null)?;
    set.commit(&json!({}), None, false)?;
    let text = fs::read_to_string(dir.path().join("lambda.csv"))?;
    assert_eq!(text, "map,y,x,lambda [um^2/s]\n0,0,0,1.5\n0,1,0,NaN\n1,0,0,2.5\n1,1,0,3.5\n");
    Ok(())
}

/// Width, height and pixels of a PNG file.
fn picture(path: &Path) -> Result<(u32, u32, Vec<u8>), Box<dyn Error>> {
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path)?));
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut pixels)?;
    Ok((info.width, info.height, pixels))
}

#[test]
fn pictures_show_maps_of_every_kind() -> Outcome {
    let dir = tempfile::tempdir()?;
    let shape = [8, 10];
    let ramp: Vec<f32> = (0..80).map(|i| i as f32).collect();
    let mut hole = ramp.clone();
    hole[0] = f32::NAN;
    let kinds: [(&str, Vec<f32>); 6] = [
        ("ramp", ramp.clone()),
        ("hole", hole),
        ("signed", ramp.iter().map(|v| v - 40.0).collect()),
        ("flat", vec![3.0; 80]),
        ("nothing", vec![f32::NAN; 80]),
        ("wild", ramp.iter().map(|v| if *v == 5.0 { f32::INFINITY } else { v * 1e30 }).collect()),
    ];
    for (name, values) in &kinds {
        let mut info = map_info(name, shape, Some(1));
        info.log_scale = *name != "signed";
        let mut set = OutputSet::create(&Destination::new(dir.path(), &[Format::Png]), &[info])?;
        set.write(0, 0, 0.0, &[values], Value::Null)?;
        set.commit(&json!({}), None, false)?;
    }
    // The map begins at (20, 70) and a value is 40 pixels wide.
    let color = |name: &str, x: usize, y: usize| -> Result<[u8; 3], Box<dyn Error>> {
        let (width, height, pixels) = picture(&dir.path().join(format!("{name}.png")))?;
        assert!(width > 440 && height > 390, "{width} x {height}");
        let at = 3 * ((70 + 40 * y + 20) * width as usize + 20 + 40 * x + 20);
        Ok([pixels[at], pixels[at + 1], pixels[at + 2]])
    };
    assert_eq!(color("ramp", 0, 0)?, [68, 1, 84]);
    assert_eq!(color("ramp", 9, 7)?, [253, 231, 37]);
    assert_eq!(color("hole", 0, 0)?, [0xbb; 3]);
    assert_eq!(color("nothing", 5, 5)?, [0xbb; 3]);
    let [red, _, blue] = color("signed", 0, 0)?;
    assert!(blue > red);
    let [red, _, blue] = color("signed", 9, 7)?;
    assert!(red > blue);
    Ok(())
}

#[test]
fn large_pictures_have_large_text() -> Outcome {
    // The map begins at (20, 70), twice that where the longer side is drawn with 1000 pixels or more.
    for (columns, corner) in [(999_usize, 20_usize), (1000, 40)] {
        let dir = tempfile::tempdir()?;
        let mut set = OutputSet::create(
            &Destination::new(dir.path(), &[Format::Png]),
            &[map_info("lambda", [2, columns], None)],
        )?;
        set.write(0, 0, 0.0, &[&vec![f32::NAN; 2 * columns]], Value::Null)?;
        set.commit(&json!({}), None, false)?;
        let (width, _, pixels) = picture(&dir.path().join("lambda.png"))?;
        let row = (70 * corner / 20) * 3 * width as usize;
        let first = pixels[row..row + 3 * width as usize].chunks_exact(3).position(|p| p == [0xbb; 3]);
        assert_eq!(first, Some(corner), "{columns} columns");
    }
    Ok(())
}

#[test]
fn plots_take_series_of_every_kind() -> Outcome {
    let dir = tempfile::tempdir()?;
    let kinds: [Vec<f32>; 5] = [
        vec![1.0],
        vec![f32::NAN; 10],
        vec![2.5; 10_000],
        (0..10_000).map(|i| if i % 7 == 0 { f32::NAN } else { i as f32 }).collect(),
        vec![f32::INFINITY, 1.0, f32::NEG_INFINITY, -3e38, 3e38],
    ];
    for values in &kinds {
        let infos = [series_info("one", 1), series_info("many", 12)];
        let mut set = OutputSet::create_series(&Destination::new(dir.path(), &[Format::Png]), &infos)?;
        let many: Vec<f32> = values.iter().flat_map(|v| [*v; 12]).collect();
        set.write_samples(0, &[values, &many], None)?;
        set.commit(&json!({}), None, false)?;
        let (_, height, pixels) = picture(&dir.path().join("one.png"))?;
        assert!(height > 300 && pixels.iter().any(|v| *v < 128));
        picture(&dir.path().join("many.png"))?;
    }
    Ok(())
}

#[test]
fn without_a_commit_nothing_looks_complete() -> Outcome {
    let dir = tempfile::tempdir()?;
    let infos = [map_info("lambda", [4, 5], None)];
    write_maps(dir.path(), &infos, &[Format::Tiff], 1)?.commit(&json!({"run": 1}), None, false)?;
    let before = fs::read(dir.path().join("lambda.tif"))?;

    let set = write_maps(dir.path(), &infos, &[Format::Tiff, Format::Npy], 3)?;
    assert_eq!(set.complete(), 3);
    drop(set);
    let expected = ["journal.jsonl", "lambda.npy.part", "lambda.tif", "lambda.tif.part", "run.json"];
    assert_eq!(names(dir.path())?, expected);
    assert_eq!(fs::read(dir.path().join("lambda.tif"))?, before);
    let journal = fs::read_to_string(dir.path().join("journal.jsonl"))?;
    let lines: Vec<Value> = journal.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines[0]["files"], json!(["lambda.tif", "lambda.npy"]));
    assert_eq!((lines.len(), &lines[3]["complete"], &lines[3]["frame"]), (4, &json!(3), &json!(4)));

    // The next run is not kept back by the rest, clears it away and replaces the old files only when it commits.
    let set = write_maps(dir.path(), &infos, &[Format::Tiff], 2)?;
    assert_eq!(fs::read(dir.path().join("lambda.tif"))?, before);
    set.commit(&json!({"run": 2}), None, false)?;
    assert_eq!(names(dir.path())?, ["lambda.tif", "run.json"]);
    check_tiff(&dir.path().join("lambda.tif"), [4, 5], 2)?;
    let run: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("run.json"))?)?;
    assert_eq!(run["run"], 2);
    Ok(())
}

#[test]
fn a_set_that_is_given_up_leaves_the_folder_as_it_was() -> Outcome {
    let dir = tempfile::tempdir()?;
    let infos = [map_info("lambda", [4, 5], None)];
    let inner = dir.path().join("a");
    write_maps(&inner, &infos, &Format::ALL, 1)?.discard();
    assert!(!inner.exists());
    write_maps(dir.path(), &infos, &[Format::Npy], 1)?.commit(&json!({"run": 1}), None, false)?;
    write_maps(dir.path(), &infos, &Format::ALL, 1)?.discard();
    assert_eq!(names(dir.path())?, ["lambda.npy", "run.json"]);
    Ok(())
}

/// The values of map `map` of a store without shards, one chunk a map.
fn chunk(store: &Path, level: usize, map: usize) -> Result<Vec<f32>, std::io::Error> {
    let bytes = fs::read(store.join(format!("{level}/{map}/0/0")))?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

#[test]
fn a_store_has_its_name_at_once_and_an_older_one_comes_back_if_it_is_given_up() -> Outcome {
    let dir = tempfile::tempdir()?;
    let infos = [map_info("lambda", [3, 300], None)];
    let store = dir.path().join("lambda.v04.ome.zarr");
    let shape = || -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_slice::<Value>(&fs::read(store.join("0/.zarray"))?)?["shape"].clone())
    };
    write_maps(dir.path(), &infos, &[Format::Zarr04], 2)?.commit(&json!({}), None, false)?;
    assert_eq!(
        (shape()?, names(dir.path())?),
        (json!([2, 3, 300]), vec!["lambda.v04.ome.zarr".into(), "run.json".into()])
    );
    assert_eq!(bits(&chunk(&store, 0, 1)?), bits(&map([3, 300], 1)));
    let half = chunk(&store, 1, 1)?;
    assert_eq!(half.len(), 2 * 150);
    let of = map([3, 300], 1);
    // The second value of the first row is no number: means are of the others.
    assert_eq!((half[0], half[150]), ((of[0] + of[300] + of[301]) / 3.0, (of[600] + of[601]) / 2.0));

    let set = write_maps(dir.path(), &infos, &[Format::Zarr04], 5)?;
    assert!(dir.path().join("lambda.v04.ome.zarr.before").exists());
    set.discard();
    assert_eq!((shape()?, names(dir.path())?.len()), (json!([2, 3, 300]), 2));
    // Killed: the next run clears it away and brings the older one back until it is complete itself.
    drop(write_maps(dir.path(), &infos, &[Format::Zarr04], 5)?);
    let set = write_maps(dir.path(), &infos, &[Format::Npy], 1)?;
    assert_eq!(shape()?, json!([2, 3, 300]));
    set.commit(&json!({}), None, false)?;
    write_maps(dir.path(), &infos, &[Format::Zarr04], 5)?.commit(&json!({}), None, false)?;
    assert_eq!(shape()?, json!([5, 3, 300]));
    let expected = ["lambda.npy", "lambda.v04.ome.zarr", "run.json"];
    assert_eq!(names(dir.path())?, expected);
    Ok(())
}

#[test]
fn the_part_of_a_killed_run_is_readable() -> Outcome {
    let dir = tempfile::tempdir()?;
    let set = write_maps(dir.path(), &[map_info("lambda", [3, 3], Some(100))], &[Format::Tiff], 4)?;
    drop(set);
    let mut decoder = tiff::decoder::Decoder::new(fs::File::open(dir.path().join("lambda.tif.part"))?)?;
    let mut pages = 1;
    while decoder.more_images() {
        decoder.next_image()?;
        pages += 1;
    }
    assert_eq!(pages, 4);
    Ok(())
}

#[test]
fn two_runs_do_not_share_a_folder() -> Outcome {
    let dir = tempfile::tempdir()?;
    let infos = [map_info("lambda", [3, 3], None)];
    let first = write_maps(dir.path(), &infos, &[Format::Npy], 1)?;
    assert!(matches!(
        OutputSet::create(&Destination::new(dir.path(), &[Format::Npy]), &infos),
        Err(SinkError::Busy { .. })
    ));
    first.commit(&json!({}), None, false)?;
    assert_eq!(names(dir.path())?, ["lambda.npy", "run.json"]);
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_at_the_start() -> Outcome {
    let dir = tempfile::tempdir()?;
    let infos = [map_info("lambda", [3, 3], None)];
    let file = dir.path().join("file");
    fs::write(&file, "text")?;
    for path in [file.clone(), file.join("below")] {
        let error = OutputSet::create(&Destination::new(&path, &[Format::Npy]), &infos)
            .err()
            .ok_or("made a folder of a file")?;
        assert!(matches!(error, SinkError::Create { .. }), "{error}");
        assert!(error.to_string().contains("file"), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert_eq!(fs::read(&file)?, b"text");

    let out = dir.path().join("out");
    fs::create_dir_all(out.join("lambda.tif"))?;
    let result = OutputSet::create(&Destination::new(&out, &[Format::Tiff]), &infos);
    assert!(matches!(result, Err(SinkError::Occupied { .. })));
    Ok(())
}

#[test]
fn a_start_that_fails_leaves_no_files() -> Outcome {
    let dir = tempfile::tempdir()?;
    let formats = [Format::Npy, Format::Tiff];
    let series = OutputSet::create_series(&Destination::new(dir.path(), &formats), &[series_info("s", 1)]);
    assert!(matches!(series, Err(SinkError::Unsupported { .. })));
    let empty = OutputSet::create(&Destination::new(dir.path(), &formats), &[map_info("lambda", [0, 5], None)]);
    assert!(matches!(empty, Err(SinkError::Mismatch { .. })));
    assert_eq!(names(dir.path())?, [""; 0]);

    // The second output fails when the first has its parts; an older output and its record stay.
    let infos = [map_info("lambda", [3, 3], None), map_info("residual", [3, 3], None)];
    write_maps(dir.path(), &infos[..1], &formats, 1)?.commit(&json!({}), None, false)?;
    fs::create_dir(dir.path().join("residual.tif"))?;
    let before = names(dir.path())?;
    let result = OutputSet::create(&Destination::new(dir.path(), &formats), &infos);
    assert!(matches!(result, Err(SinkError::Occupied { .. })));
    assert_eq!(names(dir.path())?, before);
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_names_the_file_and_what_is_complete() -> Outcome {
    let dir = tempfile::tempdir()?;
    std::os::unix::fs::symlink("/dev/full", dir.path().join("full.npy.part"))?;
    let error =
        OutputSet::create(&Destination::new(dir.path(), &[Format::Npy]), &[map_info("full", [3, 3], None)]).err();
    let error = error.ok_or("wrote to a full device")?;
    assert!(matches!(error, SinkError::Full { complete: 0, .. }), "{error}");
    assert!(error.to_string().contains("full.npy.part: no space left"), "{error}");
    assert!(!dir.path().join("full.npy").exists());

    // A picture is drawn at the commit: by then there are maps, and the other files must not get their names.
    std::os::unix::fs::symlink("/dev/full", dir.path().join("lambda.png.part"))?;
    let formats = [Format::Npy, Format::Png];
    let set = write_maps(dir.path(), &[map_info("lambda", [3, 3], None)], &formats, 2)?;
    let error = set.commit(&json!({}), None, false).expect_err("wrote to a full device");
    assert!(matches!(error, SinkError::Full { complete: 2, .. }), "{error}");
    assert!(error.to_string().ends_with("2 maps are complete in the .part files beside it"), "{error}");
    assert!(!dir.path().join("lambda.npy").exists() && !dir.path().join("run.json").exists());
    Ok(())
}

#[test]
fn misuse_is_told_apart() -> Outcome {
    let dir = tempfile::tempdir()?;
    let good = map([3, 3], 0);
    for name in ["", "..", "../lambda", "a/b", ".hidden", "a\\b", "lambda\n"] {
        let result = OutputSet::create(&Destination::new(dir.path(), &[Format::Npy]), &[map_info(name, [3, 3], None)]);
        assert!(matches!(result, Err(SinkError::Name { .. })), "{name}");
    }
    let twice = [map_info("lambda", [3, 3], None), map_info("Lambda", [3, 3], None)];
    assert!(matches!(
        OutputSet::create(&Destination::new(dir.path(), &[Format::Npy]), &twice),
        Err(SinkError::Name { .. })
    ));
    let series = OutputSet::create_series(&Destination::new(dir.path(), &[Format::Tiff]), &[series_info("s", 1)]);
    assert!(matches!(series, Err(SinkError::Unsupported { .. })));

    let mut set = OutputSet::create(
        &Destination::new(dir.path(), &[Format::Npy, Format::Npy]),
        &[map_info("lambda", [3, 3], None)],
    )?;
    assert!(matches!(set.write(1, 0, 0.0, &[&good], Value::Null), Err(SinkError::Mismatch { .. })));
    assert!(matches!(set.write(0, 0, 0.0, &[&good, &good], Value::Null), Err(SinkError::Mismatch { .. })));
    assert!(matches!(set.write(0, 0, 0.0, &[&good[1..]], Value::Null), Err(SinkError::Mismatch { .. })));
    assert!(matches!(set.write_samples(0, &[&good], None), Err(SinkError::Mismatch { .. })));
    assert!(matches!(set.commit(&json!({}), None, false), Err(SinkError::Empty { .. })));

    let error = "hdf5".parse::<Format>().expect_err("no such format").to_string();
    assert!(error.contains("hdf5") && error.contains("tiff, npy, csv, png, zarr, zarr-0.4"), "{error}");
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().ok(), Some(format));
    }
    assert_eq!("TIFF".parse::<Format>().ok(), Some(Format::Tiff));
    Ok(())
}

/// What is in a folder already and cannot be had again stays.
#[test]
fn nothing_is_written_over_but_what_runs_wrote() -> Outcome {
    let infos = [map_info("lambda", [2, 3], None)];
    let formats = [Format::Npy];
    let folder = tempfile::tempdir()?;
    let dir = folder.path();
    let start = |to: &Destination<'_>| OutputSet::create(to, &infos).err();
    let plain = Destination::new(dir, &formats);

    // Somebody else's file.
    let target = dir.join("lambda.npy");
    fs::write(&target, "theirs")?;
    assert!(matches!(start(&plain), Some(SinkError::Foreign { path }) if path == target));
    assert_eq!((fs::read_to_string(&target)?.as_str(), names(dir)?), ("theirs", vec!["lambda.npy".to_owned()]));
    fs::remove_file(&target)?;

    // Neither by the names of a run's record, its journal, and its parts: acquisition programs write a run.json too.
    for name in ["run.json", "journal.jsonl", "lambda.npy.part", "run.json.part"] {
        let theirs = dir.join(name);
        for text in ["{\"exposure\": 20}", "theirs", ""].iter().filter(|t| !t.is_empty() || name != "journal.jsonl") {
            fs::write(&theirs, text)?;
            for resume in [false, true] {
                let to = Destination { resume, ..plain.clone() };
                assert!(matches!(start(&to), Some(SinkError::Foreign { path }) if path == theirs), "{name}: {text}");
            }
            assert_eq!((fs::read_to_string(&theirs)?.as_str(), names(dir)?), (*text, vec![name.to_owned()]));
        }
        fs::remove_file(&theirs)?;
    }

    // An earlier run's results go for those of a new one, but not for those of what passes by only once.
    write_maps(dir, &infos, &formats, 2)?.commit(&json!({}), None, false)?;
    let earlier = fs::read(&target)?;
    let passing = Destination { replace: false, ..Destination::new(dir, &formats) };
    assert!(matches!(start(&passing), Some(SinkError::Earlier { .. })));
    assert!(matches!(start(&Destination { resume: true, ..passing.clone() }), Some(SinkError::Earlier { .. })));
    drop(write_maps(dir, &infos, &formats, 1)?);
    assert!(matches!(start(&passing), Some(SinkError::Earlier { .. })), "nor where it was interrupted");
    assert!(start(&Destination { resume: true, ..passing }).is_none());

    // What the run reads stays, whatever it is called.
    for keep in [[target.clone()], [dir.to_owned()], [dir.join("run.json")], [dir.join(".").join("lambda.npy")]] {
        let reading = Destination { keep: &keep, ..Destination::new(dir, &formats) };
        assert!(matches!(start(&reading), Some(SinkError::Input { path }) if path == keep[0]));
    }
    let elsewhere = [dir.join("u.npy"), std::env::temp_dir()];
    fs::write(&elsewhere[0], "a recording")?;
    assert_eq!(fs::read(&target)?, earlier);
    assert!(start(&Destination { keep: &elsewhere, ..Destination::new(dir, &formats) }).is_none());
    Ok(())
}
