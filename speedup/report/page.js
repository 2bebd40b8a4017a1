"use strict";
// The page's own script: figures in the colours of the screen, sliders that evaluate the formulas, downloads.
// `formulas` and `harmonic` stand before it; they are printed from the formulas that Python uses.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const live = page.live;
  const one = (id) => document.getElementById(id);
  const screenIs = (query) => window.matchMedia(query);
  const SAME = 1e-9;

  // Numbers as the answer writes them.
  const three = (value) => String(Number(value.toPrecision(3)));
  const ratio = (value) => (value < 999.5 ? three(value) : Math.round(value).toLocaleString("en-US"));
  const percent = (value) => `${Math.round(100 * value)}%`;
  const money = (value) => `${ratio(value)} USD`;
  const scaled = (value, steps) => {
    const [factor, unit] = steps.find(([least]) => value >= least) || steps.at(-1);
    return `${ratio(value / factor)} ${unit}`;
  };
  const seconds = (value) => scaled(value, [[1, "s"], [1e-3, "ms"], [1e-6, "us"]]);
  const bytes = (value) => scaled(value, [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]);
  const rates = [[1e12, "Tbit/s"], [1e9, "Gbit/s"], [1e6, "Mbit/s"], [1e3, "kbit/s"], [1, "bit/s"]];
  const asMany = (value) => value >= live.counts.at(-1);
  const written = {
    s: seconds,
    B: bytes,
    "B/s": (value) => `${scaled(8 * value, rates)} (${bytes(value)}/s)`,
    k: (value) => (asMany(value) ? "as many as workers" : String(value)),
    "": String,
  };

  // Sliders: a list of steps, or fiftieths of a decade to both sides of where they start.
  const valueOf = (slider) => {
    const step = Number(one(slider.id).value);
    if (slider.of) return slider.of[step];
    return step === 0 ? slider.start : Number((slider.start * 10 ** (step / 50)).toPrecision(3));
  };
  const settings = () => {
    const x = { transfer: 1, payload: 1, grad: 1, shards: null, workers: 0 };
    for (const slider of live.sliders) {
      const value = valueOf(slider);
      const by = value / slider.start;
      if (slider.id === "bandwidth") x.transfer /= by;
      if (slider.id === "t_comm") x.transfer *= by;
      if (slider.id === "payload") [x.transfer, x.payload] = [x.transfer * by, by];
      if (slider.id === "t_grad") x.grad = by;
      if (slider.id === "workers") x.workers = value;
      if (slider.id === "shards") x.shards = asMany(value) ? null : value;
      const shown = written[slider.unit](value);
      one(`${slider.id}-value`).textContent = shown;
      one(slider.id).setAttribute("aria-valuetext", shown);
    }
    return x;
  };

  // The model: t_train of a kind of plan at a count, added up over the parts of the run.
  const at = (value, i) => (Array.isArray(value) ? value[i] : value);
  const ways = (part, x) => [part.up, part.down].map((time) => part.latency + (time - part.latency) * x.transfer);
  const symbols = (kind, own, part, i, x) => {
    const n = live.counts[i];
    const v = { N: n, D: part.batches, k: x.shards ?? n, t_intra: part.intra * x.payload };
    for (const name in own) v[name] = at(own[name], i);
    [v.t_up, v.t_down] = ways(part, x);
    const moved = { up: v.t_up - part.latency, slower: Math.max(v.t_up, v.t_down), mean: (v.t_up + v.t_down) / 2 };
    v.t_comm = moved[kind.moves];
    const codec = kind.alone ? 0 : part.codec * (kind.split ? n : 1);
    v.t_grad = (v.t_grad - codec) * x.grad + codec;
    return v;
  };
  const timed = (j, i, x) => {
    const kind = live.kinds[j];
    let [time, which] = [0, 0];
    for (const part of live.parts) {
      const v = symbols(kind, part.kinds[j], part, i, x);
      const tried = kind.formulas.map((index) => formulas[index](v));
      const least = Math.min(...tried);
      if (part === live.parts[0]) which = tried.findIndex((value) => value <= least * (1 + SAME));
      time += least;
    }
    return { time, which };
  };
  const worth = (j, i, x) => {
    const [kind, goal, n] = [live.kinds[j], live.goal, live.counts[i]];
    const { time, which } = timed(j, i, x);
    const speedup = (live.batches * live.t_grad * x.grad) / time;
    const later = time * at(kind.later, i);
    const cost = later * at(kind.price, i);
    const beyond = [
      goal.deadline === null ? 0 : later / goal.deadline - 1,
      goal.budget === null ? 0 : cost / goal.budget - 1,
      goal.least ? (goal.least * n) / speedup - 1 : 0,
      at(kind.fits, i) ? 0 : Infinity,
    ];
    const excess = Math.max(0, ...beyond.map((by) => by - 1e-12));
    const score = goal.cost ? cost : later;
    return { kind, j, n, time, which, speedup, efficiency: speedup / n, later, cost, excess, score };
  };
  const better = (a, b) =>
    a.excess < b.excess - SAME || (a.excess < b.excess + SAME && a.score < b.score * (1 - SAME));
  const alone = live.kinds.findIndex((kind) => kind.alone);
  const rivals = (i) =>
    [...live.kinds.keys()].filter((j) => live.kinds[j].there[i] && (alone < 0 || j === alone || live.counts[i] > 1));
  const best = (x) => {
    const counts = [...live.counts.keys()].filter((i) => live.counts[i] <= x.workers);
    const tried = counts.flatMap((i) => rivals(i).map((j) => worth(j, i, x)));
    return tried.reduce((a, b) => (better(b, a) ? b : a));
  };
  const described = (found, x) => {
    if (found.kind.alone) return found.kind.words[0];
    const shards = x.shards ?? found.n;
    const words = found.kind.words[found.which].replace("{k}", shards);
    return `${found.n} worker${found.n === 1 ? "" : "s"}, ${shards === 1 ? words.replace("shards", "shard") : words}`;
  };
  const sentence = (found, x) => {
    const goal = live.goal;
    if (!goal.plain) {
      const missed = found.excess ? "No plan keeps all limits; the nearest: " : "";
      const paid = goal.priced ? `, ${money(found.cost)}` : "";
      return `${missed}Use ${described(found, x)}${goal.batch}: ${seconds(found.later)} ${goal.until}${paid}.`;
    }
    if (found.kind.alone) return `Use one worker: ${live.batches} batches take ${seconds(found.time)}.`;
    const gained = `speedup ${ratio(found.speedup)}, efficiency ${percent(found.efficiency)}`;
    return `Use ${described(found, x)}: ${gained}, ${seconds(found.time)} for ${live.batches} batches.`;
  };

  // Figures: of Python, or with numbers of the sliders put in; in another template on a dark screen.
  const figure = (name, change) => {
    const dark = screenIs("(prefers-color-scheme: dark)").matches && !screenIs("print").matches;
    const { data, layout } = structuredClone(page.figures[name]);
    if (change) change(data, layout);
    Plotly.react(one(name), data, { ...layout, template: page.templates[dark ? "dark" : "light"] }, page.config);
  };
  const of = (data, meta) => data.filter((trace) => trace.meta === meta);
  const band = (x, found) =>
    live.counts.map((_, i) => {
      if (!found.kind.there[i]) return [null, null];
      const drawn = live.draws.map(([grad, transfer]) => {
        const off = { ...x, grad: x.grad * grad, transfer: x.transfer * transfer };
        return (live.batches * live.t_grad * off.grad) / timed(found.j, i, off).time;
      });
      drawn.sort((a, b) => a - b);
      return [0.05, 0.95].map((part) => drawn[Math.round(part * (drawn.length - 1))]);
    });
  const curves = (x, found) => (data, layout) => {
    of(data, "curve").forEach((trace, j) => {
      const { there } = live.kinds[j];
      trace.y = live.counts.map((_, i) => (there[i] ? worth(j, i, x).speedup : null));
    });
    const ends = band(x, found);
    ["low", "high"].forEach((meta, end) => (of(data, meta)[0].y = ends.map((pair) => pair[end])));
    Object.assign(of(data, "choice")[0], { x: [found.n], y: [found.speedup] });
    const places = some("live-curves-table").map((n) => live.counts.indexOf(n));
    const told = (y) => (y === null ? "-" : ratio(y));
    fill("live-curves-table", of(data, "curve").map(({ name, y }) => [name, ...places.map((i) => told(y[i]))]));
    Object.assign(layout.shapes[0], { x0: x.workers, x1: x.workers });
  };
  const here = (x) => ways(live.parts[0], x).reduce((a, b) => a + b) / 2 / (live.parts[0].t_grad * x.grad);
  const winner = (i, x) => {
    const tried = rivals(i).map((j) => worth(j, i, x));
    if (alone >= 0 && live.counts[i] > 1) tried.push(worth(alone, live.counts.indexOf(1), x));
    return tried.reduce((a, b) => (better(b, a) ? b : a));
  };
  const map = (x) => (data) => {
    const [cells] = of(data, "cells");
    const first = (n, share) => winner(live.counts.indexOf(n), { ...x, grad: (x.grad * here(x)) / share });
    const won = cells.y.map((n) => cells.x.map((share) => first(n, share)));
    const shares = some("live-map-table");
    fill("live-map-table", cells.y.map((n) => [n, ...shares.map((share) => first(n, share).kind.label)]));
    cells.z = won.map((row) => row.map(({ kind }) => kind.server));
    cells.text = won.map((row) => row.map(({ kind, speedup }) => `${kind.label}: speedup ${ratio(speedup)}`));
    of(data, "letters").forEach((trace, server) => {
      const inner = (row, y) => row.slice(1, -1).flatMap((is, i) => (is === server ? [[cells.x[i + 1], cells.y[y]]] : []));
      const own = cells.z.flatMap(inner);
      const step = Math.ceil(own.length / 7);
      const shown = own.filter((_, place) => place % step === (own.length % step) >> 1);
      [trace.x, trace.y] = [0, 1].map((end) => shown.map((cell) => cell[end]));
      trace.text = shown.map(() => trace.text);
      of(data, "key")[server].visible = cells.z.flat().includes(server);
    });
    Object.assign(of(data, "choice")[0], { x: [here(x)], y: [x.workers] });
  };

  // The interactive part, drawn anew when a slider moves; a table stands beside every figure.
  const fill = (name, rows, chosen) => {
    const cell = (kind, text) => Object.assign(document.createElement(kind), { textContent: text });
    one(name).tBodies[0].replaceChildren(...rows.map(([title, ...cells], place) => {
      const row = cell("tr", "");
      row.append(Object.assign(cell("th", title), { scope: "row" }), ...cells.map((text) => cell("td", text)));
      row.className = place === chosen ? "chosen" : "";
      return row;
    }));
  };
  const some = (name) => [...one(name).tHead.rows[0].cells].slice(1).map((head) => Number(head.textContent));
  const say = (x, found) => {
    one("live-answer").textContent = sentence(found, x);
    const [up, down] = ways(live.parts[0], x).map(seconds);
    const sent = up === down ? `t_comm = ${up}` : `t_up = ${up}, t_down = ${down}`;
    one("live-times").textContent = `${sent}, t_comm / t_grad = ${three(here(x))}`;
    one("live-count").textContent = String(x.workers);
    fill("live-table", live.kinds.map((kind, j) => {
      const i = live.counts.indexOf(kind.alone ? 1 : x.workers);
      if (i < 0 || !kind.there[i]) return [kind.label, ...some("live-table").map(() => "-")];
      const it = worth(j, i, x);
      const wanted = [...(live.goal.later ? [seconds(it.later)] : []), ...(live.goal.priced ? [money(it.cost)] : [])];
      return [kind.label, ratio(it.speedup), percent(it.efficiency), seconds(it.time), ...wanted];
    }), found.kind.alone || found.n === x.workers ? found.j : null);
  };
  let [rest, next] = [0, 0];
  const move = () => {
    const x = settings();
    const found = best(x);
    say(x, found);
    figure("live-curves", curves(x, found));
    // The map takes longest: it waits until the slider rests.
    clearTimeout(rest);
    rest = setTimeout(() => figure("live-map", map(x)), 80);
  };
  const draw = () => {
    Object.keys(page.figures).filter((name) => !name.startsWith("live-")).forEach((name) => figure(name));
    move();
  };
  const soon = () => {
    cancelAnimationFrame(next);
    next = requestAnimationFrame(move);
  };

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const table = () => {
    const { rows } = page.answer;
    const columns = Object.keys(rows[0]);
    return [columns, ...rows.map((row) => columns.map((name) => row[name] ?? ""))].map((row) => row.join(",")).join("\n");
  };
  one("save-csv")?.addEventListener("click", () => save("speedup-table.csv", "text/csv", `${table()}\n`));
  const json = () => save("speedup-recommendation.json", "application/json", JSON.stringify(page.answer, null, 1));
  one("save-json")?.addEventListener("click", json);
  live.sliders.forEach((slider) => one(slider.id).addEventListener("input", soon));
  one("back").addEventListener("click", () => (one("sliders").reset(), move()));
  // Paper has another width, too, which Plotly takes for a new figure alone.
  const anew = () => (Object.keys(page.figures).forEach((name) => Plotly.purge(one(name))), draw());
  for (const query of ["(prefers-color-scheme: dark)", "print"]) screenIs(query).addEventListener("change", anew);
  document.documentElement.classList.add("scripted");
  draw();
})();
