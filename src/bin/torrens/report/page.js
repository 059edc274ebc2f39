// Draws the page from the JSON block. Text of the directory is only ever set as text, never as markup.
"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const NS = "http://www.w3.org/2000/svg";
const put = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) node.setAttribute(name, value);
  for (const child of [].concat(children ?? [])) node.append(child);
  return node;
};
const el = (name, attributes, children) => put(document.createElement(name), attributes, children);
const svg = (name, attributes, children) => put(document.createElementNS(NS, name), attributes, children);
const grouped = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const few = (n) => n >= 100 ? grouped(n) : String(Number(n.toPrecision(3)));
const plural = (n, one) => grouped(n) + " " + one + (n === 1 ? "" : "s");
const size = (b) => { const u = ["B", "KiB", "MiB", "GiB", "TiB"]; let i = 0; while (b >= 1024 && i < 4) { b /= 1024; i++; } return (i ? b.toFixed(1) : b) + " " + u[i]; };
const span = (us) => us < 1000 ? us + " µs" : us < 1e6 ? (us / 1e3).toPrecision(3) + " ms" : us < 6e7 ? (us / 1e6).toPrecision(3) + " s" : us < 36e8 ? (us / 6e7).toPrecision(3) + " min" : us < 864e8 ? (us / 36e8).toPrecision(3) + " h" : (us / 864e8).toPrecision(3) + " days";
const stamp = (us) => { if (!us) return ""; const d = new Date(us / 1000); return isNaN(d) ? "" : d.toISOString().replace("T", " ").replace("Z", ""); };
const paint = (node, color, property) => { node.style[property || "fill"] = "var(--" + color + ")"; return node; };
const cacheTone = (name) => name === "active" ? "active" : name.startsWith("load") ? "loading" : "evicting";

let data = JSON.parse($("data").textContent);
const view = { axis: "lsn", lo: 0, hi: 1, follow: true, words: [], limit: 100 };
const place = (lsn, micros) => view.axis === "lsn" ? lsn : micros;
const extent = () => view.axis === "lsn" ? [data.start_lsn, Math.max(data.last_lsn, data.start_lsn + 1)] : [data.start_micros, Math.max(data.last_micros, data.start_micros + 1)];
const reset = () => { [view.lo, view.hi] = extent(); view.follow = true; };

// ---- filter -------------------------------------------------------------------------------------
const parse = (text) => text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
  const at = word.indexOf(":"), name = word.slice(0, at);
  return at > 0 && ["region", "kind", "peer", "cause", "lsn"].includes(name) ? [name, word.slice(at + 1)] : ["", word];
});
const wantsRecord = (r) => view.words.every(([name, value]) => {
  switch (name) {
    case "region": return r.regions.some((one) => String(one) === value);
    case "peer": return String(r.peer ?? "") === value;
    case "lsn": return String(r.lsn) === value;
    case "kind": return r.kind.toLowerCase().includes(value);
    case "cause": return r.cause.toLowerCase().includes(value);
    default: return r.text.includes(value);
  }
});
const wantsRegion = (region, text) => view.words.every(([name, value]) =>
  name === "region" ? String(region) === value : name === "" ? text.includes(value) : true);
const setFilter = (text) => { $("filter").value = text; filtered(); };
const filtered = () => { view.words = parse($("filter").value); view.limit = 100; drawTimeline(); drawLineage(); drawRecords(); };

// ---- axes ---------------------------------------------------------------------------------------
const ticks = (lo, hi, wanted) => {
  const raw = (hi - lo) / wanted, base = Math.pow(10, Math.floor(Math.log10(raw || 1)));
  let step = [1, 2, 5, 10].map((m) => m * base).find((s) => s >= raw) || 1;
  if (view.axis === "lsn") step = Math.max(1, Math.round(step));
  const out = [];
  for (let v = Math.ceil(lo / step) * step; v <= hi && out.length < 20; v += step) out.push(v);
  return out;
};
const tickText = (v) => {
  if (view.axis === "lsn") return grouped(v);
  const d = new Date(v / 1000).toISOString(), wide = view.hi - view.lo;
  return wide > 2 * 864e8 ? d.slice(5, 16).replace("T", " ") : wide > 60e6 ? d.slice(11, 19) : d.slice(14, 23);
};

// ---- timeline -----------------------------------------------------------------------------------
let LABEL = 92, hasPeers = true;
const ROW = 22, AXIS = 26;
// Room for the longest labels; without enough of it peers are only in the tips.
const labels = () => {
  const longest = (texts) => texts.reduce((most, text) => Math.max(most, String(text).length), 0) * 7.2 + 7.2;
  const regions = 8 + longest([...data.lives.map((l) => l.region), ...data.lineage.map((r) => r.id)]), both = regions + 18 + longest(data.lives.map((l) => l.peer));
  const most = Math.max(92, innerWidth * .4);
  hasPeers = both <= most;
  LABEL = Math.min(most, Math.max(92, hasPeers ? both : regions + 8));
};
const frame = (box, height, label) => {
  const width = Math.max(260, box.clientWidth - 2);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  const x = (v) => LABEL + (v - view.lo) / (view.hi - view.lo) * (width - LABEL - 12);
  for (const v of ticks(view.lo, view.hi, Math.max(2, Math.floor((width - LABEL) / 110)))) {
    const at = x(v);
    root.append(svg("line", { x1: at, x2: at, y1: AXIS - 6, y2: height, class: "grid" }));
    root.append(svg("text", { x: at, y: 14, class: "dim", "text-anchor": at > width - 40 ? "end" : "middle" }, tickText(v)));
  }
  for (const [boot, lsn, micros] of data.boots) {
    const v = place(lsn, micros);
    if (v < view.lo || v > view.hi) continue;
    const line = svg("line", { x1: x(v), x2: x(v), y1: AXIS - 6, y2: height, class: "boot" });
    line.append(svg("title", {}, `boot ${boot}, LSN ${lsn}`));
    root.append(line);
  }
  return { root, width, x };
};
const clip = (x, from, to, width) => { const a = Math.max(LABEL, x(from)), b = Math.min(width - 12, Math.max(x(to), x(from) + 2)); return b > LABEL && a < width - 12 ? [a, b] : null; };

function drawTimeline() {
  const box = $("timeline"), keep = box.scrollTop;
  const lives = data.lives.filter((life) => wantsRegion(life.region, life.text));
  const { root, width, x } = frame(box, AXIS + Math.max(1, lives.length) * ROW + 6, "Lives of regions");
  if (!lives.length) root.append(svg("text", { x: LABEL, y: AXIS + 15, class: "dim" }, "No region matches."));
  lives.forEach((life, index) => {
    const y = AXIS + index * ROW;
    const now = life.ended ? "ended by " + life.ended : life.stages.length ? "now " + life.stages[life.stages.length - 1][0] : "";
    const row = svg("g", { class: "row", tabindex: "0", role: "button", "aria-label": `Region ${life.region}, peer ${life.peer}, ${now}. Show its records.` });
    row.append(svg("rect", { class: "band", x: 0, y, width, height: ROW }));
    row.append(svg("text", { x: 8, y: y + 15 }, "r" + life.region));
    if (hasPeers) row.append(svg("text", { x: LABEL - 8, y: y + 15, class: "dim", "text-anchor": "end" }, "p" + life.peer));
    for (const [list, top, height, isCache] of [[life.stages, 3, 12, false], [life.caches, 16, 3, true]]) {
      for (const [name, fromLsn, fromMicros, toLsn, toMicros] of list) {
        const last = toLsn === null, [, end] = extent();
        const cut = clip(x, place(fromLsn, fromMicros), last ? end : place(toLsn, toMicros), width);
        if (!cut) continue;
        const bar = paint(svg("rect", { x: cut[0], y: y + top, width: Math.max(1, cut[1] - cut[0]), height, rx: 2 }), isCache ? cacheTone(name) : name);
        bar.append(svg("title", {}, `r${life.region} p${life.peer}: ${isCache ? "cache " : ""}${name}\nLSN ${fromLsn} ${last ? "to now" : "to " + toLsn}\n${stamp(fromMicros)}${last ? "" : " … " + stamp(toMicros)}`));
        row.append(bar);
        if (!isCache && name !== "normal" && cut[1] - cut[0] > name.length * 7 + 8) row.append(svg("text", { x: cut[0] + 5, y: y + 13, class: "on" }, name));
      }
    }
    if (life.ended) {
      const lastSpan = life.stages[life.stages.length - 1];
      if (lastSpan && lastSpan[3] !== null) { const at = x(place(lastSpan[3], lastSpan[4])); if (at >= LABEL && at < width - 12) row.append(paint(svg("text", { x: at + 3, y: y + 14 }, "×"), "bad")); }
    }
    const pick = () => setFilter("region:" + life.region);
    row.addEventListener("click", () => { if (!dragged) pick(); });
    row.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); pick(); } });
    root.append(row);
  });
  box.replaceChildren(root);
  box.scrollTop = keep;
  const out = [];
  if (data.lives_left_out) out.push(`${plural(data.lives_left_out, "older life").replace("lifes", "lives")} left out`);
  if (data.spans_left_out) out.push(`${plural(data.spans_left_out, "older span")} left out`);
  out.push("Choose a row to see its records. × is where a peer ended, a dashed line is an opening of the store. Drag to move, Ctrl and wheel to zoom; arrows, + and − work too.");
  $("n-timeline").textContent = out.join(". ");
}
function zoom(factor, center) {
  const [lo, hi] = extent(), middle = center ?? (view.lo + view.hi) / 2;
  const least = Math.max((hi - lo) / 1e5, view.axis === "lsn" ? 4 : 1000);
  const wide = Math.min(hi - lo, Math.max(least, (view.hi - view.lo) * factor));
  const part = (middle - view.lo) / (view.hi - view.lo);
  move(middle - wide * part, wide);
}
function move(from, wide) {
  const [lo, hi] = extent();
  view.lo = Math.max(lo, Math.min(from, hi - wide)); view.hi = view.lo + wide; view.follow = wide >= hi - lo;
  drawTimeline(); drawLineage();
}
let dragged = false;
function grab(box) {
  let start = null;
  const reach = () => box.clientWidth - LABEL - 14;
  box.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    const at = (e.clientX - box.getBoundingClientRect().left - LABEL) / reach();
    zoom(e.deltaY > 0 ? 1.3 : 1 / 1.3, view.lo + Math.min(1, Math.max(0, at)) * (view.hi - view.lo));
  }, { passive: false });
  box.addEventListener("pointerdown", (e) => { if (e.button === 0) { start = { x: e.clientX, lo: view.lo }; dragged = false; } });
  addEventListener("pointermove", (e) => {
    if (!start || (!dragged && Math.abs(e.clientX - start.x) < 5)) return;
    dragged = true;
    const wide = view.hi - view.lo;
    move(start.lo - (e.clientX - start.x) / reach() * wide, wide);
  });
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { start = null; setTimeout(() => { dragged = false; }); });
  box.tabIndex = 0;
  box.addEventListener("keydown", (e) => {
    const wide = view.hi - view.lo;
    if (e.key === "+" || e.key === "=") zoom(1 / 1.5); else if (e.key === "-") zoom(1.5);
    else if (e.key === "0") { reset(); drawTimeline(); drawLineage(); }
    else if (e.key === "ArrowLeft") move(view.lo - wide / 8, wide); else if (e.key === "ArrowRight") move(view.lo + wide / 8, wide);
    else return;
    e.preventDefault();
    box.focus({ preventScroll: true });
  });
}
function tools() {
  const button = (text, label, act, pressed) => { const b = el("button", { type: "button", "aria-label": label, "aria-pressed": pressed }, text); b.addEventListener("click", act); return b; };
  const axis = (name, text) => button(text, "Horizontal axis: " + text, () => { view.axis = name; reset(); tools(); drawTimeline(); drawLineage(); }, String(view.axis === name));
  $("tools").replaceChildren(axis("lsn", "By LSN"), axis("time", "By time"), button("−", "Zoom out", () => zoom(1.6)), button("+", "Zoom in", () => zoom(1 / 1.6)),
    button("All", "Show the whole history", () => { reset(); drawTimeline(); drawLineage(); }));
  const seen = new Set(data.lives.flatMap((life) => life.stages.map((s) => s[0])));
  const caches = new Set(data.lives.flatMap((life) => life.caches.map((s) => cacheTone(s[0]))));
  const item = (name, text) => el("li", {}, [paint(el("i", { "aria-hidden": "true" }), name, "background"), text]);
  $("legend").replaceChildren(...[...seen].map((name) => item(name, name)), ...[...caches].map((name) => item(name, "cache " + name)));
}

// ---- lineage ------------------------------------------------------------------------------------
function drawLineage() {
  const box = $("lineage"), keep = box.scrollTop;
  const direct = new Set(data.lineage.filter((r) => wantsRegion(r.id, r.text)).map((r) => r.id));
  const hasWords = view.words.length > 0, near = new Set(direct);
  if (hasWords) for (const e of data.edges) { if (direct.has(e.from)) near.add(e.to); if (direct.has(e.to)) near.add(e.from); }
  const wanted = data.lineage.filter((r) => near.has(r.id)), byId = new Map(wanted.map((r) => [r.id, r]));
  // Children stand right below their parent.
  const children = new Map(), isChild = new Set();
  for (const e of data.edges) if (e.by === "split" && byId.has(e.from) && byId.has(e.to) && !isChild.has(e.to)) { isChild.add(e.to); (children.get(e.from) || children.set(e.from, []).get(e.from)).push(e.to); }
  const order = [], placed = new Set(), waiting = wanted.filter((r) => !isChild.has(r.id)).map((r) => r.id).reverse();
  const visit = () => { while (waiting.length) { const id = waiting.pop(); if (placed.has(id)) continue; placed.add(id); order.push(id); waiting.push(...(children.get(id) || []).slice().reverse()); } };
  visit();
  for (const r of wanted) if (!placed.has(r.id)) { waiting.push(r.id); visit(); }
  const { root, width, x } = frame(box, AXIS + Math.max(1, order.length) * ROW + 6, "Which regions came of which");
  if (!order.length) root.append(svg("text", { x: LABEL, y: AXIS + 15, class: "dim" }, "No region matches."));
  const level = new Map(order.map((id, index) => [id, AXIS + index * ROW + ROW / 2]));
  const [, end] = extent();
  for (const id of order) {
    const r = byId.get(id), y = level.get(id), alive = r.standing !== null;
    const row = svg("g", { class: "row", tabindex: "0", role: "button", "aria-label": `Region ${id}, ${r.standing || "gone: " + (r.gone || "unknown")}. Show its records.` });
    row.append(svg("rect", { class: "band", x: 0, y: y - ROW / 2, width, height: ROW }), svg("text", { x: 8, y: y + 4 }, "r" + id));
    const cut = clip(x, place(r.first, r.first_micros), alive ? end : place(r.last, r.last_micros), width);
    if (cut) {
      const line = svg("line", { x1: cut[0], x2: cut[1], y1: y, y2: y, "stroke-width": alive ? 4 : 2, "stroke-linecap": "round", "stroke-dasharray": alive ? null : "5 4" });
      paint(line, alive ? r.standing : "uninitialized", "stroke");
      row.append(line);
    }
    row.append(svg("title", {}, `r${id} ${r.standing || "gone (" + (r.gone || "unknown") + ")"}\n${r.range || "keys not known"}\nepoch ${r.epoch || "not known"}\nfrom ${r.origin}, LSN ${r.first} … ${r.last}`));
    row.addEventListener("click", () => { if (!dragged) setFilter("region:" + id); });
    row.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); setFilter("region:" + id); } });
    root.append(row);
  }
  for (const e of data.edges) {
    if (!level.has(e.from) || !level.has(e.to)) continue;
    const v = place(e.lsn, e.micros);
    if (v < view.lo || v > view.hi) continue;
    const at = x(v), a = level.get(e.from), b = level.get(e.to), head = b > a ? -5 : 5;
    const group = svg("g", { "pointer-events": "visiblePainted" });
    group.append(paint(svg("path", { d: `M${at} ${a}C${at + 9} ${a} ${at - 9} ${b} ${at} ${b}`, fill: "none", "stroke-width": 1.5, "stroke-dasharray": e.fate === "skipped" ? "2 3" : null }), e.by === "split" ? "accent" : "merging", "stroke"));
    group.append(paint(svg("path", { d: `M${at - 3.5} ${b + head}L${at + 3.5} ${b + head}L${at} ${b}Z` }), e.by === "split" ? "accent" : "merging"));
    group.append(svg("title", {}, `${e.by}${e.fate ? " (" + e.fate + ")" : ""}: r${e.from} → r${e.to}, LSN ${e.lsn}`));
    root.append(group);
  }
  box.replaceChildren(root);
  box.scrollTop = keep;
  const note = ["Arrows lead from what was split or merged to what came of it; dashed regions are not on this store now"];
  if (data.lineage_left_out) note.push(plural(data.lineage_left_out, "region") + " that changed least recently left out");
  if (data.edges_left_out) note.push(plural(data.edges_left_out, "older arrow") + " left out");
  $("n-lineage").textContent = note.join(". ") + ".";
}

// ---- small charts -------------------------------------------------------------------------------
function bars(box, values, label, titles, ends, tone) {
  const width = Math.max(240, box.clientWidth), height = 140, most = Math.max(1, ...values), step = (width - 44) / values.length;
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const part of [0, .5, 1]) { const y = 114 - part * 100; root.append(svg("line", { x1: 40, x2: width - 4, y1: y, y2: y, class: "grid" })); if (part !== .5 || most > 1) root.append(svg("text", { x: 36, y: y + 4, class: "dim", "text-anchor": "end" }, most * part >= 1e6 ? (most * part / 1e6).toPrecision(2) + "M" : most * part >= 1e4 ? Math.round(most * part / 1e3) + "k" : String(Math.round(most * part)))); }
  values.forEach((value, index) => {
    if (!value) return;
    const tall = Math.max(2, value / most * 100);
    const bar = paint(svg("rect", { x: 40 + index * step, y: 114 - tall, width: Math.max(1, step - (step > 4 ? 1.5 : 0)), height: tall, rx: step > 6 ? 2 : 0 }), tone);
    bar.append(svg("title", {}, titles(index)));
    root.append(bar);
  });
  root.append(svg("text", { x: 40, y: 132, class: "dim" }, ends[0]), svg("text", { x: width - 4, y: 132, class: "dim", "text-anchor": "end" }, ends[1]));
  box.replaceChildren(root);
}
function lines(box, series, label, ends) {
  const width = Math.max(240, box.clientWidth), height = 140, most = Math.max(1, ...series.flatMap((s) => s.values));
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const part of [0, .5, 1]) { const y = 114 - part * 100; root.append(svg("line", { x1: 40, x2: width - 4, y1: y, y2: y, class: "grid" }), svg("text", { x: 36, y: y + 4, class: "dim", "text-anchor": "end" }, most === 1 && part === .5 ? "" : grouped(most * part))); }
  for (const s of series) {
    const step = (width - 44) / s.values.length;
    const d = s.values.map((v, i) => `${i ? "L" : "M"}${(40 + i * step).toFixed(1)} ${(114 - v / most * 100).toFixed(1)}H${(40 + (i + 1) * step).toFixed(1)}`).join("");
    root.append(paint(svg("path", { d, fill: "none", "stroke-width": 2, "stroke-dasharray": s.dash || null }), s.tone, "stroke"));
  }
  root.append(svg("text", { x: 40, y: 132, class: "dim" }, ends[0]), svg("text", { x: width - 4, y: 132, class: "dim", "text-anchor": "end" }, ends[1]));
  const legend = el("ul", { class: "legend" }, series.map((s) => el("li", {}, [paint(el("i", { "aria-hidden": "true" }), s.tone, "background"), s.name])));
  box.replaceChildren(root, legend);
}
const table = (head, rows) => el("table", {}, [el("thead", {}, el("tr", {}, head.map(([text, kind]) => el("th", { scope: "col", class: kind || null }, text)))),
  el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el("td", { class: head[i][1] || null }, cell ?? "")))))]);
const chooser = (text, filter) => { const b = el("button", { type: "button", title: "Filter by this" }, text); b.addEventListener("click", () => setFilter(filter)); return b; };

function drawCharts() {
  const ends = [stamp(data.start_micros), stamp(data.last_micros)].map((text) => innerWidth < 640 ? text.slice(5, 19) : text);
  bars($("rate"), data.slots.map((s) => s[0]), `Records over time, ${grouped(data.records)} in all`, (i) => `${plural(data.slots[i][0], "record")}, ${size(data.slots[i][1])}\nfrom ${stamp(data.start_micros + i * data.slot_micros)}`, ends, "normal");
  const seconds = Math.max(1e-6, (data.last_micros - data.start_micros) / 1e6);
  $("n-rate").textContent = `A bar is ${span(data.slot_micros)}. On average ${few(data.records / seconds)} records and ${size(Math.round(data.bytes / seconds))} a second. A group, which is one write and one sync, holds ${few(data.records / Math.max(1, data.groups))} records on average, ${grouped(data.group_max)} at most.`;
  if (data.pace.length) {
    const total = data.pace.reduce((sum, p) => sum + p[1], 0);
    bars($("pace"), data.pace.map((p) => p[1]), "Distribution of the time between groups", (i) => `up to ${span(data.pace[i][0])}: ${plural(data.pace[i][1], "group")} (${(100 * data.pace[i][1] / total).toPrecision(3)} %)`, [span(data.pace[0][0]), span(data.pace[data.pace.length - 1][0])], "witness");
  } else $("pace").replaceChildren(el("p", { class: "empty" }, "Fewer than two groups."));
  $("n-pace").textContent = `Median ${span(data.pace_p50)}, 99 % within ${span(data.pace_p99)}. The journal does not hold how long a sync took. This is the time between the first decisions of two groups that follow each other in one boot: idle time is in it, so it is no measure of a sync. The process that has the store open measures its syncs: torrens_engine_transition_seconds, step sync.`;
  lines($("cache"), [{ name: "regions on this store", values: data.samples.map((s) => s[0]), tone: "normal" }, { name: "caches that serve", values: data.samples.map((s) => s[1]), tone: "active" }, { name: "regions observed", values: data.samples.map((s) => s[2]), tone: "waiting-for-data", dash: "4 3" }], "Regions, caches and observed regions over time", ends);
  $("n-cache").textContent = data.caches_now.length ? "Caches now: " + data.caches_now.map(([n, c]) => `${grouped(c)} ${n}`).join(", ") + "." : "No region has a cache now.";
  if (data.observers.length) $("observers").replaceChildren(el("div", { class: "scroll" }, table([["Observer"], ["Added", "n"], ["Regions", "n"], ["State"]], data.observers.map((o) => [el("span", { class: "m" }, o.name), "LSN " + grouped(o.added), grouped(o.regions), o.paused ? "paused" : "on"]))));
  else $("observers").replaceChildren(el("p", { class: "empty" }, "Nobody observes this store now."));
  $("n-observers").textContent = (data.observers_left_out ? plural(data.observers_left_out, "observer") + " left out. " : "") + (data.observer_events.length ? "In the history: " + data.observer_events.map(([k, n]) => `${grouped(n)} ${k}`).join(", ") + "." : "The history holds no record of an observer.");
  $("kinds").replaceChildren(table([["Kind"], ["Records", "n"], ["Share", "n"], ["Bytes", "n"], ["Median size", "n"], ["99 %", "n"]], data.kinds.map((k) => [chooser(k.name, "kind:" + k.name), grouped(k.records), (100 * k.records / Math.max(1, data.records)).toFixed(1) + " %", size(k.bytes), size(k.p50), size(k.p99)])));
  $("files").replaceChildren(table([["File"], ["Size", "n"], ["Records", "n"], ["What"]], data.files.map((f) => [el("span", { class: "m" }, f.name), size(f.bytes), f.records === null ? "" : grouped(f.records), f.what])));
  $("n-files").textContent = data.files_left_out ? plural(data.files_left_out, "older segment") + " left out." : "";
}
function drawRecords() {
  const wanted = data.rows.filter(wantsRecord), shown = wanted.slice(0, view.limit);
  $("shown").textContent = `${grouped(wanted.length)} of ${plural(data.rows.length, "record")}`;
  const holder = $("records");
  holder.replaceChildren(shown.length ? table([["LSN", "n"], ["Time (UTC)"], ["Kind"], ["Region"], ["Epoch"], ["Cause"], ["What happened", "w"]], shown.map((r) => [
    grouped(r.lsn), stamp(r.micros), chooser(r.kind, "kind:" + r.kind), r.region === null ? "" : chooser("r" + r.region, "region:" + r.region), r.epoch, r.cause, r.behind ? "[behind damage] " + r.detail : r.detail])) : el("p", { class: "empty" }, "No record matches."));
  if (wanted.length > shown.length) { const more = el("button", { type: "button", class: "more" }, `Show ${Math.min(200, wanted.length - shown.length)} more`); more.addEventListener("click", () => { view.limit += 200; drawRecords(); }); holder.append(el("p", { class: "empty" }, more)); }
  $("n-records").textContent = data.rows_left_out ? `This page holds the newest ${plural(data.rows.length, "record")}; ${plural(data.rows_left_out, "older record")} left out: torrens dump shows them. The charts are about all of them.` : data.rows.length < data.records ? "Newest first. This page holds every record of the regions that were asked for." : "Newest first. This page holds every record of the journal.";
}
function drawSummary() {
  document.title = "Torrens report: " + data.verdict.name;
  $("title").textContent = data.dir;
  $("subtitle").textContent = [data.store, data.uuid, "looked at " + stamp(data.made_micros) + " UTC", data.writer].filter(Boolean).join(" · ");
  const v = data.verdict, tone = v.exit === 0 ? "ok" : v.exit === 3 ? "warn" : "bad";
  $("verdict").className = "card verdict " + tone;
  $("verdict").replaceChildren(el("strong", {}, v.name), el("p", {}, v.sentence), ...v.notes.map((n) => el("p", {}, n)));
  const tile = (name, value, small) => el("div", { class: "tile" }, [el("span", {}, name), el("b", {}, value), el("small", {}, small || "")]);
  const now = data.stages_now.map(([n, c]) => `${grouped(c)} ${n}`).join(" · ");
  $("tiles").replaceChildren(tile("Regions", grouped(data.stages_now.reduce((s, e) => s + e[1], 0)), now), tile("Records", grouped(data.records), `LSN ${grouped(data.start_lsn + 1)} … ${grouped(data.last_lsn)}`),
    tile("Journal", size(data.journal_bytes), plural(data.segments, "segment") + (tone === "bad" ? "" : ` · a restart replays ${plural(data.replays, "record")}`)), tile("Data", size(data.data_bytes), data.data_store), tile("Time covered", span(Math.max(0, data.last_micros - data.start_micros)), plural(data.boots_total, "opening") + " of the store"), tile("Gone", plural(data.tombstones, "tombstone"), plural(data.deletions, "pending deletion")));
  $("footer").textContent = `Made by torrens ${data.tool}. Times are UTC. The page needs no network and changed nothing in the directory.`;
}
function prepare() {
  for (const r of data.rows) r.text = [r.lsn, stamp(r.micros), r.kind, r.region === null ? "" : "r" + r.region, r.epoch, r.cause, r.detail].join(" ").toLowerCase();
  for (const l of data.lives) l.text = `r${l.region} p${l.peer} ${l.stages.map((s) => s[0]).join(" ")} ${l.caches.map((s) => "cache " + s[0]).join(" ")}`.toLowerCase();
  for (const r of data.lineage) r.text = `r${r.id} ${r.standing || "gone"} ${r.gone || ""} ${r.range || ""} ${r.origin}`.toLowerCase();
}
function draw() { prepare(); labels(); if (view.follow) reset(); drawSummary(); tools(); drawTimeline(); drawLineage(); drawCharts(); drawRecords(); }

// What was there stays on the page, and nobody takes it for what is there.
const lost = (why) => { $("verdict").hidden = true; $("lost").hidden = false; $("lost").replaceChildren(el("strong", {}, "not fresh"), el("p", {}, why + ". This is what was there at " + stamp(data.made_micros) + " UTC.")); };
let timer = 0;
$("filter").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filtered, 60); });
grab($("timeline")); grab($("lineage"));
let wide = innerWidth;
addEventListener("resize", () => { if (innerWidth !== wide) { wide = innerWidth; labels(); drawTimeline(); drawLineage(); drawCharts(); } });
draw();
if (document.body.dataset.live === "yes") setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch("report.json", { cache: "no-store" });
    const fresh = await answer.json();
    if (!answer.ok) { lost(fresh.error ? fresh.error.message : "torrens serve answers " + answer.status); return; }
    $("verdict").hidden = false; $("lost").hidden = true;
    if (fresh.last_lsn !== data.last_lsn || fresh.verdict.name !== data.verdict.name) { data = fresh; draw(); } else { data.made_micros = fresh.made_micros; data.writer = fresh.writer; drawSummary(); }
  } catch { lost("torrens serve does not answer"); }
}, 5000);
})();
