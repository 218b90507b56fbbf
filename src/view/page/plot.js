// A plot of lines over numbers that grow.

import { fresh, position, rangeOf, short, theme, ticks } from "./scale.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [58, 12, 24, 34];

export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.time = null;
  }

  /** What lies across at a pixel of the canvas; null outside the lines. */
  at(pixel) {
    const share = (pixel - LEFT) / (this.canvas.clientWidth - LEFT - RIGHT);
    return this.time && share >= 0 && share <= 1 ? this.time.low + share * (this.time.high - this.time.low) : null;
  }

  /**
   * Lines are {name, colour, x: [...], y: [...]}; missing values are null. Bands are {colour, x, low, high}. `range`
   * and `within` fix what is shown across and up, `pointer` marks a place across.
   */
  draw(lines, { across, up, empty, fromZero = false, log = false, range: shown = null, within = null, bands = [], pointer = null }) {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const context = fresh(this.canvas, width, height);
    context.font = "12px system-ui, sans-serif";
    const all = [...lines.flatMap((l) => l.y.filter((v) => v !== null)), ...bands.flatMap((b) => [...b.low, ...b.high])];
    const range = rangeOf(all, { cut: [0.002, 0.998], log, fixed: within });
    this.time = null;
    const xs = lines.flatMap((l) => (l.x.length > 0 ? [l.x[0], l.x[l.x.length - 1]] : []));
    if (!range || xs.length === 0) {
      context.fillStyle = theme("faint");
      context.textAlign = "center";
      context.fillText(empty, width / 2, height / 2);
      return;
    }
    range.diverging = false;
    if (fromZero) range.low = 0;
    if (fromZero && range.high <= 0) range.high = 1;
    const room = 0.06 * (range.high - range.low);
    if (!range.log) {
      if (!fromZero) range.low -= room;
      range.high += room;
    }
    let [first, last] = [Math.min(...xs), Math.max(...xs)];
    if (shown) [first, last] = shown;
    if (last <= first) [first, last] = [first - 0.5, last + 0.5];
    const time = { low: first, high: last, log: false };
    this.time = time;
    const place = (x, y) => [
      LEFT + position(time, x) * (width - LEFT - RIGHT),
      height - BOTTOM - Math.min(1.02, Math.max(-0.02, position(range, y))) * (height - TOP - BOTTOM),
    ];
    context.strokeStyle = theme("line");
    context.fillStyle = theme("faint");
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const [value, text] of ticks(range, 4)) {
      const [, y] = place(first, value);
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(width - RIGHT, y);
      context.stroke();
      context.fillText(text, LEFT - 6, y);
    }
    context.textAlign = "center";
    for (const [value, text] of ticks(time, 5)) context.fillText(text, place(value, range.low)[0], height - BOTTOM + 10);
    context.fillText(across, (LEFT + width - RIGHT) / 2, height - 8);
    context.textAlign = "left";
    context.fillText(up, 4, 8);
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, width - LEFT - RIGHT, height);
    context.clip();
    for (const band of bands) {
      context.globalAlpha = 0.3;
      context.fillStyle = band.colour;
      context.beginPath();
      band.x.forEach((x, i) => context.lineTo(...place(x, band.high[i])));
      for (let i = band.x.length - 1; i >= 0; i -= 1) context.lineTo(...place(band.x[i], band.low[i]));
      context.fill();
    }
    context.restore();
    if (pointer !== null && pointer >= first && pointer <= last) {
      const [x] = place(pointer, range.low);
      context.strokeStyle = theme("faint");
      context.beginPath();
      context.moveTo(x, TOP);
      context.lineTo(x, height - BOTTOM);
      context.stroke();
    }
    let from = width - RIGHT;
    context.textAlign = "right";
    for (const line of [...lines].reverse()) {
      context.save();
      context.beginPath();
      context.rect(LEFT, 0, width - LEFT - RIGHT, height);
      context.clip();
      context.strokeStyle = line.colour;
      context.lineWidth = 1.6;
      context.beginPath();
      let drawing = false;
      line.x.forEach((x, i) => {
        const y = line.y[i];
        if (y === null) {
          drawing = false;
          return;
        }
        const point = place(x, y);
        if (drawing) context.lineTo(...point);
        else context.moveTo(...point);
        drawing = true;
      });
      context.stroke();
      context.restore();
      if (line.x.length === 1 && line.y[0] !== null) {
        context.fillStyle = line.colour;
        context.fillRect(place(line.x[0], line.y[0])[0] - 2, place(line.x[0], line.y[0])[1] - 2, 4, 4);
      }
      const now = line.y.findLast((v) => v !== null);
      const text = `${line.name} ${short(now ?? NaN, 3)}`.trim();
      context.fillStyle = line.colour;
      context.fillText(text, from, 8);
      from -= context.measureText(text).width + 12;
    }
  }
}
