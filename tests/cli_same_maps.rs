//! The same recording in every form a person may have it in: the maps agree, to the byte or as closely as the numbers
//! allow.

mod program;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use ndarray::{Array2, Array3};
use ndarray_npy::read_npy;
use tiff::encoder::{TiffEncoder, colortype};

const FRAMES: usize = 7;
const ROWS: usize = 64;
const COLUMNS: usize = 72;

fn model(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(format!("{name}.onnx"));
    path.to_str().expect("UTF-8").to_owned()
}

/// Run the model on a recording, or on `stdin`, and give the bytes of `lambda.npy`.
fn lambda(dir: &Path, model: &str, input: &str, extra: &[&str], stdin: Option<&[u8]>) -> Vec<u8> {
    let out = tempfile::tempdir_in(dir).expect("a folder");
    let folder = out.path().to_str().expect("UTF-8");
    let mut child = program::mollifier()
        .args(["run", model, input, "--out", folder, "--format", "npy"])
        .args(extra)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    if let Some(bytes) = stdin {
        child.stdin.take().expect("piped").write_all(bytes).expect("it reads");
    }
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{input}: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(out.path().join("lambda.npy")).expect("lambda.npy")
}

/// An NPY file of version 1.0, in C order.
fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic, version and length take 10 bytes; the header ends with a line break at a multiple of 64.
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a short header");
    [b"\x93NUMPY\x01\x00".as_slice(), &length.to_le_bytes(), header.as_bytes(), data].concat()
}

/// A number in [-1, 1) that looks random, without any relation to that of a neighbour.
fn noise(t: f64, y: f64, x: f64) -> f64 {
    let mut mixed = 0u64;
    for value in [t, y, x] {
        // The finaliser of SplitMix64.
        mixed = (mixed ^ value.to_bits()).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    (mixed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// A pattern that evens out, in whole numbers from 1 to 254, frame by frame.
fn counts() -> Vec<Vec<u8>> {
    let frame = |t: f64| {
        let value = |i: usize| {
            let (y, x) = ((i / COLUMNS) as f64, (i % COLUMNS) as f64);
            let smooth = 128.0 + 60.0 * (-0.03 * t).exp() * ((y / 11.0).sin() + (x / 13.0).cos());
            (smooth + noise(t, y, x)).round().clamp(1.0, 254.0) as u8
        };
        (0..ROWS * COLUMNS).map(value).collect()
    };
    (0..FRAMES).map(|t| frame(t as f64)).collect()
}

fn write_png(path: &Path, pixels: &[u8]) {
    let file = BufWriter::new(File::create(path).expect("it is made"));
    let mut encoder = png::Encoder::new(file, COLUMNS as u32, ROWS as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(pixels).expect("it is written");
    writer.finish().expect("it is written");
}

#[test]
fn png_tiff_npy_and_standard_input_give_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let frames = counts();
    assert!(frames.iter().flatten().any(|&v| v < 40) && frames.iter().flatten().any(|&v| v > 215));

    let folder = path("frames");
    fs::create_dir(&folder).expect("it is made");
    for (t, frame) in frames.iter().enumerate() {
        write_png(&folder.join(format!("frame{t:03}.png")), frame);
    }

    let wide: Vec<Vec<u16>> = frames.iter().map(|f| f.iter().map(|&v| u16::from(v)).collect()).collect();
    let mut tiff = TiffEncoder::new(File::create(path("movie.tif")).expect("it is made")).expect("a TIFF");
    for frame in &wide {
        tiff.write_image::<colortype::Gray16>(COLUMNS as u32, ROWS as u32, frame).expect("it is written");
    }

    let raw: Vec<u8> = wide.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    let shape = [FRAMES, ROWS, COLUMNS];
    fs::write(path("u16.npy"), npy("<u2", &shape, &raw)).expect("it is written");
    fs::write(path("u8.npy"), npy("|u1", &shape, &frames.concat())).expect("it is written");
    let floats: Vec<u8> = frames.iter().flatten().flat_map(|&v| f32::from(v).to_be_bytes()).collect();
    fs::write(path("f32.npy"), npy(">f4", &shape, &floats)).expect("it is written");

    let model = model("heat-transient-closed-form");
    let maps = |input: &str, extra: &[&str], stdin| {
        let extra = [&["--with", "m=0", "--spacing", "t=2s,y=1um,x=1um"], extra].concat();
        lambda(dir.path(), &model, input, &extra, stdin)
    };
    let raw_format = format!("u16:{ROWS}x{COLUMNS}");
    let expected = maps("-", &["--raw", &raw_format], Some(&raw));
    for name in ["frames", "movie.tif", "u16.npy", "u8.npy", "f32.npy"] {
        let got = maps(path(name).to_str().expect("UTF-8"), &[], None);
        assert!(got == expected, "{name} gives other maps than raw frames on standard input");
    }

    fs::write(path("lambda.npy"), &expected).expect("it is written");
    let values: Array3<f32> = read_npy(path("lambda.npy")).expect("lambda.npy");
    assert_eq!(values.dim(), (FRAMES - 4, ROWS, COLUMNS));
    assert!(values.iter().all(|v| v.is_finite() && *v > 0.0), "a recording without holes gives a value everywhere");
    assert!(values.iter().any(|v| *v != values[[0, 0, 0]]), "the maps hold one value only");
}

#[test]
fn an_offset_of_the_field_leaves_the_maps() {
    let dir = tempfile::tempdir().expect("a folder");
    let (rows, columns) = (96, 104);
    // A plate that is heated evenly: a paraboloid, a weak pattern that changes its curvature, 1 % noise.
    let field = |offset: f64| {
        (0..rows * columns).map(move |i| {
            let (y, x) = ((i / columns) as f64 - 47.5, (i % columns) as f64 - 51.5);
            offset + 20.0 - (y * y + x * x) / 400.0
                + 0.3 * (y / 19.0).sin() * (x / 15.0).cos()
                + 0.05 * noise(0.0, y, x)
        })
    };
    let model = model("heat-closed-form");
    let maps = |offset: f64, descr: &str| {
        let data: Vec<u8> = match descr {
            "<f4" => field(offset).flat_map(|v| (v as f32).to_le_bytes()).collect(),
            _ => field(offset).flat_map(f64::to_le_bytes).collect(),
        };
        let input = dir.path().join("field.npy");
        fs::write(&input, npy(descr, &[rows, columns], &data)).expect("it is written");
        let bytes = lambda(dir.path(), &model, input.to_str().expect("UTF-8"), &["--with", "m=0.01"], None);
        let path = dir.path().join("lambda.npy");
        fs::write(&path, bytes).expect("it is written");
        let map: Array3<f32> = read_npy(path).expect("lambda.npy");
        assert_eq!(map.dim(), (1, rows, columns));
        map
    };
    for descr in ["<f4", "<f8"] {
        let (near, far) = (maps(0.0, descr), maps(300.0, descr));
        assert!(near.iter().any(|v| *v != near[[0, 0, 0]]), "the map holds one value only");
        let mut worst = Array2::<f32>::zeros((rows, columns));
        for ((_, y, x), a) in near.indexed_iter() {
            worst[[y, x]] = ((far[[0, y, x]] - a) / a).abs();
        }
        assert!(worst.iter().all(|d| *d <= 1e-3), "{descr}: {:?}", worst.iter().copied().fold(0.0, f32::max));
    }
}
