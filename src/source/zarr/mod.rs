//! OME-Zarr 0.4 (on Zarr 2) and 0.5 (on Zarr 3, with shards or without), and plain arrays of either, as frames; finished
//! or still being written.
//!
//! Own code, of which only the compressions are libraries: a store that grows asks which chunks are there, not only
//! what they hold, and a damaged one must not decide how much memory is taken.

mod array;
mod blosc;
mod chunks;
mod codec;
mod image;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::chunks::{Chunks, Found, Layout, State};
pub(super) use self::image::is_zarr;
use self::image::{Image, Metadata};
use super::follow::{Follow, GIVEN_UP, GRACE, OUT_OF_REACH, SETTLED, Settling};
use super::select::place_of;
use super::{FrameInfo, FrameSource, OpenOptions, Part, Place, Read, SourceError};
use crate::source::Frame;

/// How far ahead later frames are looked for.
const AHEAD: u64 = 64;
/// How often later frames are looked for, and a frame that is not whole is read again.
const AGAIN: Duration = Duration::from_millis(100);
/// Chunks at the end of a finished store that are looked for, to see how many frames nobody wrote.
const LOOKED_FOR: u64 = 1 << 15;

/// The recording of a Zarr store as frames, axes (y, x), in the order of its time axis.
///
/// In a finished store a chunk that is not there is the fill value, as Zarr has it. In one that is still being written
/// it is a frame to come; once later frames are there it has half a second. A chunk of several frames counts as written
/// for one of them when that is not the fill value as a whole.
#[derive(Debug)]
pub(super) struct ZarrSource {
    info: FrameInfo,
    chunks: Chunks,
    metadata: Metadata,
    /// Index of the next frame.
    next: u64,
    stored: Vec<u8>,
    follow: Option<Follow>,
    /// Frames behind the next one of which something is there, and since when.
    seen: VecDeque<(u64, Instant)>,
    /// When later frames were looked for.
    looked: Option<Instant>,
}

/// What is known of the frame that is waited for.
struct Waiting {
    settling: Settling,
    /// When the frame was read last, what its files were then, and, where it is damaged, how long it has to get better.
    tried: Option<(Instant, State, Option<Duration>)>,
}

/// What to do about the frame that is waited for.
enum Next {
    Give,
    Lost,
}

impl ZarrSource {
    /// Open the store, group or array at `path`.
    ///
    /// # Errors
    /// No image, several without a choice, damaged metadata, what is not read, sizes over the limit.
    pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        match &options.follow {
            None => Self::open_now(path, options),
            Some(follow) => follow.retry(|| Self::open_now(path, options)),
        }
    }

    fn open_now(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let place = || Place::whole(&name);
        let image = Image::find(path)?;
        let layout = layout(&image, options, &place)?;
        let array = &image.array;
        let [rows, columns] = [layout.y, layout.x].map(|axis| array.shape[axis]);
        let shape = [rows, columns].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        options.check_size(shape, place)?;
        if array.chunk_values() > options.max_pixels as u64 {
            let got = format!("chunks of {:?}", array.chunk);
            let expected = format!("at most {} values in a chunk", options.max_pixels);
            return Err(SourceError::over_limit(place(), got, expected));
        }
        let mut warnings = image.warnings;
        let mut chunks = Chunks::new(&image.folder, image.array, layout, options.follow.is_some());
        let frames = chunks.count();
        let count = options.follow.is_none().then_some(frames);
        if options.follow.is_none() {
            if frames == 0 {
                return Err(SourceError::malformed(place(), "an array without frames", "at least one"));
            }
            let unwritten = unwritten(&mut chunks);
            if unwritten > 0 {
                warnings.push(format!(
                    "the last {unwritten} of {frames} frames were never written and are the store's fill value"
                ));
            }
        }
        let info = FrameInfo { name, shape, count, spacing: image.spacing, rendered: false, warnings };
        let (metadata, follow) = (image.metadata, options.follow.clone());
        let (seen, looked) = (VecDeque::new(), None);
        Ok(Self { info, chunks, metadata, next: 0, stored: Vec::new(), follow, seen, looked })
    }

    fn place(&self) -> Place {
        Place::part(&self.info.name, Part::Frame { index: self.next, of: self.info.count })
    }

    /// Read the next frame as it is stored.
    fn load(&mut self) -> Result<Found, SourceError> {
        let place = self.place();
        self.chunks.frame(self.next, &mut self.stored, &|| place.clone())
    }

    /// Wait for the next frame, over those that are lost, and read it; false where the recording is over instead.
    fn wait_for_frame(&mut self, follow: &Follow) -> Result<bool, SourceError> {
        loop {
            let mut waiting = Waiting { settling: Settling::new(), tried: None };
            match follow.wait(|| self.look(&mut waiting).transpose()).transpose()? {
                Some(Next::Give) => return Ok(true),
                Some(Next::Lost) => self.next += 1,
                None => break,
            }
        }
        // Nothing comes any more: what is there of the frame is all of it, where the rest is the fill value.
        let ended = !follow.stop.load(Ordering::Acquire);
        let there = self.next < self.chunks.count() && self.metadata.is_there();
        Ok(ended && there && self.load().is_ok_and(|found| found != Found::Nothing))
    }

    /// One look at the next frame.
    fn look(&mut self, waiting: &mut Waiting) -> Result<Option<Next>, SourceError> {
        if self.next >= self.chunks.count() {
            self.renew()?;
            if self.next >= self.chunks.count() {
                return Ok(None);
            }
        }
        let (state, absent) = self.chunks.state(self.next);
        let unchanged = waiting.settling.unchanged_state(state);
        if absent == 0 && (unchanged >= SETTLED || self.is_begun(self.next + 1)) {
            let known = waiting.tried.as_ref().is_some_and(|(at, then, _)| *then == state && at.elapsed() < AGAIN);
            if !known {
                let left = match self.load() {
                    Ok(Found::Whole) => return Ok(Some(Next::Give)),
                    Ok(_) => None,
                    Err(SourceError::Io { .. }) => Some(OUT_OF_REACH),
                    Err(e) if e.may_pass() => Some(GIVEN_UP),
                    Err(e) => return Err(e),
                };
                waiting.tried = Some((Instant::now(), state, left));
            }
            if let Some((_, _, Some(left))) = waiting.tried {
                return Ok((unchanged >= left && self.overtaken().is_some()).then_some(Next::Lost));
            }
        }
        // Something of it is not there, or not yet: programs write with several threads, and leave out what is the fill
        // value. A drive that has gone has nothing either.
        match self.overtaken() {
            Some(since) if since.elapsed() >= GRACE && self.metadata.is_there() => match self.load() {
                Ok(_) => Ok(Some(Next::Give)),
                Err(e) if e.may_pass() => Ok(None),
                Err(e) => Err(e),
            },
            _ => Ok(None),
        }
    }

    /// Whether anything of a frame behind the next one is there. Of frames in one chunk only its values tell.
    fn is_begun(&mut self, t: u64) -> bool {
        let chunk = self.chunks.frames_in_chunk();
        let tells = t / chunk != self.next / chunk || self.chunks.has_values(t);
        tells && t < self.chunks.count() && self.chunks.is_begun(t)
    }

    /// Since when anything of a frame behind the next one is there.
    fn overtaken(&mut self) -> Option<Instant> {
        while self.seen.front().is_some_and(|(frame, _)| *frame <= self.next) {
            self.seen.pop_front();
        }
        if self.looked.is_none_or(|at| at.elapsed() >= AGAIN) {
            self.looked = Some(Instant::now());
            let t = self.next;
            let (chunk, file) = (self.chunks.frames_in_chunk(), self.chunks.frames_in_file());
            let known = self.seen.back().map_or(t, |(frame, _)| *frame);
            // The farthest: those before it have it behind them too, and need not be looked for each by itself.
            let mut ahead: Vec<u64> = (1..=AHEAD)
                .flat_map(|n| [t + n, (t / chunk + n) * chunk])
                .chain((1..=8).map(|n| (t / file + n) * file))
                .filter(|frame| *frame > known)
                .collect();
            ahead.sort_unstable();
            if let Some(frame) = ahead.into_iter().rev().find(|frame| self.is_begun(*frame)) {
                self.seen.push_back((frame, Instant::now()));
            }
        }
        self.seen.front().map(|(_, at)| *at)
    }

    /// Look whether the array has grown.
    fn renew(&mut self) -> Result<(), SourceError> {
        let now = match self.metadata.renew() {
            Ok(Some(now)) => now,
            Ok(None) => return Ok(()),
            Err(e) if e.may_pass() => return Ok(()),
            Err(e) => return Err(e),
        };
        let mut grown = self.chunks.array.clone();
        if let Some(t) = self.chunks.layout().t {
            grown.shape[t] = now.shape.get(t).copied().unwrap_or(0);
        }
        if grown != now {
            let text = |array: &array::Array| format!("{} in chunks of {:?}", describe_array(array), array.chunk);
            let (got, expected) = (text(&now), text(&self.chunks.array));
            return Err(SourceError::Changed { place: self.place(), got, expected });
        }
        self.chunks.array = grown;
        Ok(())
    }
}

fn describe_array(array: &array::Array) -> String {
    format!("{} {:?}", array.element.name(), array.shape)
}

/// Which axis is which, and where along the others the frames lie.
fn layout(image: &Image, options: &OpenOptions, place: &dyn Fn() -> Place) -> Result<Layout, SourceError> {
    let find = |name: &str| image.axes.iter().position(|axis| axis == name);
    let twice = image.axes.iter().enumerate().find(|(at, axis)| find(axis) != Some(*at));
    let (Some(y), Some(x), None) = (find("y"), find("x"), twice) else {
        let got = format!("axes ({})", image.axes.join(", "));
        return Err(SourceError::unsupported(place(), got, "y and x, and any of t, c and z, each once"));
    };
    let t = find("t");
    if image.axes.len() != image.array.shape.len() {
        let got = format!("{} axes of an array of shape {:?}", image.axes.len(), image.array.shape);
        return Err(SourceError::malformed(place(), got, "as many as the array has"));
    }
    let others = |at: &usize| *at != y && *at != x && Some(*at) != t;
    let names: Vec<String> = (0..image.axes.len()).filter(others).map(|at| image.axes[at].clone()).collect();
    options.select.check(&names, place)?;
    let mut fixed = vec![0; image.axes.len()];
    for at in (0..image.axes.len()).filter(others) {
        let (axis, size) = (image.axes[at].as_str(), image.array.shape[at]);
        let labels: &[String] = if axis == "c" { &image.channels } else { &[] };
        let there = match labels {
            [] => format!("{size} places along {axis}"),
            labels => format!("{size} places along {axis} ({})", labels.join(", ")),
        };
        fixed[at] = match options.select.value(axis) {
            Some(chosen) => place_of(chosen, size, labels).ok_or_else(|| {
                let got = format!("--select {axis}={chosen} with {there}");
                SourceError::misused(place(), got, "one of them, counted from 0")
            })?,
            None if size == 1 => 0,
            None if size == 0 => return Err(SourceError::malformed(place(), there, "at least one")),
            None => {
                let expected = format!("one, or a choice: --select {axis}=0");
                return Err(SourceError::misused(place(), there, expected));
            }
        };
    }
    Ok(Layout { t, y, x, fixed })
}

/// How many frames at the end nothing is there of.
fn unwritten(chunks: &mut Chunks) -> u64 {
    let (count, step) = (chunks.count(), chunks.frames_in_chunk());
    let mut end = count;
    for _ in 0..LOOKED_FOR / chunks.in_frame() {
        let Some(last) = end.checked_sub(1) else { break };
        if chunks.find(last) {
            break;
        }
        end = last / step * step;
    }
    count - end
}

impl FrameSource for ZarrSource {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        match self.follow.clone() {
            Some(follow) => {
                if !self.wait_for_frame(&follow)? {
                    return Ok(Read::End);
                }
            }
            None if self.next >= self.chunks.count() => return Ok(Read::End),
            None => {
                self.load()?;
            }
        }
        let (element, endian) = (self.chunks.array.element, self.chunks.array.endian);
        element.decode(&self.stored, endian, &mut frame.pixels, || self.place())?;
        frame.index = self.next;
        frame.time = None;
        frame.shape = self.info.shape;
        self.next += 1;
        Ok(Read::Filled)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        self.next = self.next.max(index);
        Ok(())
    }
}
