//! Hands the board out over HTTP.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::ViewError;
use super::board::{Board, Picture, Status};
use super::guard::{Guard, Verdict};
use super::probe::Area;
use super::region::{Region, Wanted};
use super::slot::locked;
use super::trace::Part;

/// The page's parts: path, type, content.
const PAGE: [(&str, &str, &str); 8] = [
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/scale.js", "text/javascript; charset=utf-8", include_str!("page/scale.js")),
    ("/panel.js", "text/javascript; charset=utf-8", include_str!("page/panel.js")),
    ("/series.js", "text/javascript; charset=utf-8", include_str!("page/series.js")),
    ("/shared.js", "text/javascript; charset=utf-8", include_str!("page/shared.js")),
    ("/plot.js", "text/javascript; charset=utf-8", include_str!("page/plot.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];
/// The page itself, of images and of a series.
const IMAGES: &str = include_str!("page/index.html");
const SERIES: &str = include_str!("page/series.html");
/// The page may load from here and nowhere else.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'";
/// Requests are a line of JSON at most.
const LONGEST_BODY: usize = 4096;
/// How long open connections have to end once the server is dropped.
const PATIENCE: Duration = Duration::from_millis(300);

/// A server of one board, until it is dropped.
#[derive(Debug)]
pub struct Server {
    url: String,
    end: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    board: Arc<Board>,
    guard: Arc<Guard>,
}

impl Server {
    /// Serve `board` at `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// An address that is taken or not this machine's.
    pub fn start(board: Arc<Board>, address: SocketAddr) -> Result<Self, ViewError> {
        let bind = |source| ViewError::Bind { address, source };
        let listener = TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let guard = Guard::new(address).map_err(|e| ViewError::Start(std::io::Error::other(e.to_string())))?;
        let url = format!("http://{address}/{}", guard.query());
        let router = router(Shared { board, guard: Arc::new(guard) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ViewError::Start)?;
        let end = Arc::new(Notify::new());
        let ended = Arc::clone(&end);
        let body = move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(listener, router).into_future() => {}
                    () = ended.notified() => {}
                }
            });
            runtime.shutdown_timeout(PATIENCE);
        };
        let thread = thread::Builder::new().name("view".into()).spawn(body).map_err(ViewError::Start)?;
        Ok(Self { url, end, thread: Some(thread) })
    }

    /// What to type into a browser, the token included where one is needed.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(shared: Shared) -> Router {
    let mut router = Router::new()
        .route("/about", get(about))
        .route("/colours", get(colours))
        .route("/events", get(events))
        .route("/newest", get(newest))
        .route("/series", get(series))
        .route("/trace", get(trace))
        .route("/probes", post(mark).delete(unmark))
        .route("/metrics", get(metrics));
    let index = if shared.board.about.channels.is_empty() { IMAGES } else { SERIES };
    for (path, kind, content) in PAGE.into_iter().chain([("/", "text/html; charset=utf-8", index)]) {
        router = router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], content) }));
    }
    router
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
}

/// Lets in who may look; nothing is kept by the browser, and nothing is loaded from elsewhere.
async fn admit(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let verdict = shared.guard.judge(request.uri(), request.headers());
    let mut response = match verdict {
        Verdict::Refused => {
            let text = "The token is missing: open the link that the command printed.\n";
            (StatusCode::FORBIDDEN, text).into_response()
        }
        _ => next.run(request).await,
    };
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let (Verdict::WithToken, Some(Ok(cookie))) = (verdict, shared.guard.cookie().map(HeaderValue::try_from)) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

fn json_of(value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn about(State(shared): State<Shared>) -> Response {
    json_of(&shared.board.about)
}

/// The colours of the PNG files: 256 for each scale, as red, green, blue.
async fn colours() -> Response {
    let table = |scale: colorous::Gradient, turned: bool| -> Vec<u8> {
        let at = |i: u32| scale.eval_continuous(f64::from(if turned { 255 - i } else { i }) / 255.0);
        (0..256).map(at).flat_map(|c| [c.r, c.g, c.b]).collect()
    };
    json_of(&json!({
        "sequential": table(colorous::VIRIDIS, false),
        "diverging": table(colorous::RED_BLUE, true),
    }))
}

/// One page's events: how many pages are open is counted by them.
struct Visit {
    board: Arc<Board>,
    status: watch::Receiver<Status>,
    first: bool,
}

impl Visit {
    fn new(board: Arc<Board>) -> Self {
        board.metrics.pages.inc();
        tracing::info!(pages = board.metrics.pages.get(), "a page was opened");
        let status = board.status.subscribe();
        Self { board, status, first: true }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.board.metrics.pages.dec();
        tracing::info!(pages = self.board.metrics.pages.get(), "a page was closed");
    }
}

async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let visit = Visit::new(shared.board);
    let stream = futures_util::stream::unfold(visit, |mut visit| async {
        // A reader that is slow finds the newest status and none in between.
        if !std::mem::take(&mut visit.first) {
            visit.status.changed().await.ok()?;
        }
        let text = serde_json::to_string(&*visit.status.borrow_and_update()).ok()?;
        Some((Ok(Event::default().data(text)), visit))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

/// The newest input and maps, or a region of them.
///
/// Length of the header as u32, the header as JSON, padded to a multiple of 4, then for the input and each output
/// the region's values as float32, axes (y, x), everything little-endian.
async fn newest(State(shared): State<Shared>, Query(wanted): Query<Wanted>) -> Response {
    let Shared { board, .. } = shared;
    let shape = board.about.shape;
    let region = Region::new(&wanted, shape);
    let [rows, columns] = region.shape();
    let (maps, input) = (board.maps.get(), board.input.get());
    let told = |picture: &Picture| json!({ "number": picture.number, "frame": picture.frame, "time": picture.time });
    let header = json!({
        "from": region.from, "to": region.to, "step": region.step, "shape": [rows, columns],
        "input": told(&input), "maps": told(&maps),
        "outputs": maps.maps.len(), "inputs": input.maps.len(),
    });
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let pictures = input.maps.len() + maps.maps.len();
    let mut bytes = Vec::with_capacity(4 + text.len() + 4 * rows * columns * pictures);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text);
    for map in input.maps.iter().chain(&maps.maps) {
        region.draw(map, shape[1], &mut bytes);
    }
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

/// A stretch of a series.
///
/// Length of the header as u32, the header as JSON, padded so that what follows starts at a multiple of 8, then for each
/// channel of the input and of each output the lowest and then the highest values of all steps as float64, everything
/// little-endian.
async fn trace(State(shared): State<Shared>, Query(part): Query<Part>) -> Response {
    let (drawn, newest) = {
        let trace = locked(&shared.board.trace);
        (trace.draw(&part), trace.len())
    };
    let header = json!({ "first": drawn.first, "step": drawn.step, "count": drawn.count, "newest": newest });
    let mut text = header.to_string().into_bytes();
    text.resize((4 + text.len()).next_multiple_of(8) - 4, b' ');
    let mut bytes = Vec::with_capacity(4 + text.len() + 8 * drawn.values.len());
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text);
    bytes.extend(drawn.values.iter().flat_map(|v| v.to_le_bytes()));
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn series(State(shared): State<Shared>, Query(Since { since }): Query<Since>) -> Response {
    let told = locked(&shared.board.probes).told(since);
    json_of(&told)
}

/// Only with the type of JSON: a page of another site cannot send that without asking first.
async fn mark(State(shared): State<Shared>, request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind != "application/json" {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "got no application/json, expected it\n").into_response();
    }
    let Ok(body) = <Bytes as axum::extract::FromRequest<()>>::from_request(request, &()).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let shape = shared.board.about.shape;
    let area = serde_json::from_slice::<Area>(&body).ok();
    match area.and_then(|area| locked(&shared.board.probes).mark(area, shape)) {
        Some(id) => json_of(&json!({ "id": id })),
        None => {
            let [rows, columns] = shape;
            let text = format!("expected {{\"y0\",\"x0\",\"y1\",\"x1\"}} with a pixel of {rows} x {columns}\n");
            (StatusCode::BAD_REQUEST, text).into_response()
        }
    }
}

async fn unmark(State(shared): State<Shared>) -> StatusCode {
    locked(&shared.board.probes).clear();
    StatusCode::NO_CONTENT
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.board.metrics.text()).into_response()
}
