// The film player: scrubs P(y=1) fields and Vega-Lite charts together, inside the browser.
// One call per message from the server; the DOM of the first call is kept and updated in place.

const players = new WeakMap();
const FRAMES_PER_SECOND = 14;
const CELL_AREAS = ["a", "b", "c"];
// The class that Streamlit gives a widget's key; in focus, since a preset moves it too.
const LAMBDA_SLIDER = ".st-key-knob_weight_decay input[type=range]:focus";

export default function ({ parentElement, data, setTriggerValue }) {
  if (!parentElement.querySelector(".film")) return void inflate(data).then((bytes) => deliver(unpack(bytes)));
  let player = players.get(parentElement);
  if (!player) players.set(parentElement, (player = new Player(parentElement)));
  player.export = (asked) => setTriggerValue("export", asked);
  player.receive(unpack(data));
  return () => player.stop();
}

function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  header.fields = new Int8Array(bytes.buffer, bytes.byteOffset + 4 + length);
  return header;
}

// The second half of a film comes through a component of its own, after the picture; players pick it up by its key.
// The film over λ comes the same way, and serves every λ of its experiment.
function deliver(part) {
  window[part.axis ? "wdpAxis" : "wdpReel"] = part;
  window.dispatchEvent(new Event(part.axis ? "wdp-axis" : "wdp-reel"));
}

class Player {
  constructor(root) {
    this.root = root.querySelector(".film");
    this.table = this.root.querySelector(".table");
    this.charts = this.root.querySelector(".charts");
    this.slider = this.root.querySelector("input");
    this.label = this.root.querySelector("output");
    this.button = this.root.querySelector(".bar > button");
    this.looks = this.root.querySelector(".views");
    [...this.looks.children].forEach((button, i) => button.addEventListener("click", () => this.look(i === 1)));
    this.trained = 1; // how far through the training the slider stands, kept when a new film arrives
    this.views = [];
    this.turn = 0; // whose cursor moves next
    this.slider.addEventListener("input", () => {
      const frame = +this.slider.value;
      this.forget();
      this.stop();
      this.show(frame);
    });
    this.button.addEventListener("click", () => {
      this.forget();
      if (this.timer) this.stop();
      else this.play();
    });
    this.exporter = this.root.querySelector(".bar .export");
    this.exporter.addEventListener("click", () => this.ask(0));
    new ResizeObserver(() => this.film && this.drawFields()).observe(this.table);
    // What outlives the page that the player stands on ends with it.
    this.gone = new AbortController();
    const { signal } = this.gone;
    window.addEventListener("wdp-reel", () => this.onScreen() && this.takeReel(), { signal });
    window.addEventListener("wdp-axis", () => this.onScreen() && this.offerAxis(), { signal });
    // The slider reports to the server on release; what it says to a screen reader changes with every move.
    // Drawing waits for the next frame, so that a report leaves first.
    const slides = new MutationObserver((records) => {
      const slider = this.onScreen() && records.find(({ target }) => target.matches(LAMBDA_SLIDER))?.target;
      if (!slider) return;
      cancelAnimationFrame(this.foreseeing);
      this.foreseeing = requestAnimationFrame(() => this.foresee(parseFloat(slider.getAttribute("aria-valuetext"))));
    });
    slides.observe(document.body, { subtree: true, attributes: true, attributeFilter: ["aria-valuetext"] });
    signal.addEventListener("abort", () => { slides.disconnect(); this.clearCharts(); });
  }

  onScreen() {
    if (!this.root.isConnected) this.gone.abort();
    return this.root.isConnected;
  }

  // While λ's own slider moves, the axis already knows how training ends there; the server's film follows.
  foresee(weightDecay) {
    const axis = this.axis(), i = axis ? axis.values.indexOf(weightDecay) : -1;
    if (i < 0) return this.forget();
    if (!this.overLambda && this.trained < 1) return;
    if (this.root.dataset.foreseen === `${axis.key} ${weightDecay}`) return;
    if (this.overLambda) this.show(i);
    else if (weightDecay !== this.training.weight_decay) {
      this.film = axis;
      this.frame = i;
      this.drawFields();
      this.charts.classList.add("old");
    } else this.forget();
    this.root.dataset.foreseen = `${axis.key} ${weightDecay}`;
  }

  // Back from a foreseen picture to the training.
  forget() {
    if (!this.overLambda && this.training && this.film !== this.training) this.take(this.training);
  }

  // A new film is shown over training, or at its λ on the axis if that is what the visitor looks at.
  receive(film) {
    if (!this.training) this.trained = opening(film.steps);
    this.training = film;
    const axis = this.overLambda && this.axis();
    this.overLambda = !!axis;
    this.share = axis ? nearest(axis.values, film.weight_decay) / (axis.steps.length - 1) : this.trained;
    this.take(axis || film);
    this.offerAxis();
    const slider = document.querySelector(LAMBDA_SLIDER); // it may have moved on since
    if (slider) this.foresee(parseFloat(slider.getAttribute("aria-valuetext")));
  }

  axis() {
    const axis = window.wdpAxis;
    return axis && axis.key === this.training?.axis_key ? axis : null;
  }

  offerAxis() {
    const axis = this.axis();
    this.looks.hidden = !axis;
    [...this.looks.children].forEach((button, i) => button.setAttribute("aria-pressed", (i === 1) === !!this.overLambda));
    if (axis) this.root.dataset.axis = axis.key;
  }

  look(overLambda) {
    if (overLambda === !!this.overLambda) return;
    this.overLambda = overLambda;
    this.receive(this.training);
  }

  take(film) {
    this.stop();
    this.film = film;
    this.dark = isDark(this.root);
    this.palette = film.palette[this.dark ? "dark" : "light"];
    for (const [name, colour] of Object.entries(this.palette)) this.root.style.setProperty(`--wdp-${name}`, colour);
    this.slider.max = film.steps.length - 1;
    this.slider.parentElement.style.display = film.steps.length > 1 ? "" : "none";
    this.buildTable();
    this.show(Math.round(this.share * (film.steps.length - 1)));
    if (film.charts.length) this.showCharts();
    else this.charts.classList.add("old");
    this.root.dataset.picture = this.training.key;
    delete this.root.dataset.foreseen;
    this.takeReel();
  }

  showCharts() {
    const { key } = this.training;
    this.charts.classList.remove("old");
    this.buildCharts().then(() => { if (key === this.training.key) this.root.dataset.charts = key; });
  }

  // Before the reel arrives there is only the last step, whatever the slider says.
  now(series) {
    return series[series.length > 1 ? this.frame : 0];
  }

  takeReel() {
    const reel = window.wdpReel;
    if (!this.training || reel?.key !== this.training.key) return;
    Object.assign(this.training, reel);
    if (this.film !== this.training) return;
    this.drawFields();
    this.showCharts();
    this.root.dataset.reel = reel.key;
  }

  // The export menu of one figure, as it stands: the table is the first, where there is one.
  ask(figure) {
    const { steps, values } = this.film;
    this.export({ figure, step: steps[values ? 0 : this.frame], weight_decay: values ? values[this.frame] : null });
  }

  play() {
    const last = this.film.steps.length - 1;
    let start = null;
    const from = this.frame >= last ? 0 : this.frame;
    const tick = (now) => {
      start ??= now;
      const frame = Math.min(last, from + Math.floor(((now - start) / 1000) * FRAMES_PER_SECOND));
      if (frame !== this.frame) this.show(frame);
      if (frame < last) this.timer = requestAnimationFrame(tick);
      else this.stop();
    };
    this.timer = requestAnimationFrame(tick);
    this.button.textContent = "❚❚";
    this.button.setAttribute("aria-label", "Pause");
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.timer = null;
    this.button.textContent = "▶";
    this.button.setAttribute("aria-label", "Play the training");
  }

  show(frame) {
    if (!this.overLambda) this.film = this.training;
    const { steps, names } = this.film;
    this.frame = frame;
    this.share = steps.length > 1 ? frame / (steps.length - 1) : 1;
    if (!this.overLambda) this.trained = this.share;
    this.slider.value = frame;
    const name = names?.[frame] ?? `step ${steps[frame].toLocaleString("en")} of ${steps.at(-1).toLocaleString("en")}`;
    this.slider.setAttribute("aria-label", names ? "λ" : "Training step");
    this.slider.setAttribute("aria-valuetext", name);
    this.label.textContent = name;
    this.drawFields();
    this.moveCursors();
    this.root.dataset.step = steps[frame];
  }

  // One chart at a time, in turn, when there is time: with all of them a picture would take longer than a refresh of
  // the display.
  moveCursors() {
    this.moving ??= whenIdle(() => {
      this.moving = null;
      const step = this.film.steps[this.frame];
      const late = this.views.filter((chart) => chart.step !== step);
      if (!late.length) return;
      this.turn = (this.turn + 1) % late.length;
      late[this.turn].step = step;
      late[this.turn].view.signal("step", step).runAsync();
      this.moveCursors();
    });
  }

  // ---- the table of fields -------------------------------------------------------------------------------------
  buildTable() {
    const { columns, rows, panels, plain } = this.film;
    const shape = JSON.stringify([columns, !!plain, rows.map((row) => [row.title, row.cells, !!row.pair])]);
    this.table.hidden = this.exporter.hidden = !rows.length;
    if (this.shape !== shape) {
      this.shape = shape;
      this.cells = panels.map(() => null);
      this.heads = [];
      this.pairs = [];
      this.table.classList.toggle("plain", !!plain);
      this.table.classList.toggle("two", columns.length < 3);
      this.table.replaceChildren(this.columnHeads(columns), ...rows.map((row) => this.rowLine(row)));
    }
    rows.forEach((row, r) => this.head(r, row.title, row.notes));
  }

  head(r, title, notes) {
    this.heads[r].replaceChildren(element("strong", "", title), ...notes.map((note) => element("span", "", note)));
  }

  columnHeads(columns) {
    const line = element("div", "line");
    columns.forEach((column, i) => {
      const head = line.appendChild(element("div", "column", column.title));
      head.style.color = `var(--wdp-${column.tone})`;
      head.style.gridArea = CELL_AREAS[i];
    });
    return line;
  }

  rowLine(row) {
    const line = element("div", "line");
    this.heads.push(line.appendChild(element("div", "head")));
    row.cells.forEach((index, c) => {
      const cell = line.appendChild(element("figure", "cell"));
      cell.style.gridArea = CELL_AREAS[c];
      if (index === null) return;
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      this.cells[index] = { canvas, badge: element("div", "badge"), caption: element("figcaption") };
      cell.append(canvas, this.cells[index].badge, this.cells[index].caption);
    });
    const pair = line.appendChild(element("div", "pair"));
    if (row.pair) pair.append(element("b"), element("span"));
    this.pairs.push(pair);
    return line;
  }

  drawFields() {
    const { panels, rows, steps, names, notes, badges } = this.film;
    notes?.forEach((row, r) => this.head(r, rows[r].title, row[this.frame]));
    panels.forEach((panel, i) => {
      const cell = this.cells[i];
      this.drawField(cell.canvas, i);
      const badge = badges ? badges[i][this.frame] : panel.badge;
      cell.badge.textContent = badge ?? "";
      cell.badge.hidden = !badge;
      const parts = [
        ["test acc.", `${(100 * this.now(panel.accuracy)).toFixed(0)} %`],
        ["test loss", significant(this.now(panel.loss))],
        ["‖w‖", significant(this.now(panel.norm))],
      ];
      const name = panel.named ? [element("b", "name", panel.title)] : [];
      cell.caption.replaceChildren(...name, ...parts.map(([name, value]) => {
        const part = element("span", "", `${name} `);
        part.append(element("b", "", value));
        return part;
      }));
      cell.canvas.setAttribute("aria-label",
        `${panel.title} at ${names?.[this.frame] ?? `step ${steps[this.frame]}`}: decision field of P(y=1) with ` +
        parts.map((part) => part.join(" ")).join(", ") + (badge ? `; ${badge}` : ""));
    });
    rows.forEach((row, r) => {
      if (!row.pair) return;
      const [sign, text] = this.pairs[r].children;
      const apart = this.now(row.pair), equal = apart <= this.film.equal;
      sign.textContent = equal ? "=" : "≠";
      sign.setAttribute("aria-label", equal ? "equal" : "not equal");
      text.textContent = `max|Δw| ${scientific(apart)}`;
    });
  }

  drawField(canvas, index) {
    const { grid, fields, panels, scale } = this.film;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const size = grid * grid;
    const frame = scale.length > 1 ? this.frame : 0;
    const start = (frame * panels.length + index) * size;
    const values = fields.subarray(start, start + size);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    // Grid points are cell corners of the window, pixel centres of the small image: stretch by half a pixel each side.
    const sx = width / (grid - 1), sy = height / (grid - 1);
    context.drawImage(this.paint(values, scale[frame][index]), -sx / 2, -sy / 2, sx * grid, sy * grid);
    context.drawImage(this.pointsLayer(canvas, ratio), 0, 0);
    context.save();
    context.scale(ratio, ratio);
    this.drawContour(context, values, canvas.clientWidth / (grid - 1), canvas.clientHeight / (grid - 1));
    context.restore();
  }

  paint(values, scale) {
    const { grid } = this.film;
    this.small ??= document.createElement("canvas");
    if (this.small.width !== grid) this.small.width = this.small.height = grid;
    const context = this.small.getContext("2d", { willReadFrequently: true });
    const image = context.createImageData(grid, grid);
    const low = rgb(this.palette.class0), middle = rgb(this.palette.middle), high = rgb(this.palette.class1);
    const table = new Uint32Array(256);
    for (let v = -127; v <= 127; v++) {
      const t = Math.max(-0.999999, Math.min(0.999999, (v / 127) * scale));
      const p = 1 / (1 + Math.exp(-4 * Math.atanh(t)));
      const share = 0.8 * Math.abs(2 * p - 1), end = p < 0.5 ? low : high;
      const [r, g, b] = middle.map((m, i) => Math.round(m + share * (end[i] - m)));
      table[v & 255] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = table[values[i] & 255];
    context.putImageData(image, 0, 0);
    return this.small;
  }

  drawContour(context, values, sx, sy) {
    const { grid } = this.film;
    const path = new Path2D();
    const cross = (a, b) => a / (a - b);
    for (let y = 0; y < grid - 1; y++) {
      for (let x = 0; x < grid - 1; x++) {
        const i = y * grid + x;
        const a = values[i], b = values[i + 1], c = values[i + grid + 1], d = values[i + grid];
        const hits = [];
        if (a > 0 !== b > 0) hits.push([x + cross(a, b), y]);
        if (b > 0 !== c > 0) hits.push([x + 1, y + cross(b, c)]);
        if (d > 0 !== c > 0) hits.push([x + cross(d, c), y + 1]);
        if (a > 0 !== d > 0) hits.push([x, y + cross(a, d)]);
        for (let k = 0; k + 1 < hits.length; k += 2) {
          path.moveTo(hits[k][0] * sx, hits[k][1] * sy);
          path.lineTo(hits[k + 1][0] * sx, hits[k + 1][1] * sy);
        }
      }
    }
    context.lineCap = "round";
    context.lineWidth = 2.2;
    context.strokeStyle = this.palette.ink;
    context.stroke(path);
  }

  // The points are the same in every cell and at every λ: drawn once, copied often.
  pointsLayer({ width, height, clientWidth, clientHeight }, ratio) {
    const { train, test, window: shown } = this.film;
    const points = (this.film.points ??= JSON.stringify([shown, train, test]));
    const key = `${width} ${height} ${this.dark} ${points}`;
    if (this.points?.key !== key) {
      const layer = Object.assign(document.createElement("canvas"), { width, height }), context = layer.getContext("2d");
      context.scale(ratio, ratio);
      this.drawPoints(context, clientWidth, clientHeight);
      this.points = { key, layer };
    }
    return this.points.layer;
  }

  // One path a class and kind of point: a stroke for each of a thousand points would cost more than the field.
  drawPoints(context, width, height) {
    const { window: shown, train, test } = this.film;
    const radius = Math.max(2.2, Math.min(4.5, width / 62));
    const path = (points, label, size) => {
      const all = new Path2D();
      for (const [a, b, own] of points) {
        if (own !== label) continue;
        const x = ((a - shown.x[0]) / (shown.x[1] - shown.x[0])) * width;
        const y = ((shown.y[1] - b) / (shown.y[1] - shown.y[0])) * height;
        if (label) {
          all.moveTo(x, y - 1.25 * size);
          all.lineTo(x + 1.1 * size, y + 0.75 * size);
          all.lineTo(x - 1.1 * size, y + 0.75 * size);
          all.closePath();
        } else {
          all.moveTo(x + size, y);
          all.arc(x, y, size, 0, 2 * Math.PI);
        }
      }
      return all;
    };
    for (const label of [0, 1]) {
      const colour = this.palette[label ? "class1" : "class0"];
      context.globalAlpha = 0.55;
      context.lineWidth = 1;
      context.strokeStyle = colour;
      context.stroke(path(test, label, 0.5 * radius));
      const points = path(train, label, radius);
      context.globalAlpha = 1;
      context.lineWidth = 1.2;
      context.fillStyle = colour;
      context.fill(points);
      context.strokeStyle = this.palette.outline;
      context.stroke(points);
    }
  }

  // ---- Vega-Lite charts ----------------------------------------------------------------------------------------
  async buildCharts() {
    const film = this.film;
    if (!film.charts.length) return this.charts.replaceChildren();
    const embed = await loadVega();
    if (film !== this.film) return;
    const config = film.config[this.dark ? "dark" : "light"];
    const texts = film.charts.map((chart) => JSON.stringify([chart.spec, this.dark]));
    if (texts.length !== this.views.length) this.clearCharts();
    this.charts.classList.toggle("led", texts.length > 2);
    await Promise.all(film.charts.map(async (chart, i) => {
      const old = this.views[i];
      if (old?.text === texts[i]) {
        // One chart a frame, the first at once: drawing five together would hold the first one back.
        for (let wait = i; wait; wait--) await painted();
        if (film !== this.film) return;
        for (const [name, rows] of Object.entries(chart.data)) old.view.data(name, rows);
        old.holder.setAttribute("aria-label", chart.alt);
        old.step = film.steps[this.frame];
        await old.view.signal("step", old.step).runAsync();
        return;
      }
      old?.view.finalize();
      const holder = old?.holder ?? this.framed(i);
      holder.setAttribute("role", "img");
      holder.setAttribute("aria-label", chart.alt);
      holder.style.height = `${size(chart, holder).height}px`;
      const spec = JSON.parse(this.dark ? recolour(JSON.stringify(chart.spec), film.palette) : JSON.stringify(chart.spec));
      const options = { config, actions: false, renderer: "canvas", tooltip: false, logLevel: 1 };
      const { view } = await embed(holder, { ...spec, ...size(chart, holder), background: "transparent", datasets: chart.data }, options);
      const step = film.steps[this.frame];
      this.views[i] = { view, holder, text: texts[i], step };
      await view.signal("step", step).runAsync();
      if (!chart.square) new ResizeObserver(() => view.resize().runAsync()).observe(holder);
    }));
  }

  // A place for a chart, with an export button of its own.
  framed(i) {
    const frame = this.charts.appendChild(element("div", "frame")), holder = frame.appendChild(element("div", "chart"));
    const button = frame.appendChild(element("button", "export", "Export"));
    button.type = "button";
    button.setAttribute("aria-label", `Export figure ${i + 1} of the charts`);
    button.addEventListener("click", () => this.ask(i + (this.film.rows.length ? 1 : 0)));
    return holder;
  }

  clearCharts() {
    for (const { view } of this.views) view.finalize();
    this.views = [];
    this.charts.replaceChildren();
  }
}

// A square chart has one unit on both axes: what axes and title take is given back, so that circles are round.
function size(chart, holder) {
  if (!chart.square) return { width: "container", height: chart.spec.height };
  const width = Math.min(holder.clientWidth, 560);
  return { width, height: width + 20 };
}

function whenIdle(work) {
  return window.requestIdleCallback ? requestIdleCallback(work, { timeout: 60 }) : setTimeout(work, 30);
}

// The next frame, or a moment in a tab that paints none.
function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(resolve);
    setTimeout(resolve, 100);
  });
}

// How far through the training a figure's link stands.
function opening(steps) {
  const at = new URLSearchParams(location.search).get("at");
  return at === null || steps.length < 2 ? 1 : nearest(steps, +at) / (steps.length - 1);
}

function nearest(values, value) {
  return values.reduce((best, other, i) => (Math.abs(other - value) < Math.abs(values[best] - value) ? i : best), 0);
}

function significant(value) {
  if (value === null) return "–";
  if (value === 0) return "0.0";
  if (value >= 1e4) return scientific(value);
  return value >= 100 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function scientific(value) {
  if (value === 0) return "0";
  return value >= 0.01 && value < 1000 ? value.toPrecision(2) : value.toExponential(0).replace("e-", "e−").replace("e+", "e");
}
