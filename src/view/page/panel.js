// One map on the page: its values as colours, a colour bar, a scale bar, what is marked.

import { fresh, LINES, position, rangeOf, readable, roundBelow, short, theme, ticks } from "./scale.js";

export class Panel {
  /** `told` is {name, title, unit, log, fixed}; `asked` are the page's answers to what people do with the map. */
  constructor(told, about, colours, asked) {
    Object.assign(this, { told, about, colours, range: null, data: null });
    this.figure = document.createElement("figure");
    this.figure.tabIndex = 0;
    this.figure.dataset.name = told.name;
    const unit = told.unit ? ` (${told.unit})` : "";
    this.figure.innerHTML = `<figcaption><span><b></b> <small></small></span><output></output></figcaption>
      <div class="map"><canvas class="values" role="img"></canvas><canvas class="bar" aria-hidden="true"></canvas></div>`;
    this.figure.querySelector("b").textContent = told.name;
    this.figure.querySelector("small").textContent = `${told.title}${unit}`;
    this.figure.querySelector(".values").setAttribute("aria-label", `Map of ${told.name}: ${told.title}${unit}`);
    this.output = this.figure.querySelector("output");
    this.canvas = this.figure.querySelector(".values");
    this.bar = this.figure.querySelector(".bar");
    this.hidden = document.createElement("canvas");
    this.listen(asked);
  }

  /** Height of a map over its width, on the page. */
  get aspect() {
    const [rows, columns] = this.about.shape;
    const { y, x } = this.about.spacing;
    const ratio = y && x ? Math.min(8, Math.max(1 / 8, y.value / x.value)) : 1;
    return (rows / columns) * ratio;
  }

  get size() {
    const width = this.canvas.clientWidth;
    return [width, width * this.aspect];
  }

  /** The pixel of the map under a point of the canvas. */
  pixel(event, view) {
    const [width, height] = this.size;
    return {
      y: view.y0 + (event.offsetY / height) * (view.y1 - view.y0),
      x: view.x0 + (event.offsetX / width) * (view.x1 - view.x0),
    };
  }

  listen({ view, zoom, move, mark, point }) {
    let start = null;
    const canvas = this.canvas;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(Math.sign(event.deltaY) * 0.2), this.pixel(event, view()));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      start = { ...this.pixel(event, view()), shift: event.shiftKey, moved: false, left: event.offsetX, top: event.offsetY };
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = this.pixel(event, view());
      point(here);
      if (!start) return;
      if (Math.hypot(event.offsetX - start.left, event.offsetY - start.top) > 4) start.moved = true;
      if (!start.moved) return;
      if (start.shift) point(here, { from: start, to: here });
      else move(start.y - here.y, start.x - here.x);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!start) return;
      const here = this.pixel(event, view());
      if (!start.moved) mark(here, here);
      else if (start.shift) mark(start, here);
      start = null;
    });
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("pointercancel", () => { start = null; });
  }

  /** Take in a picture: {values, from, step, shape, to}. */
  show(data, hold) {
    this.data = data;
    if (!hold || !this.range) this.range = rangeOf(data.values, this.told);
    const [rows, columns] = data.shape;
    const image = new ImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const missing = word(...hex(theme("missing")));
    const table = this.words();
    for (let i = 0; i < pixels.length; i += 1) {
      const value = data.values[i];
      const at = this.range && Number.isFinite(value) ? position(this.range, value) : NaN;
      pixels[i] = Number.isNaN(at) ? missing : table[Math.min(255, Math.max(0, Math.round(at * 255)))];
    }
    Object.assign(this.hidden, { width: columns, height: rows });
    this.hidden.getContext("2d").putImageData(image, 0, 0);
  }

  words() {
    const bytes = this.range?.diverging ? this.colours.diverging : this.colours.sequential;
    return Uint32Array.from({ length: 256 }, (_, i) => word(...bytes.slice(3 * i, 3 * i + 3)));
  }

  /** The value that is drawn at a pixel of the map. */
  valueAt({ y, x }) {
    const { from, to, step, shape, values } = this.data ?? {};
    if (!values || y < from[0] || x < from[1] || y >= to[0] || x >= to[1]) return null;
    return values[Math.floor((y - from[0]) / step) * shape[1] + Math.floor((x - from[1]) / step)];
  }

  /** Draw the part of the map in `view` with the marks, and the value at `pointer`. */
  draw(view, marks, pointer, drag) {
    const [width, height] = this.size;
    if (width < 2) return;
    this.canvas.style.height = `${height}px`;
    this.bar.style.height = `${height}px`;
    const context = fresh(this.canvas, width, height);
    this.paint(context, width, height, view, marks, pointer, drag);
    this.paintBar(fresh(this.bar, this.bar.clientWidth, height), height);
    const value = pointer ? this.valueAt(pointer) : null;
    this.output.textContent = value === null ? "" : `${short(value)}${Number.isFinite(value) && this.told.unit ? ` ${this.told.unit}` : ""}`;
  }

  paint(context, width, height, view, marks, pointer, drag) {
    const scale = [height / (view.y1 - view.y0), width / (view.x1 - view.x0)];
    const place = (y, x) => [(x - view.x0) * scale[1], (y - view.y0) * scale[0]];
    context.fillStyle = theme("card");
    context.fillRect(0, 0, width, height);
    if (this.data) {
      const { from, to, step, shape } = this.data;
      context.save();
      context.beginPath();
      context.rect(...place(from[0], from[1]), (to[1] - from[1]) * scale[1], (to[0] - from[0]) * scale[0]);
      context.clip();
      context.imageSmoothingEnabled = false;
      context.drawImage(this.hidden, ...place(from[0], from[1]), shape[1] * step * scale[1], shape[0] * step * scale[0]);
      context.restore();
    }
    const box = (area, colour, text) => {
      const [left, top] = place(area.y0, area.x0);
      const [right, bottom] = place(area.y1, area.x1);
      const pad = Math.max(0, 3 - (right - left) / 2);
      for (const [line, style] of [[4, "#ffffffcc"], [2, colour]]) {
        context.lineWidth = line;
        context.strokeStyle = style;
        context.strokeRect(left - pad, top - pad, right - left + 2 * pad, bottom - top + 2 * pad);
      }
      if (text) label(context, text, right + pad + 4, top - pad + 4, "left");
    };
    marks.forEach(({ area, colour, number }) => box(area, colour, String(number)));
    if (drag) box(drag, LINES[0], "");
    if (pointer) {
      const [x, y] = place(pointer.y, pointer.x);
      context.lineWidth = 1;
      context.strokeStyle = "#ffffffaa";
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, height);
      context.moveTo(0, y);
      context.lineTo(width, y);
      context.stroke();
    }
    this.paintScale(context, width, height, scale[1]);
  }

  /** A bar of a round length, where the size of a pixel is known. */
  paintScale(context, width, height, scale) {
    const step = this.about.spacing.x;
    if (!step) return;
    const unit = pretty(step.unit ?? "");
    const length = roundBelow((0.25 * width / scale) * step.value);
    const across = (length / step.value) * scale;
    const [factor, name] = readable(length, unit);
    const [left, y] = [12, height - 14];
    for (const [line, style] of [[6, "#000000aa"], [3, "#ffffff"]]) {
      context.lineWidth = line;
      context.strokeStyle = style;
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(left + across, y);
      context.stroke();
    }
    label(context, `${short(length * factor, 3)}${name ? ` ${name}` : " (unitless)"}`, left, y - 14, "left");
  }

  paintBar(context, height) {
    if (!this.range) return;
    const table = this.range.diverging ? this.colours.diverging : this.colours.sequential;
    const [top, bottom] = [8, height - 8];
    for (let y = top; y < bottom; y += 1) {
      const i = 3 * Math.min(255, Math.round(255 * (bottom - 1 - y) / (bottom - top - 1)));
      context.fillStyle = `rgb(${table[i]} ${table[i + 1]} ${table[i + 2]})`;
      context.fillRect(0, y, 14, 1);
    }
    const ends = [[this.range.above, top - 1, -7, 255], [this.range.below, bottom + 1, 7, 0]];
    for (const [there, y, tip, i] of ends) {
      if (!there) continue;
      context.fillStyle = `rgb(${table[3 * i]} ${table[3 * i + 1]} ${table[3 * i + 2]})`;
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(14, y);
      context.lineTo(7, y + tip);
      context.fill();
    }
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.fillStyle = context.strokeStyle = theme("ink");
    context.lineWidth = 1;
    for (const [value, text] of ticks(this.range, Math.max(2, height / 60))) {
      const y = bottom - position(this.range, value) * (bottom - top);
      context.beginPath();
      context.moveTo(14, y);
      context.lineTo(18, y);
      context.stroke();
      context.fillText(text, 21, y);
    }
  }
}

/** Text that is readable on any colour. */
function label(context, text, x, y, align) {
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = "#000000bb";
  context.strokeText(text, x, y);
  context.fillStyle = "#ffffff";
  context.fillText(text, x, y);
}

/** `um` as people write it. */
export const pretty = (unit) => unit.replace(/\bu(?=[a-zA-Z])/g, "µ");

const word = (r, g, b) => (0xff << 24) | (b << 16) | (g << 8) | r;
const hex = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
