"use strict";

const SAMPLES = 60;
const HEIGHT = 190;
const ROOM = { left: 58, right: 14, top: 14, bottom: 30 };

function shape(name, attributes, text) {
  const element = document.createElementNS(document.querySelector("svg").namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The first of 1, 2, 5, 10, 20 ... that is not smaller.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.9999);
}

const inMs = (value) => `${Number(value.toPrecision(2))} ms`;

// One line through the samples, { at, ms }; where ms is null Redis did not answer, which is hatched and said.
function drawLatency(svg, samples) {
  const width = Math.max(280, svg.clientWidth || 600);
  const values = samples.map((sample) => sample.ms).filter((ms) => ms !== null);
  const top = roundUp(Math.max(0.1, ...values));
  const [left, right, bottom] = [ROOM.left, width - ROOM.right, HEIGHT - ROOM.bottom];
  const step = (right - left) / (SAMPLES - 1);
  const x = (index) => right - (samples.length - 1 - index) * step;
  const y = (ms) => bottom - (ms / top) * (bottom - ROOM.top);
  const parts = [];

  for (const ms of [0, top / 2, top]) {
    parts.push(shape("line", { x1: left, x2: right, y1: y(ms), y2: y(ms), class: "grid" }));
    parts.push(shape("text", { x: left - 8, y: y(ms) + 4, "text-anchor": "end" }, inMs(ms)));
  }
  const oldest = samples.length ? Math.round((samples.at(-1).at - samples[0].at) / 1000) : 0;
  const first = samples.length ? Math.max(left + 24, Math.min(x(0), right - 90)) : left + 24;
  if (oldest) parts.push(shape("text", { x: first, y: HEIGHT - 8, "text-anchor": "middle" }, `${oldest} s ago`));
  parts.push(shape("text", { x: right, y: HEIGHT - 8, "text-anchor": "end" }, "now"));

  let line = [];
  let gap = null;
  const endLine = () => {
    if (line.length > 1) parts.push(shape("polyline", { points: line.join(" "), class: "line" }));
    else if (line.length) {
      const [cx, cy] = line[0].split(",");
      parts.push(shape("circle", { cx, cy, r: 2, class: "dot" }));
    }
    line = [];
  };
  const endGap = (end) => {
    if (gap === null) return;
    const from = Math.max(left, x(gap) - step / 2);
    const wide = Math.min(right, x(end) + step / 2) - from;
    parts.push(shape("rect", { x: from, y: ROOM.top, width: wide, height: bottom - ROOM.top, fill: "url(#hatch)", class: "gap" }));
    if (wide > 90) {
      parts.push(shape("rect", { x: from + wide / 2 - 38, y: 76, width: 76, height: 22, class: "plate" }));
      parts.push(shape("text", { x: from + wide / 2, y: 91, "text-anchor": "middle" }, "no answer"));
    }
    gap = null;
  };
  samples.forEach(({ ms }, index) => {
    if (ms === null) {
      endLine();
      gap ??= index;
    } else {
      endGap(index - 1);
      line.push(`${x(index).toFixed(1)},${y(ms).toFixed(1)}`);
    }
  });
  endLine();
  endGap(samples.length - 1);

  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.replaceChildren(...parts);
}

// The same in words.
function sayLatency(samples) {
  const values = samples.map((sample) => sample.ms).filter((ms) => ms !== null);
  const missing = samples.length - values.length;
  if (!samples.length) return "No sample yet.";
  const seconds = Math.round((samples.at(-1).at - samples[0].at) / 1000);
  if (seconds === 0) return values.length ? `Now ${inMs(values.at(-1))}.` : "No round trip yet.";
  const gaps = missing ? ` Redis did not answer at ${missing} of ${samples.length} looks.` : "";
  if (!values.length) return `The last ${seconds} s: no round trip.${gaps}`;
  const last = samples.at(-1).ms;
  const now = last === null ? "no answer" : inMs(last);
  return `The last ${seconds} s: ${inMs(Math.min(...values))} to ${inMs(Math.max(...values))}, now ${now}.${gaps}`;
}

// `part` of `whole` as a bar's length.
function drawBar(svg, part, whole) {
  const share = whole ? (100 * part) / whole : 0;
  svg.firstElementChild.setAttribute("width", `${part ? Math.max(share, 0.5) : 0}%`);
}
