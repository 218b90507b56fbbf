// A plot of lines over numbers that grow.

import { fresh, position, rangeOf, short, theme, ticks } from "./scale.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [58, 12, 24, 34];

export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** Lines are {name, colour, x: [...], y: [...]}; missing values are null. */
  draw(lines, { across, up, empty, fromZero = false, log = false }) {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const context = fresh(this.canvas, width, height);
    context.font = "12px system-ui, sans-serif";
    const all = lines.flatMap((l) => l.y.filter((v) => v !== null));
    const range = rangeOf(all, { cut: [0.002, 0.998], log });
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
    if (last <= first) [first, last] = [first - 0.5, last + 0.5];
    const time = { low: first, high: last, log: false };
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
    let from = width - RIGHT;
    context.textAlign = "right";
    for (const line of [...lines].reverse()) {
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
      if (line.x.length === 1 && line.y[0] !== null) {
        context.fillStyle = line.colour;
        context.fillRect(place(line.x[0], line.y[0])[0] - 2, place(line.x[0], line.y[0])[1] - 2, 4, 4);
      }
      const now = line.y.findLast((v) => v !== null);
      const text = `${line.name} ${short(now ?? NaN, 3)}`;
      context.fillStyle = line.colour;
      context.fillText(text, from, 8);
      from -= context.measureText(text).width + 12;
    }
  }
}
