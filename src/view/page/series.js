// The page of a series: asks for the newest stretch of it when it has time, and draws it.

import { pretty } from "./panel.js";
import { Plot } from "./plot.js";
import { LINES, short, theme } from "./scale.js";
import { drawHistory, element, json, remember, save, showNumbers, showState } from "./shared.js";

/** Plots are drawn no more often than this, in ms. */
const BRIEFEST = 50;
/** Channels that are drawn, as many as the run keeps. */
const CHANNELS = 4;
/** The shortest stretch, in samples. */
const SHORTEST = 20;

const about = await json("about");
const channels = about.channels.slice(0, CHANNELS);
const step = about.spacing.t?.value ?? 1;
const timeUnit = about.spacing.t?.unit ? pretty(about.spacing.t.unit) : "";

const page = {
  status: null,
  /** Samples that are shown (null: all), and the one after the last (null: the newest). */
  span: null,
  to: null,
  paused: false,
  pointer: null,
  history: [],
  data: null,
  busy: false,
  stale: true,
};
/** For people who measure: which sample was drawn when. */
window.mollifier = { shown: [], page };

const unit = (text) => (text ? ` (${text})` : "");
const time = (sample) => sample * step;
const timed = (sample) => `${short(time(sample), 6)}${timeUnit ? ` ${timeUnit}` : ""}`;

element("model").textContent = about.model;
const named = channels.length === 1 && channels[0] !== "value" ? ` · ${channels[0]}` : "";
element("input").textContent = `${about.equation} · ${about.input}${named}`;
document.title = `${about.model} · mollifier`;

// One plot for the input and for each output.

const outputs = about.outputs.map((o) => ({ name: o.name, title: o.quantity, unit: pretty(o.unit), log: o.log_scale }));
const told = [{ name: "input", title: "as it comes", unit: pretty(about.input_unit), log: false }, ...outputs];

const titled = ({ name, title, unit: of }) => `${name}${name === title ? "" : `: ${title}`}${unit(of)}`;

const rows = told.map((what, k) => {
  const figure = document.createElement("figure");
  figure.tabIndex = 0;
  figure.dataset.name = what.name;
  const caption = document.createElement("figcaption");
  const title = document.createElement("span");
  const output = document.createElement("output");
  title.textContent = titled(what);
  caption.append(title, output);
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${what.name} over time`);
  figure.append(caption, canvas);
  const plot = new Plot(canvas);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    scale(event.deltaY < 0 ? 0.8 : 1.25);
  }, { passive: false });
  canvas.addEventListener("pointermove", (event) => point(plot.at(event.offsetX)));
  canvas.addEventListener("pointerleave", () => point(null));
  return { ...what, k, figure, canvas, output, plot };
});
element("lines").append(...rows.map((r) => r.figure));

// What people do with the plots.

const newest = () => page.data?.newest ?? 0;

function show(span, to) {
  const all = newest();
  page.span = span === null || span >= all ? null : Math.max(SHORTEST, Math.round(span));
  page.to = to === null || to >= all || page.span === null ? null : Math.max(page.span, Math.round(to));
  element("whole").setAttribute("aria-pressed", page.span === null);
  element("newest").setAttribute("aria-pressed", page.to === null);
  refresh(true);
}

const scale = (factor) => show((page.span ?? newest()) * factor, page.to);
const shorter = () => scale(0.5);
const longer = () => scale(2);
const whole = () => show(null, null);
const follow = () => show(page.span, null);

/** Back or forth by a share of what is shown. */
function move(share) {
  if (page.span !== null) show(page.span, (page.to ?? newest()) + share * page.span);
}

function point(at) {
  page.pointer = at;
  draw();
}

function pause() {
  page.paused = !page.paused;
  element("pause").setAttribute("aria-pressed", page.paused);
  tell();
  if (!page.paused) refresh(true);
}

function help() {
  const keys = element("keys");
  keys.hidden = !keys.hidden;
  element("help").setAttribute("aria-expanded", !keys.hidden);
}

/** All plots as they are shown, in one PNG file. */
function snapshot() {
  const [gap, head, title] = [16, 24, 52];
  const [width, height] = [rows[0].canvas.clientWidth, rows[0].canvas.clientHeight];
  const canvas = document.createElement("canvas");
  const ratio = window.devicePixelRatio || 1;
  canvas.width = ratio * (width + 2 * gap);
  canvas.height = ratio * (title + rows.length * (height + head + gap));
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = theme("back");
  context.fillRect(0, 0, canvas.width, canvas.height);
  const text = (font, y, what, colour) => {
    Object.assign(context, { font, textAlign: "left", textBaseline: "middle", fillStyle: theme(colour) });
    context.fillText(what, gap, y);
  };
  text("600 17px system-ui, sans-serif", 18, `${about.model}, ${timed(Math.max(0, newest() - 1))}`, "ink");
  text("13px system-ui, sans-serif", 38, `${about.equation} · ${about.input}${named}`, "faint");
  rows.forEach((row, i) => {
    const top = title + i * (height + head + gap);
    text("14px system-ui, sans-serif", top + 12, titled(row), "ink");
    context.drawImage(row.canvas, gap, top + head, width, height);
  });
  save(canvas, `${about.model}-${newest()}.png`);
}

const actions = { pause, shorter, longer, whole, newest: follow, snapshot, help };
for (const [id, action] of Object.entries(actions)) element(id).addEventListener("click", action);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    p: pause, 0: whole, n: follow, s: snapshot, "?": help, "+": shorter, "=": shorter, "-": longer,
    ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25),
  };
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

// The values.

/** Get the newest stretch, unless it is on its way; `again` also where the view is paused. */
async function refresh(again = false) {
  page.stale = true;
  if (page.busy || (page.paused && !again)) return;
  page.busy = true;
  try {
    for (let first = true; page.stale && (first || !page.paused); first = false) {
      page.stale = false;
      await get();
      await new Promise((done) => setTimeout(done, BRIEFEST));
    }
  } finally {
    page.busy = false;
  }
}

async function get() {
  const most = Math.max(100, Math.floor(rows[0].canvas.clientWidth / 2));
  const part = { most };
  if (page.span !== null) part.span = page.span;
  if (page.to !== null) part.to = page.to;
  const answer = await fetch(`trace?${new URLSearchParams(part)}`).catch(() => null);
  if (!answer?.ok) return;
  const bytes = await answer.arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const values = new Float64Array(bytes, 4 + length);
  const lines = [];
  for (let at = 0; at < values.length; at += 2 * head.count) {
    lines.push({ low: values.subarray(at, at + head.count), high: values.subarray(at + head.count, at + 2 * head.count) });
  }
  page.data = { ...head, lines };
  draw();
  window.mollifier.shown.push({ sample: head.newest - 1, number: page.status?.number ?? 0, at: Date.now() });
  if (window.mollifier.shown.length > 10000) window.mollifier.shown.shift();
  document.body.dataset.sample = head.newest - 1;
}

/** A channel as a line through the samples, or through the middle of each step. */
function lineOf({ first, step: every }, { low, high }) {
  const at = (i) => time(first + i * every + 0.5 * (every - 1));
  return {
    x: Array.from(low, (_, i) => at(i)),
    y: Array.from(low, (value, i) => (Number.isNaN(value) ? null : 0.5 * (value + high[i]))),
  };
}

function draw() {
  const { data } = page;
  if (!data) return;
  const span = page.span ?? data.newest;
  const to = page.to ?? data.newest;
  const range = [time(Math.max(0, to - span)), time(Math.max(1, to - 1))];
  const many = channels.length;
  const at = page.pointer === null ? null : Math.round((page.pointer / step - data.first) / data.step);
  const std = outputs.findIndex((o) => o.name === "std");
  for (const row of rows) {
    const lines = channels.map((name, c) => ({
      name: many > 1 ? name : "", colour: LINES[c % LINES.length], ...lineOf(data, data.lines[row.k * many + c]),
    }));
    // From the lowest to the highest of each step; and what lambda may be as well.
    const bands = data.step > 1 ? channels.map((_, c) => bandOf(data, data.lines[row.k * many + c], null, LINES[c])) : [];
    if (row.name === "lambda" && std >= 0 && !row.log) {
      const of = (c) => [data.lines[row.k * many + c], data.lines[(1 + std) * many + c]];
      bands.push(...channels.map((_, c) => bandOf(data, ...of(c), LINES[c])));
    }
    const waiting = row.k > 0 && data.newest > 0;
    row.plot.draw(lines, {
      across: about.spacing.t ? `time${unit(timeUnit)}` : "sample",
      up: row.unit,
      empty: waiting ? `values come ${about.delay} samples behind their own` : "no sample yet",
      log: row.log, range, bands, pointer: page.pointer, within: row.name === "support" ? [0, 1] : null,
    });
    const values = at === null ? [] : channels.map((_, c) => data.lines[row.k * many + c].high[at]);
    const tell = values.filter((v) => v !== undefined).map((v) => short(v)).join(", ");
    row.output.textContent = tell && `${tell}${row.unit ? ` ${row.unit}` : ""} at ${short(page.pointer)}${timeUnit ? ` ${timeUnit}` : ""}`;
  }
}

/** From low to high, wider by `std` where there is one. */
function bandOf({ first, step: every }, { low, high }, std, colour) {
  const band = { colour, x: [], low: [], high: [] };
  low.forEach((_, i) => {
    const around = std ? std.high[i] : 0;
    if (Number.isNaN(low[i]) || Number.isNaN(around)) return;
    band.x.push(time(first + i * every + 0.5 * (every - 1)));
    band.low.push(low[i] - around);
    band.high.push(high[i] + around);
  });
  return band;
}

// Numbers, latency and losses.

const plots = Object.fromEntries(["latency", "losses"].map((id) => [id, new Plot(element(id))]));
const FAULTS = {
  breaks: "out of reach", unreadable: "unreadable", repeated: "repeated", clock: "clock jumps", forgotten: "forgotten",
};

function tell() {
  const s = page.status;
  showState(page, { waiting: "waiting for the first values" });
  if (!s) return;
  const there = s.number > 0;
  const entries = [
    ["samples read", s.read, false],
    ["values", about.maps ? `${s.number} of ${about.maps}` : s.number, false],
    ["time", there ? timed(s.frame) : "none", false],
    ["lost", s.lost, s.lost > 0],
    ["waiting", s.queued, false],
    ["latency", there ? `${short(s.latency_ms, 3)} ms` : "none", false],
    ["computing", there ? `${short(s.compute_ms, 3)} ms` : "none", false],
    ...s.faults.filter(([, count]) => count > 0).map(([name, count]) => [FAULTS[name] ?? name, count, true]),
  ];
  showNumbers(entries);
}

const drawRun = () => drawHistory(plots, page.history, { across: "sample", lost: "samples, blocks", empty: "no value yet" });

let plotted = 0;
const events = new EventSource("events");
events.onmessage = (event) => {
  page.gone = false;
  const status = JSON.parse(event.data);
  const next = status.number > (page.status?.number ?? 0);
  page.status = status;
  tell();
  if (next) remember(page.history, status);
  refresh();
  const now = performance.now();
  if (!page.paused && (now - plotted > 250 || status.state === "ended")) {
    plotted = now;
    drawRun();
  }
};
events.onerror = () => {
  page.gone = true;
  tell();
};

const again = () => {
  draw();
  drawRun();
};
new ResizeObserver(() => {
  again();
  refresh(true);
}).observe(element("lines"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
