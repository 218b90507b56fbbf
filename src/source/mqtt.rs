//! Samples and frames from an MQTT broker.
//!
//! `mqtt://[USER[:PASSWORD]@]BROKER[:1883]/TOPIC[?client=NAME]` subscribes with QoS 1 and a session that the broker
//! keeps while the connection is down, MQTT 3.1.1. A message of a series is a row of a table: a number, numbers with
//! separators, or a JSON object, whose names are the columns. One of images is a frame as `docs/tcp.md` lays it out.
//! A message is acknowledged when the run takes it, so that what is not taken yet stays with the broker.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rumqttc::{
    Client, ConnectReturnCode, Connection, ConnectionError, Event, MqttOptions, Packet, Publish, QoS, StateError,
    SubscribeReasonCode,
};

use super::address::{Address, decoded};
use super::csv::CsvSource;
use super::element::{Element, Endian};
use super::tcp::{HEADER, Header};
use super::{Faults, Follow, FrameInfo, FrameSource, Input, OpenOptions, Place, SourceError};
use crate::model::Kind;
use crate::source::Frame;
use crate::units::Spacing;

/// What an input of this kind starts with.
pub(super) const SCHEME: &str = "mqtt://";
const EXAMPLE: &str = "mqtt://192.168.1.5:1883/lab/plate/temperature";
/// Where user and password may stand, rather than in a command that others can read.
const USER: &str = "MOLLIFIER_MQTT_USER";
const PASSWORD: &str = "MOLLIFIER_MQTT_PASSWORD";
const PORT: u16 = 1883;
/// How often broker and program ask each other whether they are there.
const ALIVE: Duration = Duration::from_secs(10);
/// The first wait before a further attempt to connect, and the longest.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// How long a wait lasts before it is looked whether the run goes on.
const NAP: Duration = Duration::from_millis(20);
/// Messages on their way from the broker, at most; it keeps the others.
const IN_HAND: usize = 256;
/// The largest message of a series, in bytes, and of all that MQTT has.
const LARGEST_ROW: usize = 1 << 20;
const LARGEST: usize = (1 << 28) - 1;
/// How long the broker has to take note of the end.
const PATIENCE: Duration = Duration::from_millis(1000);

/// Open a topic as the model's kind takes it.
pub(super) fn open(name: &str, options: &OpenOptions) -> Result<Input, SourceError> {
    let topic = Topic::parse(name)?;
    let place = || Place::whole(&topic.shown);
    let Some(follow) = options.follow.clone() else {
        return Err(SourceError::misused(place(), "an MQTT topic", "a caller that can end the wait for its messages"));
    };
    let series = options.kind == Kind::Series;
    if !series && options.column.is_some() {
        return Err(SourceError::misused(place(), "--column with frames", "it with a model of series only"));
    }
    let frame = options.max_pixels.saturating_mul(8).saturating_add(HEADER);
    let largest = if series { LARGEST_ROW } else { frame.min(LARGEST) };
    let faults = Arc::<Faults>::default();
    let inbox = Inbox::open(&topic, largest, follow, &faults)?;
    if series {
        let rows = Rows { inbox, kind: Messages::NoneYet, text: Vec::new(), given: 0 };
        return Ok(Input::Series(Box::new(CsvSource::live(rows, &topic.shown, options, faults)?)));
    }
    Ok(Input::Frames(Box::new(MqttFrames::open(inbox, &topic.shown, options)?)))
}

/// Which topic of which broker.
#[derive(Debug)]
struct Topic {
    /// The address without user and password.
    shown: String,
    host: String,
    port: u16,
    topic: String,
    credentials: Option<(String, String)>,
    /// A name under which the broker keeps messages from one run to the next.
    client: Option<String>,
}

impl Topic {
    fn parse(name: &str) -> Result<Self, SourceError> {
        let Some(mut address) = Address::parse(name, SCHEME, EXAMPLE) else {
            return Err(SourceError::misused(Place::whole(name), "no MQTT address", EXAMPLE));
        };
        let client = address.setting("client").map(str::to_owned);
        address.no_more("client=NAME (a `?` in a topic is written %3F)")?;
        if client.as_ref().is_some_and(String::is_empty) {
            return Err(address.wrong("client= without a name", "client=NAME"));
        }
        let Some((authority, topic)) = address.place.split_once('/').filter(|(a, t)| !a.is_empty() && !t.is_empty())
        else {
            return Err(address.wrong("no broker and topic", "both"));
        };
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let bracketed = server.ends_with(']');
        let (host, port) = match server.rsplit_once(':').filter(|_| !bracketed) {
            Some((host, port)) => (host, port.parse().ok()),
            None => (server, Some(PORT)),
        };
        let Some(port) = port.filter(|p| *p > 0 && !host.is_empty()) else {
            return Err(address.wrong(format!("the broker `{server}`"), "a host, and a port from 1 to 65535"));
        };
        let text = |text: &str| decoded(text).ok_or_else(|| address.wrong("a `%` without two digits", "%25 for it"));
        let topic = text(topic)?;
        if topic.contains(['#', '+', '\0']) {
            let got = format!("the topic `{topic}`");
            return Err(address.wrong(got, "one topic: several sensors are no one series"));
        }
        let credentials = match user {
            Some(user) => {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                let password = if password.is_empty() { variable(PASSWORD) } else { text(password)? };
                Some((text(user)?, password))
            }
            None => Some((variable(USER), variable(PASSWORD))).filter(|(user, _)| !user.is_empty()),
        };
        let shown = format!("{SCHEME}{server}/{topic}");
        Ok(Self { shown, host: host.to_owned(), port, topic, credentials, client })
    }

    fn options(&self, id: &str, largest: usize) -> MqttOptions {
        let mut options = MqttOptions::new(id, &self.host, self.port);
        options.set_clean_session(false).set_manual_acks(true).set_keep_alive(ALIVE);
        options.set_max_packet_size(largest.saturating_add(1 << 16).min(LARGEST), 1 << 16);
        if let Some((user, password)) = &self.credentials {
            options.set_credentials(user, password);
        }
        options
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// A number that no other run has.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A message, and the connection that it came by.
struct Letter {
    publish: Publish,
    connection: u64,
}

/// Messages as they come, over as many connections as it takes.
struct Inbox {
    letters: Receiver<Letter>,
    client: Client,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    follow: Follow,
    heard: Instant,
}

/// What the thread that listens shares with the one that reads.
struct Shared {
    /// Nothing more is wanted.
    done: AtomicBool,
    /// Number of the connection, from 1.
    connection: AtomicU64,
    /// The broker has taken the subscription.
    subscribed: AtomicBool,
    /// Why no messages will come any more.
    failed: Mutex<Option<String>>,
    faults: Arc<Faults>,
}

impl Inbox {
    /// Connect and subscribe.
    fn open(topic: &Topic, largest: usize, follow: Follow, faults: &Arc<Faults>) -> Result<Self, SourceError> {
        let id = topic.client.clone().unwrap_or_else(|| format!("mollifier-{:016x}", random()));
        let options = topic.options(&id, largest);
        // Acknowledgements wait here while the broker is away.
        let (client, connection) = Client::new(options.clone(), 4 * IN_HAND);
        let (sender, letters) = sync_channel(IN_HAND);
        let shared = Arc::new(Shared {
            done: AtomicBool::new(false),
            connection: AtomicU64::new(0),
            subscribed: AtomicBool::new(false),
            failed: Mutex::new(None),
            faults: Arc::clone(faults),
        });
        let listener = Listener {
            client: client.clone(),
            topic: topic.topic.clone(),
            sender,
            shared: Arc::clone(&shared),
            taken: HashMap::new(),
            connected: false,
        };
        let kept = topic.client.is_some();
        let body = move || {
            listener.listen(connection);
            if !kept {
                forget(options);
            }
        };
        let thread = thread::Builder::new().name("mqtt".into()).spawn(body);
        let thread = thread.map_err(SourceError::io(Place::whole(&topic.shown)))?;
        let inbox = Self { letters, client, thread: Some(thread), shared, follow, heard: Instant::now() };
        while !inbox.shared.subscribed.load(Ordering::Acquire) {
            if let Some(why) = inbox.failure() {
                let expected = "a broker that lets this run subscribe";
                return Err(SourceError::io(Place::whole(&topic.shown))(io::Error::other(format!(
                    "{why}; expected {expected}"
                ))));
            }
            if inbox.follow.over(inbox.heard) {
                break;
            }
            thread::sleep(NAP / 4);
        }
        Ok(inbox)
    }

    fn failure(&self) -> Option<String> {
        self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next message; `None` where the recording is over.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.letters.recv_timeout(NAP) {
                Ok(letter) => {
                    self.heard = Instant::now();
                    // One that came by an earlier connection is sent again by this one, and acknowledged then.
                    if letter.connection == self.shared.connection.load(Ordering::Acquire) {
                        // An acknowledgement that finds no room is one that got lost: the message comes again.
                        let _ = self.client.try_ack(&letter.publish);
                    }
                    return Ok(Some(letter.publish.payload.into()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return match self.failure() {
                        Some(why) => Err(io::Error::other(why)),
                        None => Ok(None),
                    };
                }
                Err(RecvTimeoutError::Timeout) if self.follow.over(self.heard) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Release);
        let _ = self.client.try_disconnect();
        let until = Instant::now() + PATIENCE;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(NAP / 4);
            }
        }
    }
}

/// Have the broker forget a session that no later run takes up.
fn forget(mut options: MqttOptions) {
    options.set_clean_session(true);
    let (client, mut connection) = Client::new(options, 4);
    if matches!(connection.recv_timeout(PATIENCE), Ok(Ok(Event::Incoming(Packet::ConnAck(_))))) {
        let _ = client.try_disconnect();
        while matches!(connection.recv_timeout(PATIENCE), Ok(Ok(_))) {}
    }
}

/// The thread that talks with the broker.
struct Listener {
    client: Client,
    topic: String,
    sender: SyncSender<Letter>,
    shared: Arc<Shared>,
    /// For each number of a message the connection that it came by last, and a hash of what it said.
    taken: HashMap<u16, (u64, u64)>,
    connected: bool,
}

impl Listener {
    fn listen(mut self, mut connection: Connection) {
        let mut wait = BACK_OFF[0];
        while !self.done() {
            match connection.recv() {
                Ok(Ok(event)) => {
                    wait = BACK_OFF[0];
                    if let Err(why) = self.take(event) {
                        return self.fail(why);
                    }
                }
                Ok(Err(error)) => {
                    if self.done() {
                        return;
                    }
                    if let Some(why) = self.fatal(&error) {
                        return self.fail(why);
                    }
                    if std::mem::take(&mut self.connected) {
                        Faults::count(&self.shared.faults.breaks);
                    }
                    let until = Instant::now() + wait;
                    while !self.done() && Instant::now() < until {
                        thread::sleep(NAP);
                    }
                    wait = (2 * wait).min(BACK_OFF[1]);
                }
                Err(_) => return,
            }
        }
    }

    fn done(&self) -> bool {
        self.shared.done.load(Ordering::Acquire)
    }

    fn fail(&self, why: String) {
        *self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// What no further attempt would mend: an address or a password that is wrong, a message that is too large, which
    /// the broker would send again and again.
    fn fatal(&self, error: &ConnectionError) -> Option<String> {
        use ConnectReturnCode::{BadClientId, BadUserNamePassword, NotAuthorized, RefusedProtocolVersion};
        match error {
            ConnectionError::ConnectionRefused(code) => match code {
                BadUserNamePassword | NotAuthorized => Some(format!(
                    "the broker refuses user and password (USER:PASSWORD@ before the host, or {USER} and {PASSWORD})"
                )),
                BadClientId | RefusedProtocolVersion => Some(format!("the broker refuses the connection: {code:?}")),
                _ => None,
            },
            ConnectionError::MqttState(StateError::Deserialization(
                rumqttc::mqttbytes::Error::PayloadSizeLimitExceeded(size),
            )) => Some(format!("over the limit: got a message of {size} bytes, expected a sample or a frame")),
            error if self.shared.connection.load(Ordering::Acquire) == 0 => Some(error.to_string()),
            _ => None,
        }
    }

    /// Take in what the broker says; why the run cannot go on, where it cannot.
    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Incoming(Packet::ConnAck(answer)) => {
                let number = self.shared.connection.fetch_add(1, Ordering::AcqRel) + 1;
                self.connected = true;
                if !answer.session_present {
                    self.taken.clear();
                    if number > 1 {
                        Faults::count(&self.shared.faults.forgotten);
                    }
                }
                // Also where the broker knows the session: it costs nothing.
                self.client.try_subscribe(&self.topic, QoS::AtLeastOnce).map_err(|e| e.to_string())
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err(format!("the broker does not let this user read the topic {}", self.topic));
                }
                self.shared.subscribed.store(true, Ordering::Release);
                Ok(())
            }
            Event::Incoming(Packet::Publish(publish)) => self.deliver(publish),
            _ => Ok(()),
        }
    }

    fn deliver(&mut self, publish: Publish) -> Result<(), String> {
        let connection = self.shared.connection.load(Ordering::Acquire);
        // What a broker has kept for newcomers is of a time that nobody knows.
        let passed_over = publish.retain || self.is_repeated(&publish, connection);
        if passed_over {
            let _ = self.client.try_ack(&publish);
            return Ok(());
        }
        let mut letter = Letter { publish, connection };
        loop {
            // Where the run is slower the broker waits for acknowledgements, and keeps what comes.
            match self.sender.try_send(letter) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => return Ok(()),
                Err(TrySendError::Full(back)) => letter = back,
            }
            if self.done() {
                return Ok(());
            }
            thread::sleep(NAP / 4);
        }
    }

    /// Whether a message is one that was taken before the connection broke, and whose acknowledgement got lost.
    fn is_repeated(&mut self, publish: &Publish, connection: u64) -> bool {
        if publish.qos == QoS::AtMostOnce {
            return false;
        }
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        hasher.write(&publish.payload);
        let said = hasher.finish();
        let before = self.taken.insert(publish.pkid, (connection, said));
        let repeated = publish.dup && before.is_some_and(|(by, what)| by < connection && what == said);
        if repeated {
            Faults::count(&self.shared.faults.repeated);
        }
        repeated
    }
}

/// The messages of a series as rows of a table, as a stream of bytes.
struct Rows {
    inbox: Inbox,
    kind: Messages,
    text: Vec<u8>,
    given: usize,
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            let Some(message) = self.inbox.next()? else { return Ok(0) };
            (self.text, self.given) = (rows(&message, &mut self.kind), 0);
        }
        let count = buffer.len().min(self.text.len() - self.given);
        buffer[..count].copy_from_slice(&self.text[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// What the first message of a topic was.
#[derive(Default)]
enum Messages {
    #[default]
    NoneYet,
    /// Rows of text.
    Rows,
    /// JSON objects with these names.
    Objects(Vec<String>),
}

/// A message as rows, each with its end; none for an empty one.
fn rows(message: &[u8], kind: &mut Messages) -> Vec<u8> {
    let message = message.trim_ascii();
    if message.first() == Some(&b'{') {
        return object(message, kind).unwrap_or_else(|| b"\x1a\n".to_vec());
    }
    if !message.is_empty() && matches!(kind, Messages::NoneYet) {
        *kind = Messages::Rows;
    }
    let lines = message.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

/// A JSON object as a row, the first one behind a row of its names; `None` where it is none, or one among rows of text,
/// whose columns it does not have.
fn object(message: &[u8], kind: &mut Messages) -> Option<Vec<u8>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(message).ok()?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\"").replace(['\n', '\r'], " "));
    let mut text = String::new();
    if matches!(kind, Messages::NoneYet) {
        let names: Vec<String> = object.keys().cloned().collect();
        let header: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        text = header.join(",") + "\n";
        *kind = Messages::Objects(names);
    }
    let Messages::Objects(names) = kind else { return None };
    let cell = |name: &String| match object.get(name) {
        Some(serde_json::Value::Number(number)) => number.to_string(),
        Some(serde_json::Value::String(text)) => quoted(text),
        _ => String::new(),
    };
    let cells: Vec<String> = names.iter().map(cell).collect();
    text += &cells.join(",");
    text.push('\n');
    Some(text.into_bytes())
}

/// Frames, each a message.
struct MqttFrames {
    info: FrameInfo,
    inbox: Inbox,
    options: OpenOptions,
    element: Element,
    /// The first frame, which told the size.
    ahead: Option<(Header, Vec<u8>)>,
    next: u64,
}

impl MqttFrames {
    fn open(mut inbox: Inbox, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let mut strange: Option<String> = None;
        loop {
            let message = inbox.next().map_err(SourceError::io(Place::whole(name)))?;
            let Some(message) = message else {
                let got =
                    strange.map_or_else(|| "no frame before the end".to_owned(), |s| format!("no frame, but {s}"));
                return Err(SourceError::malformed(Place::whole(name), got, "at least one"));
            };
            match frame_of(&message, options) {
                Ok(header) if !header.ends() => {
                    let info = FrameInfo {
                        name: name.to_owned(),
                        shape: header.shape,
                        count: None,
                        spacing: Spacing::default(),
                        rendered: false,
                        warnings: Vec::new(),
                    };
                    let (options, element) = (options.clone(), header.element);
                    return Ok(Self { info, inbox, options, element, ahead: Some((header, message)), next: 0 });
                }
                Ok(_) => {
                    return Err(SourceError::malformed(Place::whole(name), "no frame before the end", "at least one"));
                }
                Err(what) => strange = Some(what),
            }
        }
    }
}

/// What a broker may send, for fuzzing: messages with a NUL between them, as samples and each as a frame.
#[cfg(fuzzing)]
pub(super) fn fuzz_messages(bytes: &[u8], options: &OpenOptions) -> Result<Input, SourceError> {
    let mut kind = Messages::NoneYet;
    let text: Vec<u8> = bytes.split(|b| *b == 0).flat_map(|message| rows(message, &mut kind)).collect();
    let _ = frame_of(bytes, options);
    let reader = io::Cursor::new(text);
    Ok(Input::Series(Box::new(CsvSource::live(reader, "messages", options, Arc::default())?)))
}

/// The header of a message that is a whole frame; what is wrong with it, in words.
fn frame_of(message: &[u8], options: &OpenOptions) -> Result<Header, String> {
    let Some((bytes, pixels)) = message.split_first_chunk::<HEADER>() else {
        return Err(format!("a message of {} bytes", message.len()));
    };
    let header = Header::parse(bytes, options)?;
    let expected = header.shape[0] * header.shape[1] * header.element.size();
    if pixels.len() != expected {
        return Err(format!("a frame of {} bytes instead of {expected}", pixels.len()));
    }
    Ok(header)
}

impl FrameSource for MqttFrames {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<super::Read, SourceError> {
        loop {
            let (header, message) = match self.ahead.take() {
                Some(first) => first,
                None => {
                    let message = self.inbox.next().map_err(SourceError::io(Place::whole(&self.info.name)))?;
                    let Some(message) = message else { return Ok(super::Read::End) };
                    match frame_of(&message, &self.options) {
                        Ok(header) if header.ends() => return Ok(super::Read::End),
                        Ok(header) if (header.shape, header.element) == (self.info.shape, self.element) => {
                            (header, message)
                        }
                        // No frame of this recording: the place of one that carries no index, or of none.
                        _ => {
                            Faults::count(&self.inbox.shared.faults.unreadable);
                            self.next = self.next.saturating_add(1);
                            continue;
                        }
                    }
                }
            };
            let index = header.index.unwrap_or(self.next);
            let place = || Place::whole(&self.info.name);
            header.element.decode(&message[HEADER..], Endian::Little, &mut frame.pixels, place)?;
            (frame.index, frame.time, frame.shape) = (index, header.time, header.shape);
            self.next = index.saturating_add(1);
            return Ok(super::Read::Filled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_or_refused() {
        let topic = Topic::parse("mqtt://me:s%40x@broker:1884/lab/a%20b?client=left").expect("an address");
        assert_eq!((topic.host.as_str(), topic.port, topic.topic.as_str()), ("broker", 1884, "lab/a b"));
        assert_eq!(topic.credentials, Some(("me".into(), "s@x".into())));
        assert_eq!((topic.shown.as_str(), topic.client.as_deref()), ("mqtt://broker:1884/lab/a b", Some("left")));
        let topic = Topic::parse("mqtt://[::1]/t").expect("an address");
        assert_eq!((topic.host.as_str(), topic.port, topic.client), ("[::1]", 1883, None));
        for (name, word) in [
            ("mqtt://", "no broker and topic"),
            ("mqtt://broker", "no broker and topic"),
            ("mqtt://broker/", "no broker and topic"),
            ("mqtt://broker:none/t", "the broker `broker:none`"),
            ("mqtt://broker:0/t", "a port from 1"),
            ("mqtt://:1883/t", "the broker `:1883`"),
            ("mqtt://broker/lab/#", "one topic"),
            ("mqtt://broker/+/t", "one topic"),
            ("mqtt://broker/t%", "%25"),
            ("mqtt://broker/t?qos=2", "a setting `qos`"),
            ("mqtt://broker/t?client=", "client=NAME"),
        ] {
            let error = Topic::parse(name).expect_err(name);
            assert!(error.is_misuse() && error.to_string().contains(word), "{error}");
        }
        let error = Topic::parse("mqtt://me:secret@broker:x/t").expect_err("no port");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn messages_become_rows() {
        let all = |messages: &[&str]| {
            let mut kind = Messages::NoneYet;
            let bytes: Vec<u8> = messages.iter().flat_map(|m| rows(m.as_bytes(), &mut kind)).collect();
            String::from_utf8(bytes).expect("text")
        };
        assert_eq!(all(&["21.5", " 21.75\r\n", "", "\n", "1;2"]), "21.5\n21.75\n1;2\n");
        assert_eq!(all(&["1,2\n3,4\n"]), "1,2\n3,4\n");
        // One sample each, whatever else comes on the topic of a sensor.
        assert_eq!(all(&["", "21.5", r#"{"T": 7, "battery": 3}"#, "22"]), "21.5\n\u{1a}\n22\n");
        let messages = [
            r#"{"time": 0.5, "T, \"in\"": 21, "unit": "C", "more": {"a": 1}}"#,
            r#"{"T, \"in\"": 1e-3, "new": 5}"#,
            r#"{"time": 1.5, "T, \"in\"": null}"#,
            "{\"time\": ",
        ];
        let expected = "\"T, \"\"in\"\"\",\"more\",\"time\",\"unit\"\n21,,0.5,\"C\"\n0.001,,,\n,,1.5,\n\x1a\n";
        assert_eq!(all(&messages), expected);
    }
}
