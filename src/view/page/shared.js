// What the page of images and that of series have in common.

import { LINES } from "./scale.js";

export const element = (id) => document.getElementById(id);

export const json = (path) =>
  fetch(path).then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(answer.status))));

/** How many maps or blocks the plots of latency and losses go back. */
const KEPT = 600;

/** Tell how the run is going; `texts` has words for each state. */
export function showState(page, texts) {
  const state = element("state");
  const running = page.status?.state ?? "waiting";
  const gone = page.gone && running !== "ended";
  const shown = gone ? "gone" : page.paused ? "paused" : running;
  const text = {
    running: "running",
    paused: running === "running" ? "view paused, the run goes on" : "view paused",
    ended: page.status?.message || "the run has ended",
    gone: "no connection: the run has ended, or the machine is out of reach",
    ...texts,
  }[shown];
  // A text that stays is not read out again.
  if (state.dataset.state === shown && state.textContent === text) return;
  state.dataset.state = shown;
  state.textContent = text;
}

/** Show entries of [name, value, whether it is bad]. */
export function showNumbers(entries) {
  element("numbers").replaceChildren(...entries.map(([name, value, bad]) => {
    const entry = document.createElement("div");
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = name;
    dd.textContent = value;
    dd.dataset.name = name;
    dd.classList.toggle("bad", bad);
    entry.append(dt, dd);
    return entry;
  }));
}

/** Keep a status for the plots. */
export function remember(history, status) {
  history.push(status);
  if (history.length > KEPT) history.shift();
}

/** Plot latency and losses over the number of maps or samples; `nouns` are what is lost and what `across` counts. */
export function drawHistory(plots, history, { across, lost, empty }) {
  const x = history.map((s) => s.number);
  const line = (name, colour, of) => ({ name, colour, x, y: history.map(of) });
  plots.latency.draw(
    [line("latency", LINES[0], (s) => s.latency_ms), line("computing", LINES[1], (s) => s.compute_ms)],
    { across, up: "ms", empty, fromZero: true },
  );
  plots.losses.draw(
    [line("lost", LINES[1], (s) => s.lost), line("waiting", LINES[0], (s) => s.queued)],
    { across, up: lost, empty, fromZero: true },
  );
}

/** Have the browser save a canvas as a PNG file. */
export function save(canvas, name) {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
