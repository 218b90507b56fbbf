//! Frames over TCP, from an instrument's own program.
//!
//! `tcp://ADDRESS:PORT` is listened at; one program at a time connects and sends frames: a header of 32 bytes and the
//! pixels, as `docs/tcp.md` lays them out. A program may go and come again: a frame that broke off is lost, nothing else.
//! One that sends something else is told so in a line of text and disconnected; the run goes on with the next.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::element::{Element, Endian};
use super::follow::Follow;
use super::{FrameInfo, FrameSource, OpenOptions, Place, SourceError};
use crate::source::Frame;
use crate::units::Spacing;

/// What an input of this kind starts with.
pub(super) const SCHEME: &str = "tcp://";
const MAGIC: &[u8; 4] = b"MLFM";
pub(super) const HEADER: usize = 32;
/// How long a read waits before it is looked whether the run goes on.
const NAP: Duration = Duration::from_millis(20);
/// How long a program may be silent before another one takes its place: a computer that lost its power says no goodbye.
const SILENT: Duration = Duration::from_secs(2);

/// How long one that is refused is listened to.
const REFUSED: Duration = Duration::from_millis(200);

/// Frames from whoever connects.
#[derive(Debug)]
pub(super) struct TcpFrames {
    info: FrameInfo,
    listener: TcpListener,
    connection: Option<TcpStream>,
    /// Who takes its place.
    waiting: Option<TcpStream>,
    follow: Follow,
    options: OpenOptions,
    /// The header of the first frame, whose pixels are still to come.
    ahead: Option<Header>,
    /// Type of the first frame's pixels.
    element: Option<Element>,
    next: u64,
    heard: Instant,
    scratch: Vec<u8>,
}

/// What is said of a frame before its pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) element: Element,
    pub(super) shape: [usize; 2],
    pub(super) index: Option<u64>,
    pub(super) time: Option<f64>,
}

impl Header {
    /// Read a header; what is wrong with it, in words.
    pub(super) fn parse(bytes: &[u8; HEADER], options: &OpenOptions) -> Result<Self, String> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if &bytes[..4] != MAGIC {
            return Err(format!("got a frame that starts with {:02x?}, expected \"MLFM\"", &bytes[..4]));
        }
        if bytes[4] != 1 {
            return Err(format!("got version {}, expected 1", bytes[4]));
        }
        let element = match bytes[5] {
            0 => Element::U8,
            1 => Element::U16,
            2 => Element::F32,
            3 => Element::F64,
            other => return Err(format!("got pixels of type {other}, expected 0 (u8), 1 (u16), 2 (f32) or 3 (f64)")),
        };
        let shape = [word(8) as usize, word(12) as usize];
        if shape != [0, 0] {
            let place = || Place::whole("the frame");
            options.check_size(shape, place).map_err(|e| e.to_string())?;
        }
        let time = f64::from_bits(long(24));
        Ok(Self {
            element,
            shape,
            index: Some(long(16)).filter(|i| *i != u64::MAX),
            time: Some(time).filter(|t| t.is_finite()),
        })
    }

    pub(super) fn ends(&self) -> bool {
        self.shape == [0, 0]
    }
}

/// How filling a buffer went.
enum Fill {
    Full,
    /// The program has gone.
    Gone,
    /// The recording is over.
    Over,
}

impl TcpFrames {
    /// Listen at `tcp://ADDRESS:PORT`, and wait for the first frame's header.
    pub(super) fn open(name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let place = || Place::whole(name);
        let Some(follow) = options.follow.clone() else {
            return Err(SourceError::misused(place(), "frames over TCP", "a caller that can end the wait for them"));
        };
        let address = name.strip_prefix(SCHEME).unwrap_or(name);
        let mut addresses = address.to_socket_addrs().map_err(|e| {
            SourceError::misused(place(), e.to_string(), "an address and a port, such as tcp://127.0.0.1:9000")
        })?;
        let listener = addresses.find_map(|a| TcpListener::bind(a).ok());
        let Some(listener) = listener else {
            let expected = "a free port of this machine, such as tcp://127.0.0.1:9000";
            return Err(SourceError::misused(
                place(),
                format!("{address}, where nothing can be listened at"),
                expected,
            ));
        };
        listener.set_nonblocking(true).map_err(SourceError::io(place()))?;
        let info = FrameInfo {
            name: name.to_owned(),
            shape: [0, 0],
            count: None,
            spacing: Spacing::default(),
            rendered: false,
            warnings: Vec::new(),
        };
        let mut source = Self {
            info,
            listener,
            connection: None,
            waiting: None,
            follow,
            options: options.clone(),
            ahead: None,
            element: None,
            next: 0,
            heard: Instant::now(),
            scratch: Vec::new(),
        };
        match source.header()? {
            Some(header) if !header.ends() => {
                source.info.shape = header.shape;
                source.element = Some(header.element);
                source.ahead = Some(header);
                Ok(source)
            }
            _ => Err(SourceError::malformed(place(), "no frame before the end", "at least one")),
        }
    }

    fn over(&self) -> bool {
        self.follow.over(self.heard)
    }

    /// Fill `bytes` from the program that is connected.
    fn fill(&mut self, bytes: &mut [u8]) -> Fill {
        let mut filled = 0;
        while filled < bytes.len() {
            let Some(connection) = &mut self.connection else { return Fill::Gone };
            match connection.read(&mut bytes[filled..]) {
                Ok(0) => return Fill::Gone,
                Ok(count) => {
                    filled += count;
                    self.heard = Instant::now();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.over() {
                        return Fill::Over;
                    }
                    if self.heard.elapsed() >= SILENT
                        && let Ok((other, _)) = self.listener.accept()
                    {
                        self.waiting = Some(other);
                        return Fill::Gone;
                    }
                }
                // Reset, unplugged: the next connection brings what follows.
                Err(_) => return Fill::Gone,
            }
        }
        Fill::Full
    }

    /// The next frame's header, from this connection or the next; `None` where the recording is over.
    fn header(&mut self) -> Result<Option<Header>, SourceError> {
        loop {
            while self.connection.is_none() {
                let other = self.waiting.take().map(Ok);
                match other.unwrap_or_else(|| self.listener.accept().map(|(connection, _)| connection)) {
                    Ok(connection) => {
                        // Some systems hand the listener's mode on.
                        let set =
                            connection.set_nonblocking(false).and_then(|()| connection.set_read_timeout(Some(NAP)));
                        let peer = connection.peer_addr().map_or_else(|_| "?".into(), |a| a.to_string());
                        tracing::info!(peer, "a program sends frames");
                        self.connection = set.ok().map(|()| connection);
                        self.heard = Instant::now();
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        if self.over() {
                            return Ok(None);
                        }
                        std::thread::sleep(NAP / 2);
                    }
                    // One that went before it was let in.
                    Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                    Err(e) => return Err(SourceError::io(Place::whole(&self.info.name))(e)),
                }
            }
            // What starts otherwise may never be as long as a header.
            let mut bytes = [0; HEADER];
            let (magic, rest) = bytes.split_at_mut(MAGIC.len());
            let fill = match self.fill(magic) {
                Fill::Full if magic == MAGIC => self.fill(rest),
                fill => fill,
            };
            match fill {
                Fill::Over => return Ok(None),
                Fill::Gone => {
                    tracing::info!("the program that sent frames has gone");
                    self.connection = None;
                }
                Fill::Full => match self.fitting(&bytes) {
                    Ok(header) => return Ok(Some(header)),
                    Err(message) => self.refuse(&message),
                },
            }
        }
    }

    /// A header that fits the recording so far; what is wrong, in words.
    fn fitting(&self, bytes: &[u8; HEADER]) -> Result<Header, String> {
        let header = Header::parse(bytes, &self.options)?;
        let describe = |shape: [usize; 2], element: Element| format!("{} x {} {}", shape[0], shape[1], element.name());
        match self.element {
            Some(element) if !header.ends() && (header.shape, header.element) != (self.info.shape, element) => {
                let (got, expected) = (describe(header.shape, header.element), describe(self.info.shape, element));
                Err(format!("got a frame of {got}, expected {expected} as in the frames before"))
            }
            _ => Ok(header),
        }
    }

    /// Tell the program why it is not listened to.
    fn refuse(&mut self, message: &str) {
        tracing::warn!(message, "refused what was sent as a frame");
        if let Some(mut connection) = self.connection.take() {
            // It may have gone already. What it still sends is read, or the answer would go with it.
            let told = connection.write_all(format!("mollifier: {message}\n").as_bytes());
            let mut rest = [0; 4096];
            if told.and_then(|()| connection.shutdown(Shutdown::Write)).is_ok() {
                let until = Instant::now() + REFUSED;
                while Instant::now() < until && connection.read(&mut rest).is_ok_and(|count| count > 0) {}
            }
        }
    }
}

impl FrameSource for TcpFrames {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<super::Read, SourceError> {
        loop {
            let header = match self.ahead.take() {
                Some(header) => header,
                None => match self.header()? {
                    Some(header) if !header.ends() => header,
                    _ => return Ok(super::Read::End),
                },
            };
            let mut pixels = std::mem::take(&mut self.scratch);
            // The size was held against the limit with the header.
            pixels.resize(header.shape[0] * header.shape[1] * header.element.size(), 0);
            let fill = self.fill(&mut pixels);
            self.scratch = pixels;
            let index = header.index.unwrap_or(self.next);
            match fill {
                Fill::Over => return Ok(super::Read::End),
                Fill::Gone => {
                    tracing::warn!(frame = index, "the program has gone in the middle of a frame");
                    // Its index is its own: a lost frame.
                    self.next = index.saturating_add(1);
                    self.connection = None;
                }
                Fill::Full => {
                    let place = || Place::whole(&self.info.name);
                    header.element.decode(&self.scratch, Endian::Little, &mut frame.pixels, place)?;
                    (frame.index, frame.time, frame.shape) = (index, header.time, header.shape);
                    self.next = index.saturating_add(1);
                    return Ok(super::Read::Filled);
                }
            }
        }
    }
}
