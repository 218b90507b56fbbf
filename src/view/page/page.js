// The page: asks for the newest maps when it has time, and draws them.

import { Panel, pretty } from "./panel.js";
import { Plot } from "./plot.js";
import { LINES, short, theme } from "./scale.js";
import { drawHistory, element, json, remember, save, showNumbers as showEntries, showState as tellState } from "./shared.js";

const [about, colours] = await Promise.all([json("about"), json("colours")]);
const [rows, columns] = about.shape;

const page = {
  status: null,
  view: { y0: 0, x0: 0, y1: rows, x1: columns },
  paused: false,
  hold: false,
  pointer: null,
  drag: null,
  marks: [],
  history: [],
  drawn: -1,
  busy: false,
};
/** For people who measure: which frame was drawn when. */
window.mollifier = { shown: [], page };

element("model").textContent = about.model;
element("input").textContent = `${about.equation} · ${about.input} · ${rows} × ${columns}`;
document.title = `${about.model} · mollifier`;

// What people do with the maps.

function look(view) {
  const height = Math.min(rows, view.y1 - view.y0);
  const width = Math.min(columns, view.x1 - view.x0);
  const y0 = Math.min(Math.max(0, view.y0), rows - height);
  const x0 = Math.min(Math.max(0, view.x0), columns - width);
  page.view = { y0, x0, y1: y0 + height, x1: x0 + width };
  drawMaps();
  refresh(true);
}

function zoom(factor, at) {
  const { y0, x0, y1, x1 } = page.view;
  const kept = Math.max(factor, 8 / Math.min(y1 - y0, x1 - x0));
  const f = Math.min(kept, rows / (y1 - y0));
  const centre = at ?? { y: (y0 + y1) / 2, x: (x0 + x1) / 2 };
  const near = (edge, middle) => middle + (edge - middle) * f;
  look({ y0: near(y0, centre.y), x0: near(x0, centre.x), y1: near(y1, centre.y), x1: near(x1, centre.x) });
}

function move(y, x) {
  const { y0, x0, y1, x1 } = page.view;
  look({ y0: y0 + y, x0: x0 + x, y1: y1 + y, x1: x1 + x });
}

function areaOf(a, b) {
  const axis = (p, q, size) => {
    const first = Math.min(Math.max(0, Math.floor(Math.min(p, q))), size - 1);
    return [first, Math.max(first + 1, Math.min(size, Math.ceil(Math.max(p, q))))];
  };
  const [y0, y1] = axis(a.y, b.y, rows);
  const [x0, x1] = axis(a.x, b.x, columns);
  return a === b ? { y0, x0, y1: y0 + 1, x1: x0 + 1 } : { y0, x0, y1, x1 };
}

async function mark(a, b) {
  page.drag = null;
  const body = JSON.stringify(areaOf(a, b));
  await fetch("probes", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  await refreshSeries();
}

async function clear() {
  await fetch("probes", { method: "DELETE" });
  await refreshSeries();
}

function point(pointer, drag) {
  page.pointer = pointer;
  page.drag = drag ? areaOf(drag.from, drag.to) : null;
  drawMaps();
}

function pause() {
  page.paused = !page.paused;
  element("pause").setAttribute("aria-pressed", page.paused);
  showState();
  if (!page.paused) refresh(true);
}

function hold() {
  page.hold = !page.hold;
  element("hold").setAttribute("aria-pressed", page.hold);
  refresh(true);
}

function help() {
  const keys = element("keys");
  keys.hidden = !keys.hidden;
  element("help").setAttribute("aria-expanded", !keys.hidden);
}

const whole = () => look({ y0: 0, x0: 0, y1: rows, x1: columns });

/** All maps as they are shown, in one PNG file. */
function snapshot() {
  const [width, height, bar, gap, head] = [panels[0].size[0], panels[0].size[1], 80, 20, 26];
  const across = Math.min(3, panels.length);
  const down = Math.ceil(panels.length / across);
  const canvas = document.createElement("canvas");
  const ratio = window.devicePixelRatio || 1;
  const title = 52;
  canvas.width = ratio * (across * (width + bar + gap) + gap);
  canvas.height = ratio * (title + down * (height + head + gap));
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = theme("back");
  context.fillRect(0, 0, canvas.width, canvas.height);
  const text = (font, x, y, what, colour) => {
    Object.assign(context, { font, textAlign: "left", textBaseline: "middle", fillStyle: theme(colour) });
    context.fillText(what, x, y);
  };
  text("600 17px system-ui, sans-serif", gap, 18, `${about.model}, frame ${page.status?.frame ?? "none"}`, "ink");
  text("13px system-ui, sans-serif", gap, 38, `${about.equation} · ${about.input}`, "faint");
  panels.forEach((panel, i) => {
    const [left, top] = [gap + (i % across) * (width + bar + gap), title + Math.floor(i / across) * (height + head + gap)];
    const { name, title: quantity, unit } = panel.told;
    text("14px system-ui, sans-serif", left, top + 12, `${name}: ${quantity}${unit ? ` (${unit})` : ""}`, "ink");
    context.save();
    context.translate(left, top + head);
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    panel.paint(context, width, height, page.view, page.marks, null, null);
    context.restore();
    context.save();
    context.translate(left + width + 8, top + head);
    panel.paintBar(context, height);
    context.restore();
  });
  save(canvas, `${about.model}-${page.status?.frame ?? 0}.png`);
}

const actions = { pause, hold, whole, clear, snapshot, help };
for (const [id, action] of Object.entries(actions)) element(id).addEventListener("click", action);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
  const { y0, x0, y1, x1 } = page.view;
  const step = 0.1 * (y1 - y0);
  const middle = { y: (y0 + y1) / 2, x: (x0 + x1) / 2 };
  const keys = {
    p: pause, h: hold, 0: whole, c: clear, s: snapshot, "?": help,
    "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25),
    ArrowUp: () => move(-step, 0), ArrowDown: () => move(step, 0),
    ArrowLeft: () => move(0, -step), ArrowRight: () => move(0, step),
    m: () => mark(middle, middle),
  };
  const action = keys[event.key];
  if (!action || (event.key.startsWith("Arrow") && !document.activeElement.matches("figure"))) return;
  event.preventDefault();
  action();
});

// The maps.

const outputs = about.outputs.map((o) => ({
  name: o.name, title: o.quantity, unit: pretty(o.unit), log: o.log_scale, fixed: o.name === "support" ? [0, 1] : null,
}));
const told = [{ name: "input", title: "newest frame", unit: pretty(about.input_unit), log: false, fixed: null }, ...outputs];
const asked = { view: () => page.view, zoom, move, mark, point };
const panels = told.map((t) => new Panel(t, about, colours, asked));
element("panels").append(...panels.map((p) => p.figure));
element("output").append(...outputs.map((o) => new Option(`${o.name}, ${o.title}`, o.name)));
element("output").addEventListener("change", drawPlots);

function drawMaps() {
  for (const panel of panels) panel.draw(page.view, page.marks, page.pointer, page.drag);
}

/** Get the newest maps, unless they are there or on their way; `again` gets them for another view. */
async function refresh(again = false) {
  if (again) page.drawn = -1;
  if (page.busy || (page.paused && !again)) return;
  page.busy = true;
  try {
    for (let last = -2; page.drawn !== last && (!page.paused || page.drawn === -1);) {
      const wanted = page.status?.number ?? 0;
      if (page.drawn === wanted) break;
      last = page.drawn;
      await getMaps();
      // A map that was not kept for pages is none to wait for.
      if (page.drawn !== -1 && page.drawn < wanted) page.drawn = wanted;
    }
  } finally {
    page.busy = false;
  }
}

async function getMaps() {
  const [width] = panels[0].size;
  const most = Math.ceil(Math.max(1, panels[0].aspect) * width * (window.devicePixelRatio || 1));
  const { y0, x0, y1, x1 } = page.view;
  const part = { y0: Math.floor(y0), x0: Math.floor(x0), y1: Math.ceil(y1), x1: Math.ceil(x1), most };
  const answer = await fetch(`newest?${new URLSearchParams(part)}`);
  if (!answer.ok) return;
  const bytes = await answer.arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const count = head.shape[0] * head.shape[1];
  const pictures = (n) => new Float32Array(bytes, 4 + length + 4 * count * n, count);
  const there = [...Array(head.inputs).fill(0).map((_, i) => i), ...Array(head.outputs).fill(0).map((_, i) => 1 + i)];
  there.forEach((panel, n) => {
    const { from, to, step, shape } = head;
    panels[panel].show({ values: pictures(n), from, to, step, shape }, page.hold);
  });
  page.drawn = Math.max(page.drawn, head.maps.number);
  drawMaps();
  window.mollifier.shown.push({ frame: head.maps.frame, number: head.maps.number, at: Date.now() });
  if (window.mollifier.shown.length > 10000) window.mollifier.shown.shift();
  document.body.dataset.frame = head.maps.frame;
}

// Numbers and plots.

const plots = Object.fromEntries(["series", "latency", "losses"].map((id) => [id, new Plot(element(id))]));
const series = new Map();

async function refreshSeries() {
  const since = Math.min(...[...series.values()].map((s) => s.numbers.at(-1) ?? 0), Infinity);
  const known = series.size > 0 && Number.isFinite(since) ? since : 0;
  const answer = await json(`series?since=${known}`);
  for (const id of series.keys()) if (!answer.some((p) => p.id === id)) series.delete(id);
  for (const probe of answer) {
    const kept = series.get(probe.id) ?? { ...probe, numbers: [], times: [], means: outputs.map(() => []) };
    probe.numbers.forEach((number, i) => {
      if (number <= (kept.numbers.at(-1) ?? -1)) return;
      kept.numbers.push(number);
      kept.times.push(probe.times[i]);
      kept.means.forEach((m, k) => m.push(probe.means[k]?.[i] ?? null));
    });
    series.set(probe.id, kept);
  }
  page.marks = [...series.values()].map(({ id, area }) => ({ area, number: id, colour: LINES[(id - 1) % LINES.length] }));
  drawMaps();
  drawPlots();
}

function drawPlots() {
  const k = Math.max(0, outputs.findIndex((o) => o.name === element("output").value));
  const unit = (text) => (text ? ` (${text})` : "");
  const lines = [...series.values()].map((s) => ({
    name: String(s.id), colour: LINES[(s.id - 1) % LINES.length], x: s.times, y: s.means[k] ?? [],
  }));
  const step = about.spacing.t;
  plots.series.draw(lines, {
    across: step ? `time${unit(pretty(step.unit ?? ""))}` : "frame",
    up: `${outputs[k].name}${unit(outputs[k].unit)}`,
    empty: "click a pixel, or Shift + drag a region, in any map",
    log: outputs[k].log,
  });
  drawHistory(plots, page.history, { across: "map", lost: "frames", empty: "no map yet" });
}

const showState = () => tellState(page, { waiting: "waiting for the first map" });

function showNumbers() {
  const s = page.status;
  const step = about.spacing.t;
  const time = step ? `${short(s.time, 5)} ${pretty(step.unit ?? "")}` : short(s.time, 5);
  const entries = [
    ["maps", about.maps ? `${s.number} of ${about.maps}` : s.number, false],
    ["frame", s.frame, false],
    ["time", time, false],
    ["frames read", s.read, false],
    ["lost", s.lost, s.lost > 0],
    ["waiting", s.queued, false],
    ["latency", `${short(s.latency_ms, 3)} ms`, false],
    ["computing", `${short(s.compute_ms, 3)} ms`, false],
    ["noise", s.noise === null ? "unknown" : short(s.noise, 3), false],
  ];
  showEntries(entries);
}

let plotted = 0;
const events = new EventSource("events");
events.onmessage = (event) => {
  page.gone = false;
  const status = JSON.parse(event.data);
  const next = status.number > (page.status?.number ?? 0);
  page.status = status;
  showState();
  showNumbers();
  if (next) remember(page.history, status);
  refresh();
  const now = performance.now();
  if (!page.paused && (now - plotted > 250 || status.state === "ended")) {
    plotted = now;
    if (series.size > 0) refreshSeries();
    else drawPlots();
  }
};
events.onerror = () => {
  page.gone = true;
  showState();
};

new ResizeObserver(() => {
  drawMaps();
  drawPlots();
  refresh(true);
}).observe(element("panels"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  refresh(true);
  drawPlots();
});
refreshSeries();
