//! The file formats and their names on the command line.

use core::fmt;
use core::str::FromStr;

use super::{SinkError, zarr};

/// A file format of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `NAME.tif`: float32 pages with OME metadata; maps only.
    Tiff,
    /// `NAME.npy`: float32, axes (map, y, x), (sample) or (channel, sample).
    Npy,
    /// `NAME.csv`: one row for each sample, or for each pixel of each map.
    Csv,
    /// `NAME.png`: a picture of the last map, or a plot of the series.
    Png,
    /// `NAME.ome.zarr`: OME-Zarr 0.5, readable while it grows; maps only.
    Zarr,
    /// `NAME.v04.ome.zarr`: OME-Zarr 0.4, for programs that read nothing newer; maps only.
    Zarr04,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Tiff, Self::Npy, Self::Csv, Self::Png, Self::Zarr, Self::Zarr04];
    /// What is written for maps when nobody names a format.
    pub const DEFAULT_MAPS: [Self; 2] = [Self::Tiff, Self::Png];
    /// What is written for series when nobody names a format.
    pub const DEFAULT_SERIES: [Self; 2] = [Self::Csv, Self::Png];

    /// The ending of its files.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Tiff => "tif",
            Self::Npy => "npy",
            Self::Csv => "csv",
            Self::Png => "png",
            Self::Zarr => zarr::V05,
            Self::Zarr04 => zarr::V04,
        }
    }

    /// Whether it holds maps and no series.
    #[must_use]
    pub fn for_maps_only(self) -> bool {
        matches!(self, Self::Tiff | Self::Zarr | Self::Zarr04)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tiff => "tiff",
            Self::Npy => "npy",
            Self::Csv => "csv",
            Self::Png => "png",
            Self::Zarr => "zarr",
            Self::Zarr04 => "zarr-0.4",
        })
    }
}

impl FromStr for Format {
    type Err = SinkError;

    fn from_str(text: &str) -> Result<Self, SinkError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "tiff" | "tif" => Ok(Self::Tiff),
            "npy" => Ok(Self::Npy),
            "csv" => Ok(Self::Csv),
            "png" => Ok(Self::Png),
            "zarr" => Ok(Self::Zarr),
            "zarr-0.4" => Ok(Self::Zarr04),
            _ => Err(SinkError::UnknownFormat { got: text.trim().to_owned() }),
        }
    }
}
