//! A small RGB picture to draw on.

use core::convert::Infallible;
use std::io;

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Line, PrimitiveStyle, Rectangle, Triangle};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};

/// Black text and lines.
pub(super) const INK: Rgb888 = Rgb888::new(0x22, 0x22, 0x22);
/// Secondary text.
pub(super) const FAINT: Rgb888 = Rgb888::new(0x66, 0x66, 0x66);
/// Grid lines.
pub(super) const GRID: Rgb888 = Rgb888::new(0xe2, 0xe2, 0xe2);
/// Pixels without a value.
pub(super) const MISSING: Rgb888 = Rgb888::new(0xbb, 0xbb, 0xbb);

/// An RGB picture, white at first.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { width, height, rgb: vec![255; 3 * width as usize * height as usize] }
    }

    /// Set one pixel; outside the picture nothing happens.
    pub(super) fn set(&mut self, x: i32, y: i32, color: Rgb888) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x < self.width && y < self.height {
            let at = 3 * (y as usize * self.width as usize + x as usize);
            self.rgb[at..at + 3].copy_from_slice(&[color.r(), color.g(), color.b()]);
        }
    }

    pub(super) fn fill(&mut self, x: i32, y: i32, width: u32, height: u32, color: Rgb888) {
        let area = Rectangle::new(Point::new(x, y), Size::new(width, height));
        always(area.into_styled(PrimitiveStyle::with_fill(color)).draw(self));
    }

    pub(super) fn frame(&mut self, x: i32, y: i32, width: u32, height: u32, color: Rgb888) {
        let area = Rectangle::new(Point::new(x, y), Size::new(width, height));
        always(area.into_styled(PrimitiveStyle::with_stroke(color, 1)).draw(self));
    }

    pub(super) fn line(&mut self, from: (i32, i32), to: (i32, i32), color: Rgb888, thickness: u32) {
        let line = Line::new(Point::new(from.0, from.1), Point::new(to.0, to.1));
        always(line.into_styled(PrimitiveStyle::with_stroke(color, thickness)).draw(self));
    }

    pub(super) fn triangle(&mut self, corners: [(i32, i32); 3], color: Rgb888) {
        let [a, b, c] = corners.map(|(x, y)| Point::new(x, y));
        always(Triangle::new(a, b, c).into_styled(PrimitiveStyle::with_fill(color)).draw(self));
    }

    /// Text whose vertical middle is at `y`; `x` is its left end, middle or right end.
    pub(super) fn text(&mut self, text: &str, at: (i32, i32), side: Alignment, font: Font, color: Rgb888) {
        let style = TextStyleBuilder::new().alignment(side).baseline(Baseline::Middle).build();
        let text = Text::with_text_style(text, Point::zero(), MonoTextStyle::new(font.face, color), style);
        let mut enlarged = Enlarged { canvas: self, origin: at, zoom: font.zoom };
        always(text.draw(&mut enlarged).map(|_| ()));
    }

    /// The picture as a PNG file.
    pub(super) fn png(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(::png::ColorType::Rgb);
        encoder.set_depth(::png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer.write_image_data(&self.rgb).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)?;
        Ok(bytes)
    }
}

/// Drawing on memory cannot fail.
fn always(result: Result<(), Infallible>) {
    match result {
        Ok(()) => {}
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, color) in pixels {
            self.set(point.x, point.y, color);
        }
        Ok(())
    }
}

/// A typeface, every pixel of it drawn as a square of `zoom` pixels.
#[derive(Clone, Copy)]
pub(super) struct Font {
    pub(super) face: &'static MonoFont<'static>,
    pub(super) zoom: i32,
}

impl Font {
    /// Width of a text.
    pub(super) fn width(self, text: &str) -> i32 {
        text.chars().count() as i32 * self.advance()
    }

    /// As much of a text as fits into `width` pixels.
    pub(super) fn fitting(self, text: &str, width: i32) -> String {
        let room = (width / self.advance()).max(4) as usize;
        if text.chars().count() <= room {
            return text.to_owned();
        }
        text.chars().take(room - 3).chain("...".chars()).collect()
    }

    fn advance(self) -> i32 {
        (self.face.character_size.width + self.face.character_spacing) as i32 * self.zoom
    }
}

/// Draws around `origin`, every pixel as a square of `zoom` pixels.
struct Enlarged<'a> {
    canvas: &'a mut Canvas,
    origin: (i32, i32),
    zoom: i32,
}

impl Dimensions for Enlarged<'_> {
    fn bounding_box(&self) -> Rectangle {
        self.canvas.bounding_box()
    }
}

impl DrawTarget for Enlarged<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, color) in pixels {
            let (x, y) = (self.origin.0 + point.x * self.zoom, self.origin.1 + point.y * self.zoom);
            for dy in 0..self.zoom {
                for dx in 0..self.zoom {
                    self.canvas.set(x + dx, y + dy, color);
                }
            }
        }
        Ok(())
    }
}
