//! Every format that a recording may come in, sound and damaged, against the values that were written.
#![cfg(feature = "std")]

use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use mollifier::model::Kind;
use mollifier::source::{Frame, Pixels, Samples};
use mollifier::source::{FrameInfo, Input, OpenOptions, Read, SeriesInfo, SourceError, from_reader, open};
use proptest::prelude::*;
use tiff::encoder::{Compression, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard, colortype};

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn fields() -> OpenOptions {
    OpenOptions::new(Kind::Fields)
}

fn series() -> OpenOptions {
    OpenOptions::new(Kind::Series)
}

fn empty_frame() -> Frame {
    Frame { index: 0, time: None, shape: [0, 0], pixels: Pixels::U8(Vec::new()) }
}

/// The frames of an input, and the error that ended them if any.
fn drain(input: Input) -> (FrameInfo, Vec<Frame>, Option<SourceError>) {
    let Input::Frames(mut source) = input else { panic!("expected frames") };
    let (mut frame, mut frames) = (empty_frame(), Vec::new());
    loop {
        match source.read(&mut frame) {
            Ok(Read::Filled) => frames.push(frame.clone()),
            Ok(Read::End) => return (source.info().clone(), frames, None),
            Err(e) => return (source.info().clone(), frames, Some(e)),
        }
    }
}

fn read(path: &Path, options: &OpenOptions) -> Result<(FrameInfo, Vec<Frame>), SourceError> {
    let (info, frames, error) = drain(open(&text(path), options)?);
    error.map_or(Ok((info, frames)), Err)
}

fn drain_series(input: Input) -> (SeriesInfo, Vec<f64>, Option<SourceError>) {
    let Input::Series(mut source) = input else { panic!("expected a series") };
    let (mut block, mut values) = (Samples::default(), Vec::new());
    loop {
        match source.read(&mut block) {
            Ok(Read::Filled) => {
                assert_eq!(block.first as usize * block.channels, values.len());
                assert!(!block.values.is_empty());
                values.extend(&block.values);
            }
            Ok(Read::End) => return (source.info().clone(), values, None),
            Err(e) => return (source.info().clone(), values, Some(e)),
        }
    }
}

fn read_series(path: &Path, options: &OpenOptions) -> Result<(SeriesInfo, Vec<f64>), SourceError> {
    let (info, values, error) = drain_series(open(&text(path), options)?);
    error.map_or(Ok((info, values)), Err)
}

/// The error's line without the folder of the test.
fn line(error: &SourceError, folder: &Path) -> String {
    error.to_string().replace(&format!("{}{}", text(folder), std::path::MAIN_SEPARATOR), "")
}

fn refused(path: &Path, options: &OpenOptions) -> (SourceError, String) {
    let result = read(path, options);
    let error = result.map(|_| ()).expect_err("expected an error");
    let message = line(&error, path.parent().expect("a folder"));
    (error, message)
}

/// Rows and columns of the movie.
const SHAPE: [usize; 2] = [5, 7];

/// Four frames of u8 values.
fn movie() -> Vec<Vec<u8>> {
    (0..4u32).map(|t| (0..35u32).map(|i| (t * 61 + i * 37 % 200) as u8).collect()).collect()
}

fn values(frame: &Frame) -> Vec<f64> {
    (0..frame.pixels.len()).map(|i| frame.pixels.get(i)).collect()
}

fn write_tiff<C: colortype::ColorType, K: TiffKind>(
    path: &Path,
    shape: [usize; 2],
    pages: &[Vec<C::Inner>],
    compression: Compression,
    description: Option<&str>,
) where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let file = File::create(path).expect("create");
    let mut encoder = TiffEncoder::<_, K>::new_generic(file).expect("header").with_compression(compression);
    for (index, page) in pages.iter().enumerate() {
        let mut image = encoder.new_image::<C>(shape[1] as u32, shape[0] as u32).expect("image");
        if let (0, Some(description)) = (index, description) {
            image.encoder().write_tag(tiff::tags::Tag::ImageDescription, description).expect("tag");
        }
        image.write_data(page).expect("data");
    }
}

const PLAIN: Compression = Compression::Uncompressed;

/// One directory of a hand-made TIFF: tags with type and values, a description and the image's bytes.
struct Page {
    tags: Vec<(u16, u16, Vec<u64>)>,
    description: Vec<u8>,
    data: Vec<u8>,
}

impl Page {
    fn grey(shape: [usize; 2], bits: u64, format: u64, data: Vec<u8>) -> Self {
        let (rows, columns) = (shape[0] as u64, shape[1] as u64);
        let tags = [(256, columns), (257, rows), (258, bits), (259, 1), (262, 1), (277, 1), (278, rows), (339, format)];
        let tags = tags.map(|(tag, value)| (tag, 3, vec![value])).to_vec();
        Self { tags, description: Vec::new(), data }
    }

    fn set(mut self, tag: u16, kind: u16, values: Vec<u64>) -> Self {
        self.tags.retain(|(t, ..)| *t != tag);
        self.tags.push((tag, kind, values));
        self
    }
}

/// A hand-made classic TIFF.
struct Handmade {
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Handmade {
    fn new(big_endian: bool) -> Self {
        let mut file = Self { big_endian, bytes: if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() } };
        let first = file.number(8, 4);
        file.bytes.extend(first);
        file
    }

    fn number(&self, value: u64, size: usize) -> Vec<u8> {
        let bytes = value.to_le_bytes()[..size].to_vec();
        if self.big_endian { bytes.into_iter().rev().collect() } else { bytes }
    }

    fn patch(&mut self, at: usize, value: usize) {
        let bytes = self.number(value as u64, 4);
        self.bytes[at..at + 4].copy_from_slice(&bytes);
    }

    /// Append a directory; gives where the strip's offset and the next directory's offset are to be patched.
    fn directory(&mut self, page: &Page) -> (usize, usize) {
        let mut tags = page.tags.clone();
        tags.push((273, 4, vec![0]));
        tags.push((279, 4, vec![page.data.len() as u64]));
        if !page.description.is_empty() {
            tags.push((270, 2, page.description.iter().map(|b| u64::from(*b)).collect()));
        }
        tags.sort_by_key(|(tag, ..)| *tag);
        let count = self.number(tags.len() as u64, 2);
        self.bytes.extend(count);
        let start = self.bytes.len();
        let mut behind = start + tags.len() * 12 + 4;
        let (mut entries, mut values, mut strip) = (Vec::new(), Vec::new(), 0);
        for (tag, kind, numbers) in &tags {
            let size = match kind {
                2 => 1,
                3 => 2,
                16 => 8,
                _ => 4,
            };
            // A rational is two numbers of four bytes each.
            let count = if *kind == 5 { numbers.len() / 2 } else { numbers.len() };
            entries.extend(self.number(u64::from(*tag), 2));
            entries.extend(self.number(u64::from(*kind), 2));
            entries.extend(self.number(count as u64, 4));
            let mut value: Vec<u8> = numbers.iter().flat_map(|n| self.number(*n, size)).collect();
            if *tag == 273 {
                strip = start + entries.len();
            }
            if value.len() > 4 {
                entries.extend(self.number(behind as u64, 4));
                behind += value.len();
                values.extend(value);
            } else {
                value.resize(4, 0);
                entries.extend(value);
            }
        }
        self.bytes.extend(entries);
        let next = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(values);
        (strip, next)
    }

    /// Pages as ImageJ writes them: the first directory, then all images, then the other directories. Gives the
    /// bytes and where the images begin.
    fn imagej(big_endian: bool, pages: &[Page]) -> (Vec<u8>, usize) {
        let mut file = Self::new(big_endian);
        let (strip, mut next) = file.directory(&pages[0]);
        let start = file.bytes.len();
        file.patch(strip, start);
        pages.iter().for_each(|page| file.bytes.extend(&page.data));
        let mut offset = start;
        for pair in pages.windows(2) {
            offset += pair[0].data.len();
            let here = file.bytes.len();
            file.patch(next, here);
            let (strip, following) = file.directory(&pair[1]);
            file.patch(strip, offset);
            next = following;
        }
        (file.bytes, start)
    }
}

fn handmade(pages: &[Page]) -> Vec<u8> {
    Handmade::imagej(false, pages).0
}

fn write_png(path: &Path, shape: [usize; 2], colour: png::ColorType, depth: png::BitDepth, data: &[u8]) {
    let file = File::create(path).expect("create");
    let mut encoder = png::Encoder::new(file, shape[1] as u32, shape[0] as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().expect("header").write_image_data(data).expect("data");
}

fn write_grey_png(path: &Path, shape: [usize; 2], data: &[u8]) {
    write_png(path, shape, png::ColorType::Grayscale, png::BitDepth::Eight, data);
}

fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("write");
    path
}

fn stream(bytes: impl AsRef<[u8]>, options: &OpenOptions) -> Result<Input, SourceError> {
    from_reader(Box::new(Cursor::new(bytes.as_ref().to_vec())), "standard input", options)
}

#[test]
fn one_movie_in_every_format_has_the_same_values() -> Result<(), SourceError> {
    let dir = folder();
    let movie = movie();
    let wide: Vec<Vec<u16>> = movie.iter().map(|f| f.iter().map(|v| u16::from(*v)).collect()).collect();
    let single: Vec<Vec<f32>> = movie.iter().map(|f| f.iter().map(|v| f32::from(*v)).collect()).collect();
    let expected: Vec<Vec<f64>> = movie.iter().map(|f| f.iter().map(|v| f64::from(*v)).collect()).collect();
    let bytes: Vec<u8> = wide.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();

    let [pngs, tiffs] = ["pngs", "tiffs"].map(|name| dir.path().join(name));
    fs::create_dir(&pngs).expect("folder");
    fs::create_dir(&tiffs).expect("folder");
    for (t, frame) in movie.iter().enumerate() {
        // Natural order: 8, 9, 10, 11.
        write_grey_png(&pngs.join(format!("img{}.png", t + 8)), SHAPE, frame);
        let path = tiffs.join(format!("{t:03}.tif"));
        write_tiff::<colortype::Gray16, TiffKindStandard>(&path, SHAPE, &wide[t..=t], PLAIN, None);
    }
    let at = |name: &str| dir.path().join(name);
    let deflate = Compression::Deflate(Default::default());
    write_tiff::<colortype::Gray16, TiffKindStandard>(&at("a.tif"), SHAPE, &wide, PLAIN, None);
    write_tiff::<colortype::Gray16, TiffKindBig>(&at("b.tif"), SHAPE, &wide, PLAIN, None);
    write_tiff::<colortype::Gray16, TiffKindStandard>(&at("c.tif"), SHAPE, &wide, Compression::Lzw, None);
    write_tiff::<colortype::Gray8, TiffKindBig>(&at("d.tif"), SHAPE, &movie, deflate, None);
    write_tiff::<colortype::Gray32Float, TiffKindStandard>(&at("e.tif"), SHAPE, &single, deflate, None);
    write_tiff::<colortype::Gray32Float, TiffKindStandard>(&at("f.tif"), SHAPE, &single, Compression::Packbits, None);
    let big_endian = |f: &Vec<u16>| Page::grey(SHAPE, 16, 1, f.iter().flat_map(|v| v.to_be_bytes()).collect());
    let pages: Vec<Page> = wide.iter().map(big_endian).collect();
    put(dir.path(), "g.tif", Handmade::imagej(true, &pages).0);
    put(dir.path(), "h.npy", npy("<u2", false, "(4, 5, 7)", &bytes));

    for name in ["pngs", "tiffs", "a.tif", "b.tif", "c.tif", "d.tif", "e.tif", "f.tif", "g.tif", "h.npy"] {
        let (info, frames) = read(&dir.path().join(name), &fields())?;
        assert_eq!(frames.iter().map(values).collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(frames.iter().map(|f| f.index).collect::<Vec<_>>(), [0, 1, 2, 3], "{name}");
        assert!(frames.iter().all(|f| f.shape == SHAPE && f.time.is_none()), "{name}");
        assert_eq!((info.shape, info.count, info.warnings), (SHAPE, Some(4), vec![]), "{name}");
        assert!(info.spacing.is_empty(), "{name}");
    }
    let mut raw = fields();
    raw.raw = "u16:5x7".parse().ok();
    for input in [stream(&bytes, &raw)?, stream(npy("<u2", false, "(4, 5, 7)", &bytes), &fields())?] {
        let (_, frames, error) = drain(input);
        assert!(error.is_none());
        assert_eq!(frames.iter().map(values).collect::<Vec<_>>(), expected);
    }
    Ok(())
}

#[test]
fn tiff_types_are_converted_without_loss() -> Result<(), SourceError> {
    let dir = folder();
    for (name, bits, format, data, kind, value) in [
        ("i8", 8, 2, vec![0xfb], "f32", -5.0),
        ("i16", 16, 2, (-300i16).to_le_bytes().to_vec(), "f32", -300.0),
        ("u32", 32, 1, u32::MAX.to_le_bytes().to_vec(), "f64", 4_294_967_295.0),
        ("i32", 32, 2, i32::MIN.to_le_bytes().to_vec(), "f64", -2_147_483_648.0),
        ("f64", 64, 3, 0.1f64.to_le_bytes().to_vec(), "f64", 0.1),
        ("f16", 16, 3, vec![0x00, 0x3c], "f32", 1.0),
    ] {
        let path = put(dir.path(), name, handmade(&[Page::grey([1, 1], bits, format, data)]));
        let (_, frames) = read(&path, &fields())?;
        assert_eq!((frames[0].pixels.type_name(), values(&frames[0])), (kind, vec![value]), "{name}");
    }
    Ok(())
}

#[test]
fn tiff_layouts_that_are_not_plain_grey() -> Result<(), SourceError> {
    let dir = folder();
    // 0.299 * 200 = 59.8, 0.587 * 100 = 58.7, and grey.
    let rgb = vec![200, 0, 0, 0, 100, 0, 77, 77, 77];
    let path = dir.path().join("rgb.tif");
    for compression in [PLAIN, Compression::Lzw] {
        write_tiff::<colortype::RGB8, TiffKindStandard>(&path, [1, 3], std::slice::from_ref(&rgb), compression, None);
        let (info, frames) = read(&path, &fields())?;
        assert_eq!(frames[0].pixels, Pixels::U8(vec![60, 59, 77]));
        assert_eq!(info.warnings, ["the images are in colour; their luminance (ITU-R BT.601) is used"]);
    }
    let rgba = vec![200u16, 0, 0, 9, 0, 100, 0, 9];
    write_tiff::<colortype::RGBA16, TiffKindStandard>(&path, [1, 2], &[rgba], PLAIN, None);
    assert_eq!(read(&path, &fields())?.1[0].pixels, Pixels::U16(vec![60, 59]));

    // A colour table (ImageJ with a lookup table): the stored value counts. Zero as white likewise.
    let page = || Page::grey([1, 3], 8, 1, vec![1, 2, 3]);
    for (photometric, warning) in [(3, "colour table"), (0, "zero is white")] {
        let path = put(dir.path(), "p.tif", handmade(&[page().set(262, 3, vec![photometric])]));
        let (info, frames) = read(&path, &fields())?;
        assert_eq!(frames[0].pixels, Pixels::U8(vec![1, 2, 3]));
        assert!(info.warnings.len() == 1 && info.warnings[0].contains(warning), "{:?}", info.warnings);
    }
    // Thumbnails are no frames.
    let pages = [page(), page().set(254, 4, vec![1]), page()];
    let (info, frames) = read(&put(dir.path(), "t.tif", Handmade::imagej(true, &pages).0), &fields())?;
    assert_eq!((info.count, frames.len()), (Some(2), 2));
    Ok(())
}

#[test]
fn imagej_tells_pixel_size_and_interval() -> Result<(), SourceError> {
    let dir = folder();
    let stack = |description: &[u8]| {
        let page = |t| Page::grey([1, 2], 8, 1, vec![t, t + 1]);
        let mut first = page(0).set(282, 5, vec![10_000, 1000]).set(283, 5, vec![5, 1]);
        first.description = description.to_vec();
        put(dir.path(), "s.tif", Handmade::imagej(true, &[first, page(1), page(2)]).0)
    };
    let spacing = |lines: &[u8]| {
        let description = [b"ImageJ=1.53\nimages=3\n", lines].concat();
        read(&stack(&description), &fields()).map(|(info, _)| (info.spacing.to_string(), info.warnings.len()))
    };
    let stated = |text: &str, warnings| (text.to_owned(), warnings);

    let micron = b"frames=3\nunit=\\u00B5m\nfinterval=0.5\nspacing=7.0\nloop=false\n";
    assert_eq!(spacing(micron)?, stated("t=0.5s,y=0.2um,x=0.1um", 0));
    assert_eq!(spacing(b"unit=micron\nfinterval=2\ntunit=min\n")?, stated("t=2min,y=0.2um,x=0.1um", 0));
    // Older versions wrote the micro sign in Latin-1.
    assert_eq!(spacing(b"unit=\xb5m\n")?, stated("y=0.2um,x=0.1um", 0));
    assert_eq!(spacing(b"unit=nm\nfps=20.0\n")?, stated("t=0.05s,y=0.2nm,x=0.1nm", 1));
    assert_eq!(spacing(b"unit=inch\n")?, stated("y=5080um,x=2540um", 0));
    assert_eq!(spacing(b"unit=pixel\n")?, stated("", 0));
    assert_eq!(spacing(b"")?, stated("", 0));
    assert_eq!(spacing(b"unit=furlong\n")?, stated("", 2));
    assert_eq!(spacing(b"unit=sec\n")?, stated("", 1));

    let message = |description: &[u8]| refused(&stack(description), &fields()).1;
    assert_eq!(
        message(b"ImageJ=1.53\nimages=3\nchannels=3\n"),
        "s.tif: unsupported: got 3 channels, expected one: split the channels first \
         (in Fiji: Image > Color > Split Channels)"
    );
    assert!(message(b"ImageJ=1.53\nimages=4\nslices=2\nframes=2\n").contains("got 2 slices at each of 2 time points"));
    let (info, frames) = read(&stack(b"ImageJ=1.53\nimages=9\n"), &fields())?;
    assert_eq!((frames.len(), info.warnings.len()), (3, 1));
    Ok(())
}

#[test]
fn ome_xml_tells_pixel_size_interval_and_times() -> Result<(), SourceError> {
    let dir = folder();
    let path = dir.path().join("o.ome.tif");
    let write = |attributes: &str, planes: &str| {
        let description = format!(
            "<?xml version=\"1.0\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\">\
             <Image ID=\"Image:0\"><Pixels DimensionOrder=\"XYZCT\" SizeZ=\"1\" SizeT=\"3\" {attributes}>{planes}\
             </Pixels></Image></OME>"
        );
        let pages = [vec![1u8, 2], vec![3, 4], vec![5, 6]];
        write_tiff::<colortype::Gray8, TiffKindBig>(&path, [1, 2], &pages, PLAIN, Some(&description));
    };
    write(
        "PhysicalSizeX=\"65\" PhysicalSizeXUnit=\"nm\" PhysicalSizeY=\"0.065\" TimeIncrement=\"100\" \
         TimeIncrementUnit=\"ms\"",
        "",
    );
    let (info, frames) = read(&path, &fields())?;
    assert_eq!((info.spacing.to_string().as_str(), info.warnings.len()), ("t=100ms,y=0.065um,x=0.065um", 0));
    assert!(frames.iter().all(|f| f.time.is_none()));

    let planes = [0.0, 0.25, 0.75].iter().enumerate();
    let planes: String = planes.map(|(t, dt)| format!("<Plane TheT=\"{t}\" DeltaT=\"{}\"/>", 1.5 + dt)).collect();
    write("", &planes);
    let (info, frames) = read(&path, &fields())?;
    assert_eq!(info.spacing.to_string(), "t=0.5s");
    assert_eq!(frames.iter().map(|f| f.time).collect::<Vec<_>>(), [Some(0.0), Some(0.25), Some(0.75)]);

    write("SizeC=\"2\"", "");
    assert!(refused(&path, &fields()).1.contains("got 2 channels"));
    write("", "<TiffData IFD=\"0\" FirstT=\"2\"/><TiffData IFD=\"1\" FirstT=\"1\"/>");
    assert!(refused(&path, &fields()).1.contains("not in the order of time"));
    write("PhysicalSizeX=\"0\"", "");
    let (info, _) = read(&path, &fields())?;
    assert!(info.spacing.is_empty() && info.warnings.len() == 1, "{:?}", info.warnings);
    Ok(())
}

#[test]
fn a_damaged_tiff_is_read_up_to_the_damage() {
    let dir = folder();
    let pages = |n: usize, images: usize| -> Vec<Page> {
        let mut pages: Vec<Page> = (0..n).map(|t| Page::grey([4, 8], 16, 1, vec![t as u8; 64])).collect();
        pages[0].description = format!("ImageJ=1.53\nimages={images}\n").into_bytes();
        pages
    };
    let ended = |bytes: &[u8]| {
        let path = put(dir.path(), "movie.tif", bytes);
        let (info, frames, error) = drain(open(&text(&path), &fields()).expect("opens"));
        (info.count, frames.len(), error.map(|e| line(&e, dir.path())))
    };
    // Cut off in the seventh image: the directories at the end are lost with it.
    let (whole, start) = Handmade::imagej(false, &pages(10, 10));
    let cut = start + 6 * 64 + 10;
    let expected = format!(
        "movie.tif, page 7 of 10: got the file's end at byte {cut}, expected image data up to byte {}",
        start + 7 * 64
    );
    assert_eq!(ended(&whole[..cut]), (Some(10), 6, Some(expected)));
    assert_eq!(ended(&whole), (Some(10), 10, None));

    // One directory for all images, as ImageJ writes above 4 GB.
    let (mut bytes, _) = Handmade::imagej(true, &pages(1, 4));
    bytes.extend([7; 3 * 64]);
    assert_eq!(ended(&bytes), (Some(4), 4, None));

    // A directory behind each image, the last one cut off.
    let path = dir.path().join("whole.tif");
    let frames: Vec<Vec<u16>> = (0..3).map(|t| vec![t; 32]).collect();
    write_tiff::<colortype::Gray16, TiffKindStandard>(&path, [4, 8], &frames, PLAIN, None);
    let whole = fs::read(&path).expect("read");
    let (count, read, error) = ended(&whole[..whole.len() - 40]);
    assert_eq!((count, read), (None, 2));
    assert!(error.expect("cut off").starts_with("movie.tif, page 3: got the file's end at byte"));

    // Damaged compressed data.
    let deflate = Compression::Deflate(Default::default());
    write_tiff::<colortype::Gray16, TiffKindStandard>(&path, [4, 8], &frames, deflate, None);
    let mut whole = fs::read(&path).expect("read");
    let zlib = whole.windows(2).position(|pair| pair == [0x78, 0x9c]).expect("a zlib header");
    whole[zlib + 2..zlib + 10].fill(0xff);
    let (_, read, error) = ended(&whole);
    let error = error.expect("damaged");
    assert!(read == 0 && error.starts_with("movie.tif, page 1 of 3: got deflate compression that"), "{error}");
}

#[test]
fn tiff_pages_that_do_not_fit_are_refused() {
    let dir = folder();
    let refuse = |pages: &[Page]| refused(&put(dir.path(), "m.tif", handmade(pages)), &fields());
    let page = || Page::grey([1, 2], 8, 1, vec![1, 2]);
    let (error, message) = refuse(&[page(), Page::grey([2, 1], 16, 1, vec![0; 4])]);
    assert!(matches!(error, SourceError::Changed { .. }));
    let expected = "m.tif, page 2 of 2: got u16 2x1 (y, x), expected u8 1x2 (y, x) as in the first frame";
    assert_eq!(message, expected);
    let (error, message) = refuse(&[page().set(258, 3, vec![12])]);
    assert!(matches!(error, SourceError::Unsupported { .. }));
    assert!(message.contains("got unsigned integers of 12 bits"), "{message}");
    assert!(refuse(&[page().set(339, 3, vec![6])]).1.contains("complex"));
    assert!(refuse(&[page().set(259, 3, vec![50000])]).1.contains("Zstandard"));
    assert!(refuse(&[page().set(277, 3, vec![5])]).1.contains("5 samples a pixel"));
    assert!(refuse(&[page().set(256, 3, vec![0])]).1.contains("an image of 1x0 (y, x)"));
    let (error, message) = refuse(&[page().set(256, 4, vec![1 << 30]).set(257, 4, vec![1 << 30])]);
    assert!(matches!(error, SourceError::OverLimit { .. }));
    assert_eq!(
        message,
        "m.tif, page 1: over the limit: got a frame of 1073741824x1073741824 (y, x), \
         expected at most 268435456 pixels"
    );
    // A chain of directories that runs in a circle ends in an error too.
    let mut file = Handmade::new(false);
    let (strip, next) = file.directory(&page());
    file.patch(strip, 0);
    file.patch(next, 8);
    let (_, message) = refused(&put(dir.path(), "loop.tif", &file.bytes), &fields());
    assert!(message.contains("runs in a circle at byte 8"), "{message}");
}

#[test]
fn folders_keep_lost_frames_lost() -> Result<(), SourceError> {
    let dir = folder();
    for number in [7, 8, 10, 11] {
        write_grey_png(&dir.path().join(format!("img_{number}.png")), [1, 2], &[number, 0]);
    }
    put(dir.path(), "notes.txt", "x");
    put(dir.path(), ".DS_Store", "x");
    let (info, frames) = read(dir.path(), &fields())?;
    assert_eq!(frames.iter().map(|f| f.index).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!(frames.iter().map(|f| f.pixels.get(0)).collect::<Vec<_>>(), [7.0, 8.0, 10.0, 11.0]);
    assert_eq!(info.warnings, ["1 of the folder's entries are no PNG or TIFF files and were left out"]);
    Ok(())
}

#[test]
fn png_colours_and_depths() -> Result<(), SourceError> {
    use png::{BitDepth, ColorType};
    let dir = folder();
    let path = dir.path().join("a.png");
    for (colour, depth, data, expected) in [
        (ColorType::Rgba, BitDepth::Eight, vec![200, 0, 0, 1, 9, 9, 9, 255], Pixels::U8(vec![60, 9])),
        (ColorType::Rgb, BitDepth::Eight, vec![0, 100, 0, 9, 9, 9], Pixels::U8(vec![59, 9])),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, vec![5, 0, 6, 0], Pixels::U8(vec![5, 6])),
        (ColorType::Grayscale, BitDepth::Sixteen, vec![1, 2, 255, 255], Pixels::U16(vec![258, 65535])),
    ] {
        write_png(&path, [1, 2], colour, depth, &data);
        let (info, frames) = read(&path, &fields())?;
        assert_eq!(frames[0].pixels, expected);
        assert_eq!(info.warnings.len(), usize::from(colour != ColorType::Grayscale));
    }
    Ok(())
}

#[test]
fn folders_that_do_not_fit_are_refused() {
    let dir = folder();
    let grey = |name: &str, shape: [usize; 2]| {
        write_grey_png(&dir.path().join(name), shape, &vec![1; shape[0] * shape[1]]);
    };
    let message = || line(&read(dir.path(), &fields()).map(|_| ()).expect_err("refused"), dir.path());
    assert!(message().contains("got a folder without PNG or TIFF files (0 others), expected one image file a frame"));
    grey("1.png", [2, 3]);
    grey("2.png", [3, 2]);
    assert_eq!(message(), "2.png: got u8 3x2 (y, x), expected u8 2x3 (y, x) as in the first frame");
    put(dir.path(), "2.png", "");
    assert_eq!(message(), "2.png: got an empty file, expected an image");
    put(dir.path(), "2.png", "not an image");
    assert_eq!(message(), "2.png: got no PNG or TIFF header, expected an image");
    let whole = fs::read(dir.path().join("1.png")).expect("read");
    put(dir.path(), "2.png", &whole[..whole.len() - 20]);
    assert!(message().starts_with("2.png: got "), "{}", message());
    fs::remove_file(dir.path().join("2.png")).expect("remove");
    let pages = [vec![1u8; 6], vec![2; 6]];
    let two = dir.path().join("2.tif");
    write_tiff::<colortype::Gray8, TiffKindStandard>(&two, [2, 3], &pages, PLAIN, None);
    assert!(message().starts_with("2.tif: unsupported: got 2 pages, expected one image a file"));
    fs::remove_file(two).expect("remove");
    let mut small = fields();
    small.max_pixels = 5;
    let error = read(dir.path(), &small).map(|_| ()).expect_err("too large");
    assert!(matches!(error, SourceError::OverLimit { .. }), "{error}");
}

#[test]
fn npy_orders_and_types() -> Result<(), SourceError> {
    let dir = folder();
    let check = |bytes: Vec<u8>, expected: &[Pixels]| -> Result<(), SourceError> {
        let (_, frames) = read(&put(dir.path(), "a.npy", bytes), &fields())?;
        assert_eq!(frames.into_iter().map(|f| f.pixels).collect::<Vec<_>>(), expected);
        Ok(())
    };
    check(npy("|u1", false, "(2, 3)", &[1, 2, 3, 4, 5, 6]), &[Pixels::U8(vec![1, 2, 3, 4, 5, 6])])?;
    check(npy("|u1", true, "(2, 3)", &[1, 4, 2, 5, 3, 6]), &[Pixels::U8(vec![1, 2, 3, 4, 5, 6])])?;
    // (t, y, x) = (2, 1, 3) in Fortran order: t runs fastest.
    let two = [Pixels::U8(vec![1, 2, 3]), Pixels::U8(vec![4, 5, 6])];
    check(npy("|u1", true, "(2, 1, 3)", &[1, 4, 2, 5, 3, 6]), &two)?;
    check(npy(">i2", false, "(1, 1)", &(-3i16).to_be_bytes()), &[Pixels::F32(vec![-3.0])])?;
    check(npy("<f8", false, "(1, 1)", &0.1f64.to_le_bytes()), &[Pixels::F64(vec![0.1])])?;
    check(npy("|b1", false, "(1, 2)", &[0, 1]), &[Pixels::U8(vec![0, 1])])?;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn npy_in_either_order_is_the_same_array(t in 1usize..4, y in 1usize..5, x in 1usize..5) {
        let dir = folder();
        let value = |at: usize| {
            let (k, i, j) = (at / (y * x), at / x % y, at % x);
            (k * 31 + i * 7 + j) as f32 - 20.5
        };
        let c: Vec<u8> = (0..t * y * x).flat_map(|at| value(at).to_le_bytes()).collect();
        let turned = |at: usize| (at % t) * y * x + (at / t % y) * x + at / (t * y);
        let f: Vec<u8> = (0..t * y * x).flat_map(|at| value(turned(at)).to_be_bytes()).collect();
        let shape = format!("({t}, {y}, {x})");
        let a = read(&put(dir.path(), "c.npy", npy("<f4", false, &shape, &c)), &fields());
        let b = read(&put(dir.path(), "f.npy", npy(">f4", true, &shape, &f)), &fields());
        let (a, b) = (a.expect("C order").1, b.expect("Fortran order").1);
        prop_assert_eq!(a.len(), t);
        prop_assert_eq!(a, b);
    }
}

#[test]
fn npy_series_and_archives() -> Result<(), SourceError> {
    let dir = folder();
    let floats = [1f32, f32::INFINITY, 3.0].map(f32::to_le_bytes).concat();
    let (info, values) = read_series(&put(dir.path(), "s.npy", npy("<f4", false, "(3,)", &floats)), &series())?;
    assert_eq!((info.count, info.channels), (Some(3), vec!["value".to_owned()]));
    assert!(values[0] == 1.0 && values[1].is_nan() && values[2] == 3.0);

    // (channel, sample) = (2, 3) comes as (sample, channel).
    for (fortran, data) in [(false, [1, 2, 3, 4, 5, 6]), (true, [1, 4, 2, 5, 3, 6])] {
        let path = put(dir.path(), "c.npy", npy("|u1", fortran, "(2, 3)", &data));
        let (info, values) = read_series(&path, &series())?;
        assert_eq!((info.channels.len(), values), (2, vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    }

    let long: Vec<u8> = (0..20_000u16).flat_map(u16::to_le_bytes).collect();
    let array = npy("<u2", false, "(20000,)", &long);
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        let pack = |arrays: &[(&str, &[u8])]| {
            let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for (name, bytes) in arrays {
                archive.start_file(*name, options).expect("entry");
                archive.write_all(bytes).expect("write");
            }
            archive.finish().expect("finish").into_inner()
        };
        let mut bytes = pack(&[("ecg.npy", &array)]);
        let (info, values) = read_series(&put(dir.path(), "a.npz", &bytes), &series())?;
        assert_eq!(values, (0..20_000).map(f64::from).collect::<Vec<_>>());
        assert!(info.name.ends_with("a.npz, array ecg"), "{}", info.name);
        // Damage inside the values is met by the checksum at the end at the latest.
        bytes[400] ^= 0x10;
        assert!(read_series(&put(dir.path(), "bad.npz", &bytes), &series()).is_err(), "{method}");

        let other = npy("|u1", false, "(2,)", &[8, 9]);
        let path = put(dir.path(), "a.npz", pack(&[("ecg.npy", &array), ("other.npy", &other)]));
        let error = read_series(&path, &series()).map(|_| ()).expect_err("two arrays");
        assert!(error.is_misuse());
        let expected = "a.npz: got 2 arrays (ecg, other), expected --column NAME with one of them";
        assert_eq!(line(&error, dir.path()), expected);
        let mut options = series();
        options.column = Some("other".to_owned());
        assert_eq!(read_series(&path, &options)?.1, [8.0, 9.0]);
        options.column = Some("none".to_owned());
        let error = read_series(&path, &options).map(|_| ()).expect_err("no such array");
        assert_eq!(line(&error, dir.path()), "a.npz: got no array `none`, expected one of ecg, other");
    }
    Ok(())
}

#[test]
fn npy_that_does_not_fit_is_refused() {
    let dir = folder();
    let refuse = |bytes: Vec<u8>, options: &OpenOptions| refused(&put(dir.path(), "a.npy", bytes), options);
    let expected = "a.npy, frame 2 of 3 (from 0): got 5 bytes before the end, expected 8 bytes";
    assert_eq!(refuse(npy("<u2", false, "(3, 2, 2)", &[0; 21]), &fields()).1, expected);
    let (_, frames, _) = drain(open(&text(&dir.path().join("a.npy")), &fields()).expect("opens"));
    assert_eq!(frames.len(), 2);
    let (error, message) = refuse(npy("<f4", false, "(1000000, 1000000)", &[]), &fields());
    assert!(matches!(error, SourceError::OverLimit { .. }), "{message}");
    let huge = npy("<f4", false, "(18446744073709551615, 4, 4)", &[]);
    assert!(refuse(huge, &fields()).1.contains("frame 0 of 18446744073709551615"));
    assert!(refuse(npy("<f4", true, "(100000, 1000, 1000)", &[]), &fields()).1.contains("over the limit"));
    assert!(refuse(npy("<f4", true, "(10, 10, 10)", &[0; 8]), &fields()).1.contains("got 8 bytes before the end"));
    let (error, message) = refuse(npy("<f4", false, "(7,)", &[0; 28]), &fields());
    assert!(error.is_misuse());
    let expected = "a.npy: got f32 of shape (7), expected images for a model of fields, (y, x) or (t, y, x)";
    assert_eq!(message, expected);
    assert!(refuse(npy("<f4", false, "(0, 3)", &[]), &fields()).1.contains("at least one value"));
    assert!(refuse(npy("|u1", false, "(1, 2)", &[0; 5]), &fields()).1.contains("got 3 bytes behind the array"));
    assert!(refuse(b"\x93NUMPY\x09\x00".to_vec(), &fields()).1.contains("NPY version 9"));
    assert!(refuse(b"\x93NUMPY\x01\x00\xff\x00{".to_vec(), &fields()).1.contains("ends early"));

    let series_error = |bytes: Vec<u8>| {
        let result = read_series(&put(dir.path(), "a.npy", bytes), &series());
        line(&result.map(|_| ()).expect_err("refused"), dir.path())
    };
    assert!(series_error(npy("|u1", false, "(2, 2, 2)", &[0; 8])).contains("samples for a model of series"));
    let expected = "a.npy: got the end after 4 samples, expected 9 samples";
    assert_eq!(series_error(npy("|u1", false, "(9,)", &[0; 4])), expected);
    assert!(series_error(npy("|u1", false, "(100, 2)", &[0; 200])).contains("may have to be transposed"));
}

fn csv(text: &str, column: Option<&str>) -> Result<(SeriesInfo, Vec<f64>), SourceError> {
    let mut options = series();
    options.column = column.map(str::to_owned);
    let input = from_reader(Box::new(Cursor::new(text.as_bytes().to_vec())), "t.csv", &options)?;
    let (info, values, error) = drain_series(input);
    error.map_or(Ok((info, values)), Err)
}

#[test]
fn csv_finds_its_column() -> Result<(), SourceError> {
    let values = |text: &str, column: Option<&str>| csv(text, column).map(|(_, values)| values);
    assert_eq!(values("date,temp\n2010/01/01 00:00,39.4\n2010/01/01 01:00,39.2\n", None)?, [39.4, 39.2]);
    assert_eq!(values("2010/01/01 00:00,39.4\n2010/01/01 01:00,39.2\n", None)?, [39.4, 39.2]);
    assert_eq!(values("1\n2\n3\n", None)?, [1.0, 2.0, 3.0]);
    assert_eq!(values("\u{feff}time (s);force\r\n0,5;1,25\r\n\r\n# note\r\n1;2\r\n", None)?, [1.25, 2.0]);
    assert_eq!(values("a\tb\n1\tx\n2\ty\n", None)?, [1.0, 2.0]);
    assert_eq!(values("0 1.5\n1 2.5\n", Some("2"))?, [1.5, 2.5]);
    assert_eq!(values(",v\n0,5\n1,6\n", None)?, [5.0, 6.0]);
    assert_eq!(values("a,b\n1,2\n3,4\n", Some("b"))?, [2.0, 4.0]);
    assert_eq!(values("a,b\n1,2\n3,4\n", Some("B"))?, [2.0, 4.0]);
    assert_eq!(values("a,b\n1,2\n3,4\n", Some("1"))?, [1.0, 3.0]);
    let (info, _) = csv("t,u\n1,2\n", None)?;
    assert_eq!((info.channels, info.count), (vec!["u".to_owned()], None));
    // The first rows have no value yet: which column is a number is seen later.
    let got = values("time,v\n1,\n2,NA\n3,7.5\n4,nan\n5,inf\n", None)?;
    assert_eq!((got.len(), got[2]), (5, 7.5));
    assert!([0, 1, 3, 4].iter().all(|i| got[*i].is_nan()));
    Ok(())
}

#[test]
fn csv_keeps_the_place_of_missing_samples() -> Result<(), SourceError> {
    let text = |values: Vec<f64>| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    for (table, expected) in [
        ("\nv\n\n1\n\n\n# note\n2\n3\n\n\n", "1 NaN NaN 2 3"),
        ("1\n\n2\n", "1 NaN 2"),
        ("a,b\nx,1\n\nx,2\n", "1 2"),
        ("time [s],u\n0.1,1\n0.2,2\n0.5,3\n,4\n0.7,5\n", "1 2 NaN NaN 3 4 5"),
        ("t,u\n5,1\n\n6,2\n", "1 2"),
        ("time,u\n12:00,1\n12:01,2\n12:04,3\n", "1 2 NaN NaN 3"),
        ("u,datetime\n1,2026-01-31T23:59:58Z\n2,2026-01-31T23:59:59Z\n3,2026-02-01T00:00:02Z\n", "1 2 NaN NaN 3"),
        ("date,time,u\n2026-01-31,12:00:00,1\n2026-01-31,12:00:30,2\n", "1 2"),
        ("T,T_in\n1,x\n2,y\n", "1 2"),
    ] {
        assert_eq!(text(csv(table, None)?.1), expected, "{table}");
    }
    for times in ["t,u\n3,1\n3,2\n3,3\n", "time,u\n9,1\n8,2\n7,3\n"] {
        let error = csv(times, None).expect_err("times that do not grow").to_string();
        assert!(error.contains("do not grow") && error.contains("--spacing t=STEP"), "{error}");
    }
    let (info, _) = csv("time,u\n2026-01-31T23:59:58Z,1\n2026-01-31T23:59:58.5Z,2\n", None)?;
    assert_eq!(info.spacing.to_string(), "t=0.5s");
    // A long table, most of which is behind the rows that were looked at.
    let table: String = (0..5000).filter(|i| i % 1000 != 999).map(|i| format!("{i};{i}\n")).collect();
    let values = csv(&format!("t;u\n{table}"), None)?.1;
    assert!(values.len() == 4999 && values.iter().enumerate().all(|(i, v)| (i % 1000 == 999) == v.is_nan()));
    assert!(values.iter().enumerate().all(|(i, v)| v.is_nan() || *v == i as f64));
    Ok(())
}

#[test]
fn csv_says_its_step() -> Result<(), SourceError> {
    let step = |table: &str| csv(table, None).map(|(info, _)| info.spacing.t.map(|t| t.to_string()));
    assert_eq!(step("time [ms],u\n0.1,1\n0.2,2\n0.3,3\n")?.as_deref(), Some("0.1ms"));
    assert_eq!(step("t,u\n0,1\n2,2\n")?.as_deref(), Some("2"));
    assert_eq!(step("u\n0\n2\n")?, None);
    assert_eq!(step("t,u\n0,1\n")?, None);
    // And when it begins: at a number, or on a date.
    for (table, start, acquired) in [
        ("t [s],u\n100.5,1\n100.75,2\n", 100.5, None),
        ("t,u\n,1\n7,2\n9,3\n", 5.0, None),
        ("date,u\n2026-01-31 12:00,1\n2026-01-31 13:00,2\n", 0.0, Some("2026-01-31 12:00")),
        ("u\n1\n2\n", 0.0, None),
    ] {
        let info = csv(table, None)?.0;
        assert_eq!((info.start, info.acquired.as_deref()), (start, acquired), "{table}");
    }
    // The user's own step: rows are even, whatever their times say; what they say can still be held against it.
    let mut options = series();
    options.timed = false;
    let table = "t,u\n0,1\n1,2\n7.5,3\n";
    let (info, values, error) = drain_series(from_reader(Box::new(Cursor::new(table)), "t.csv", &options)?);
    assert_eq!((info.spacing.t.map(|t| t.value), values, error.is_none()), (Some(1.0), vec![1.0, 2.0, 3.0], true));
    Ok(())
}

#[test]
fn a_wrong_csv_says_where() {
    for (table, column, expected) in [
        ("a,b,c\nx,1,2\n", None, ": got 2 columns of numbers (`b`, `c`), expected --column with one of them"),
        ("1,2\n", None, ": got 2 columns of numbers (`1`, `2`), expected --column with one of them"),
        ("a,b\nx,y\n", None, ": got no column of numbers, expected one column of numbers (name it with --column)"),
        ("a,b\n1,2\n", Some("z"), ": got no column `z`, expected one of `a`, `b`, or a number from 1 to 2"),
        ("1,2\n", Some("3"), ": got no column `3`, expected a number from 1 to 2: the table has no header"),
        ("v\n1\n\n2\nabc\n", None, ", line 5: got `abc`, expected a number"),
        ("a,b\n1,2\n3\n", Some("b"), ", line 3: got no column 2, expected as many columns as in the first row"),
        (
            "v\n1,5\n",
            None,
            ", line 2: got 2 fields, expected 1 as in the first row (where commas are decimal marks, `;` has to separate)",
        ),
        (
            "1,2\n1,2,\n1,2,3\n",
            Some("1"),
            ", line 3: got 3 fields, expected 2 as in the first row (where commas are decimal marks, `;` has to separate)",
        ),
        (
            "t,u\n0,1\n1,1\n2.5,1\n",
            None,
            ", line 4: got a time of 2.5 after 1, expected even steps of 1 (resample the series, or give --spacing t=STEP \
             to take its rows as even)",
        ),
        ("# only\n", None, ": got no rows, expected a table of samples"),
        ("", None, ": got nothing, expected a recording"),
    ] {
        let error = csv(table, column).map(|_| ()).expect_err(table);
        assert_eq!(error.to_string(), format!("t.csv{expected}"));
    }
    let error = csv(&"1".repeat(3 << 20), None).map(|_| ()).expect_err("one long line");
    assert!(error.to_string().contains("without a line end"), "{error}");
    // The samples before a bad row are given out.
    let (_, values, error) = drain_series(stream("1\n2\nx\n", &series()).expect("opens"));
    assert_eq!(values, [1.0, 2.0]);
    assert_eq!(error.expect("a bad row").to_string(), "standard input, line 3: got `x`, expected a number");
}

/// Hands over one piece a read, as a live sender does, and fails where more is asked for than was sent.
struct Live(Vec<&'static [u8]>);

impl std::io::Read for Live {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Err(std::io::Error::other("waited for a line that was not needed yet"));
        }
        let piece = self.0.remove(0);
        let taken = piece.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&piece[..taken]);
        if taken < piece.len() {
            self.0.insert(0, &piece[taken..]);
        }
        Ok(taken)
    }
}

#[test]
fn samples_are_given_out_as_they_arrive() {
    let live = Live(vec![b"v\n", b"1\n", b"2\n3\n"]);
    let input = from_reader(Box::new(live), "standard input", &series());
    let Ok(Input::Series(mut source)) = input else { panic!("expected a series") };
    let mut block = Samples::default();
    for expected in [vec![1.0], vec![2.0, 3.0]] {
        assert!(matches!(source.read(&mut block), Ok(Read::Filled)));
        assert_eq!(block.values, expected);
    }
    assert!(matches!(source.read(&mut block), Err(SourceError::Io { .. })));
}

fn localisations(table: &str, change: impl FnOnce(&mut OpenOptions)) -> Result<(FrameInfo, Frame), SourceError> {
    let mut options = OpenOptions::new(Kind::Localisations);
    change(&mut options);
    let input = from_reader(Box::new(Cursor::new(table.as_bytes().to_vec())), "l.csv", &options)?;
    let (info, mut frames, error) = drain(input);
    assert_eq!(frames.len(), 1);
    error.map_or(Ok((info, frames.remove(0))), Err)
}

#[test]
fn localisations_are_counted_in_pixels() -> Result<(), SourceError> {
    let table = "\"id\",\"x [nm]\",\"y [nm]\"\n1,120,1010\n2,149.9,1049.9\n3,260,1050\n";
    let (info, frame) = localisations(table, |o| o.blur = None)?;
    // x from 100 to 300, y from 1000 to 1100, in pixels of 50 nm.
    assert_eq!(frame.shape, [2, 4]);
    assert_eq!(frame.pixels, Pixels::F32(vec![2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]));
    assert_eq!(info.spacing.to_string(), "y=50nm,x=50nm");
    let micrometres = "x [um],y [um]\n0.12,1.01\n0.1499,1.0499\n0.26,1.051\n";
    assert_eq!(localisations(micrometres, |o| o.blur = None)?.1.pixels, frame.pixels);
    let (info, frame) = localisations(table, |o| o.pixel_size = "0.1um".parse().expect("step"))?;
    assert_eq!((frame.shape, info.spacing.to_string().as_str()), ([1, 2], "y=0.1um,x=0.1um"));
    assert!((values(&frame).iter().sum::<f64>() - 3.0).abs() < 1e-5);
    Ok(())
}

#[test]
fn wrong_localisation_tables_say_where() {
    let message = |table: &str| localisations(table, |_| ()).map(|_| ()).expect_err(table).to_string();
    for (table, expected) in [
        ("x [nm],y [nm]\n2,3\nabc,3\n", ", line 3: got `abc`, expected a number in column `x [nm]`"),
        ("x [nm],y [nm]\n2\n", ", line 2: got too few columns, expected a number in column `y [nm]`"),
        ("x [nm],y [nm]\n", ": got a table without rows, expected localisations"),
        ("a,b\n", ", line 1: got the columns `a`, `b`, expected columns such as `x [nm]` and `y [nm]`"),
    ] {
        assert_eq!(message(table), format!("l.csv{expected}"));
    }
    assert!(message("x [px],y [px]\n1,2\n").contains("column y in pixels or without a unit"));
    assert!(message("x,y\n1,2\n").contains("column y in pixels or without a unit"));
    assert!(message("x [s],y [s]\n1,2\n").contains("column y in `s`"));
    let far = message("x [nm],y [nm]\n0,0\n1e9,1e6\n");
    let start = "l.csv: over the limit: got positions that span 1.0000e6 x 1.0000e9 nm (y, x)";
    assert!(far.starts_with(start) && far.contains("or use --pixel-size 4000nm"), "{far}");
    let bare = localisations("x [nm],y [nm]\n1,2\n", |o| o.pixel_size = "50".parse().expect("step"));
    let expected = "l.csv: got a pixel size of 50, expected a length such as 50nm";
    assert_eq!(bare.map(|_| ()).expect_err("no unit").to_string(), expected);
    let wide = localisations("x [nm],y [nm]\n1,2\n", |o| o.blur = "1mm".parse().ok());
    assert!(wide.map(|_| ()).expect_err("too wide").is_misuse());
}

#[test]
fn raw_frames_end_in_a_whole_frame() {
    let mut options = fields();
    options.raw = "f32:2x3".parse().ok();
    let (_, frames, error) = drain(stream([0; 24 + 10], &options).expect("opens"));
    assert_eq!(frames.len(), 1);
    let expected = "standard input, frame 1 (from 0): got 10 bytes before the end, expected 24 bytes (f32:2x3)";
    assert_eq!(error.expect("cut off").to_string(), expected);
    options.raw = "u8:1000000x1000000".parse().ok();
    let error = stream([], &options).map(|_| ()).expect_err("large");
    assert!(matches!(error, SourceError::OverLimit { .. }));
}

#[test]
fn kinds_that_do_not_fit_are_misuse() {
    let dir = folder();
    let png = dir.path().join("a.png");
    write_grey_png(&png, [1, 1], &[1]);
    let table = put(dir.path(), "a.csv", "v\n1\n");
    let binary = put(dir.path(), "a.bin", [1, 0, 2]);
    let hdf5 = put(dir.path(), "a.h5", b"\x89HDF\r\n\x1a\n");
    let check = |path: &Path, options: &OpenOptions, misuse: bool, expected: &str| {
        let error = open(&text(path), options).map(|_| ()).expect_err("refused");
        assert_eq!((error.is_misuse(), line(&error, dir.path()).as_str()), (misuse, expected));
    };
    let samples = "expected samples for a model of series: a CSV table, NPY or NPZ";
    check(&png, &series(), true, &format!("a.png: got a PNG image, {samples}"));
    let images = "expected images for a model of fields: TIFF, PNG, a folder of them, NPY or NPZ";
    check(&table, &fields(), true, &format!("a.csv: got text, {images}"));
    let mut column = fields();
    column.column = Some("v".to_owned());
    let tables = "expected --column with a table or an archive of arrays only";
    check(&png, &column, true, &format!("a.png: got --column v with a PNG image, {tables}"));
    let mut raw = fields();
    raw.raw = "u8:1x1".parse().ok();
    check(&png, &raw, true, "a.png: got a format of raw frames, expected it with standard input (-) only");
    let formats = "expected TIFF, PNG, NPY, NPZ or CSV: export the recording as one of them";
    let unknown = format!("a.bin: unsupported: got a binary file of an unknown format, {formats}");
    check(&binary, &fields(), false, &unknown);
    check(&hdf5, &fields(), false, &format!("a.h5: unsupported: got an HDF5 file, {formats}"));
    let empty = put(dir.path(), "e.tif", "");
    check(&empty, &fields(), false, "e.tif: got an empty file, expected a recording");
    let missing = open(&text(&dir.path().join("none.tif")), &fields()).map(|_| ()).expect_err("missing");
    assert!(matches!(missing, SourceError::Io { .. }) && line(&missing, dir.path()).starts_with("none.tif: "));
    // A density map may be an image already.
    let (_, frames) = read(&png, &OpenOptions::new(Kind::Localisations)).expect("an image");
    assert_eq!(frames.len(), 1);
    let on_stdin = |bytes: &[u8]| stream(bytes, &fields()).map(|_| ()).expect_err("refused").to_string();
    assert!(on_stdin(&[0; 9]).contains("such as --raw u16:512x640"));
    assert!(on_stdin(b"II*\0\0\0\0\0\0").contains("give a file's path"));
}

/// Whatever bytes come: an error or an end, no panic and no endless loop.
fn survives(bytes: &[u8], kind: Kind) {
    let dir = folder();
    let mut options = OpenOptions::new(kind);
    options.max_pixels = 1 << 16;
    let path = put(dir.path(), "a", bytes);
    for input in [open(&text(&path), &options), stream(bytes, &options)] {
        match input {
            Ok(Input::Frames(mut source)) => {
                let mut frame = empty_frame();
                for _ in 0..100 {
                    if !matches!(source.read(&mut frame), Ok(Read::Filled)) {
                        break;
                    }
                    assert_eq!(frame.pixels.len(), frame.shape[0] * frame.shape[1]);
                }
            }
            Ok(Input::Series(mut source)) => {
                let mut block = Samples::default();
                for _ in 0..100 {
                    if !matches!(source.read(&mut block), Ok(Read::Filled)) {
                        break;
                    }
                }
            }
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_damage_panics(
        which in 0usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        kind in 0usize..3,
    ) {
        let dir = folder();
        let path = dir.path().join("a");
        let page = || Page::grey([4, 8], 8, 1, vec![3; 32]).set(282, 5, vec![10, 1]);
        let mut bytes = match which {
            0 => Handmade::imagej(true, &[page(), page()]).0,
            1 | 2 => {
                let deflate = Compression::Deflate(Default::default());
                let compression = if which == 1 { Compression::Lzw } else { deflate };
                let pages = [vec![1u16; 32], vec![2; 32]];
                let description = Some("ImageJ=1\nimages=2\n");
                write_tiff::<colortype::Gray16, TiffKindBig>(&path, [4, 8], &pages, compression, description);
                fs::read(&path).expect("read")
            }
            3 => npy("<u2", true, "(2, 3, 4)", &[1; 48]),
            4 => {
                write_png(&path, [4, 8], png::ColorType::Rgb, png::BitDepth::Eight, &[9; 96]);
                fs::read(&path).expect("read")
            }
            _ => b"id,\"x [nm]\",\"y [nm]\"\n1,20.5,30.5\n2,70,-80\n".to_vec(),
        };
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if cut.index(3) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        survives(&bytes, [Kind::Series, Kind::Fields, Kind::Localisations][kind]);
    }
}
