// Ranges of values, round ticks and colours; the same rules as in the PNG files.

/** Percentiles are taken from about so many values: sorting all of a map takes longer than drawing it. */
const SAMPLE = 16384;

/** The range of the finite values: 2 to 98 % of them, or all where little lies outside; null without one. */
export function rangeOf(values, { log = false, fixed = null, cut = [0.02, 0.98] } = {}) {
  let [least, most] = [Infinity, -Infinity];
  // An odd stride meets every column of a map with an even number of them.
  const stride = Math.max(1, Math.floor(values.length / SAMPLE)) | 1;
  const sample = [];
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > most) most = value;
    if (i % stride === 0) sample.push(value);
  }
  if (least > most) return null;
  const finite = Float64Array.from(sample.length > 0 ? sample : [least, most]).sort();
  if (fixed) return { low: fixed[0], high: fixed[1], log: false, diverging: false, below: false, above: false };
  const at = (share) => finite[Math.round(share * (finite.length - 1))];
  let [low, high] = cut.map(at);
  const room = 0.15 * (high - low);
  if (least >= low - room) low = least;
  if (most <= high + room) high = most;
  const resolved = 1e-5 * Math.max(Math.abs(low), Math.abs(high));
  if (high - low <= resolved) {
    const around = resolved > 0 ? 1e4 * resolved : 1;
    [low, high] = [low - around, high + around];
  }
  const [small, large] = [Math.abs(low), Math.abs(high)].sort((a, b) => a - b);
  const diverging = !log && low < 0 && high > 0 && small > 0.1 * large;
  if (diverging) [low, high] = [-large, large];
  return { low, high, log: log && low > 0 && high > 3 * low, diverging, below: least < low, above: most > high };
}

/** Where a value lies between 0 (low) and 1 (high). */
export function position(range, value) {
  return range.log
    ? Math.log(Math.max(value, 1e-300) / range.low) / Math.log(range.high / range.low)
    : (value - range.low) / (range.high - range.low);
}

/** 1, 2 or 5 times a power of ten, the nearest above. */
function roundStep(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((f) => f * power >= value * (1 - 1e-9));
}

/** 1, 2 or 5 times a power of ten, the nearest below. */
export function roundBelow(value) {
  const power = 10 ** Math.floor(Math.log10(value * (1 + 1e-9)));
  return power * [5, 2, 1].find((f) => f * power <= value * (1 + 1e-9));
}

/** About `count` round numbers in the range, as [value, text]. */
export function ticks(range, count) {
  const { low, high, log } = range;
  if (log) {
    const span = Math.log10(high / low);
    const digits = span > 3 ? [1] : high / low < 30 ? [1, 2, 3, 5, 7] : [1, 2, 5];
    const every = Math.max(1, Math.ceil(span / count));
    const found = [];
    for (let d = Math.floor(Math.log10(low)); d <= Math.ceil(Math.log10(high)); d += 1) {
      if (span > 3 && ((d % every) + every) % every !== 0) continue;
      for (const digit of digits) {
        const value = digit * 10 ** d;
        if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push([value, short(value, 2)]);
      }
    }
    return found;
  }
  const step = roundStep((high - low) / Math.max(count, 1));
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const largest = Math.max(Math.abs(low), Math.abs(high));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9 && found.length < 50; i += 1) {
    const value = i * step;
    const plain = largest >= 1e-3 && largest < 1e5;
    found.push([value, i === 0 ? "0" : plain ? value.toFixed(Math.min(decimals, 9)) : exponent(value, 2)]);
  }
  return found;
}

/** A number with `digits` significant digits, as people write it. */
export function short(value, digits = 4) {
  if (!Number.isFinite(value)) return "no value";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return exponent(value, digits);
  return String(Number(value.toPrecision(digits)));
}

function exponent(value, digits) {
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(power)}`;
}

const LADDERS = [["pm", "nm", "µm", "mm"], ["ns", "µs", "ms", "s"]];

/** The unit in which a value is a number below 1000, and the factor to it. */
export function readable(value, unit) {
  const ladder = LADDERS.find((l) => l.includes(unit));
  if (!ladder) return [1, unit];
  let [factor, at] = [1, ladder.indexOf(unit)];
  while (at + 1 < ladder.length && value * factor >= 1000) {
    factor /= 1000;
    at += 1;
  }
  return [factor, ladder[at]];
}

/** A colour of the page's theme. */
export const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Colours of marks and lines that colour-blind people tell apart (Okabe and Ito). */
export const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/** A canvas with as many pixels as the screen has for it, cleared. */
export function fresh(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
