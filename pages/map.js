// The λ × η map: two maps and the losses over λ under each; one row of η at a time, chosen by pointing, by the arrow
// keys or by the slider. A click, or Enter, asks the server to open the cell.

const atlases = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  let atlas = atlases.get(parentElement);
  if (!atlas) atlases.set(parentElement, (atlas = new Atlas(parentElement)));
  atlas.open = (cell) => setTriggerValue("cell", cell);
  atlas.export = (figure) => setTriggerValue("export", { figure });
  atlas.take(data);
  return () => atlas.root.isConnected || atlas.clear();
}

class Atlas {
  constructor(root) {
    this.root = root.querySelector(".atlas");
    this.slider = this.root.querySelector("input");
    this.sides = [...this.root.querySelectorAll("section")].map((section, i) => new Side(section, i, this));
    this.slider.addEventListener("input", () => this.choose(+this.slider.value));
  }

  // A short header of this visitor's own, then what everybody shares, deflated.
  async take(bytes) {
    const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    const own = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    this.latest = own.key;
    const shared = JSON.parse(new TextDecoder().decode(await inflate(bytes.subarray(4 + length))));
    if (this.latest === own.key) this.receive({ ...shared, ...own });
  }

  clear() {
    for (const side of this.sides) side.clear();
  }

  receive(data) {
    this.data = data;
    data.sides.forEach((side, i) => (side.map.data.here = data.here[i]));
    this.dark = isDark(this.root);
    const palette = data.palette[this.dark ? "dark" : "light"];
    for (const [name, colour] of Object.entries(palette)) this.root.style.setProperty(`--wdp-${name}`, colour);
    this.root.querySelector(".ramp").style.background = `linear-gradient(90deg, ${data.colours.join(", ")})`;
    this.root.querySelector(".low").textContent = data.low;
    this.root.querySelector(".high").textContent = data.high;
    if (this.pair !== data.pair) {
      this.pair = data.pair;
      this.slider.value = data.rows[0];
      this.sides.forEach((side, i) => (side.row = data.rows[i]));
    }
    Promise.all(this.sides.map((side, i) => side.receive(data.sides[i]))).then(() => {
      this.root.dataset.picture = this.root.dataset.charts = data.key;
    });
    this.label();
  }

  choose(row) {
    for (const side of this.sides) {
      side.row = row;
      side.point(null, true);
    }
    this.label();
  }

  label() {
    const names = new Set(this.sides.map((side, i) => this.data.sides[i].etas[side.row]));
    const text = `η = ${[...names].join(" and ")}`;
    this.root.querySelector("output").textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
  }
}

class Side {
  constructor(section, number, atlas) {
    this.number = number;
    this.atlas = atlas;
    this.map = section.querySelector(".map");
    this.curve = section.querySelector(".curve");
    this.words = section.querySelector("p");
    section.querySelectorAll(".export").forEach((button, i) =>
      button.addEventListener("click", () => atlas.export(2 * i + number)));
    this.views = {};
    this.texts = {};
    this.map.addEventListener("pointermove", (event) => this.point(this.under(event)));
    this.map.addEventListener("pointerleave", () => this.point(null));
    this.map.addEventListener("click", (event) => this.ask(this.under(event)));
    this.map.addEventListener("blur", () => this.point(null));
    this.map.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver((all) => all.forEach(({ target }) => this.fit(target)));
  }

  async fit(holder) {
    const view = await this.views[holder === this.map ? "map" : "curve"];
    view?.resize().runAsync();
  }

  async clear() {
    this.sizes.disconnect();
    for (const view of Object.values(this.views)) (await view).finalize();
    this.views = {};
    this.texts = {};
    this.curves = null;
  }

  async receive(side) {
    this.side = side;
    this.cells = new Map(side.map.data.cells.map((cell) => [`${cell.row} ${cell.col}`, cell]));
    this.losses = new Map((side.curve?.data.curves ?? []).map((loss) => [`${loss.kind} ${loss.row} ${loss.col}`, loss]));
    await this.draw("map", side.map);
    const curves = `${side.curves} ${this.atlas.dark}`; // they change a seed at a time
    if (side.curve && curves !== this.curves) await this.draw("curve", side.curve);
    this.curves = curves;
    this.curve.classList.toggle("old", !side.curve);
    this.point(this.cell ?? null, true);
  }

  async draw(name, chart) {
    const { data, dark } = this.atlas;
    const holder = this[name], text = JSON.stringify([chart.spec, dark]);
    const keys = name === "map" ? " Arrow keys move over the cells, Enter opens one." : "";
    holder.setAttribute("aria-label", chart.alt + keys);
    if (this.texts[name] === text) {
      const view = await this.views[name];
      for (const [rows, values] of Object.entries(chart.data)) view.data(rows, values);
      return void (await view.runAsync());
    }
    this.texts[name] = text;
    const old = this.views[name];
    this.views[name] = loadVega().then(async (embed) => {
      (await old)?.finalize();
      const spec = JSON.parse(dark ? recolour(JSON.stringify(chart.spec), data.palette) : JSON.stringify(chart.spec));
      const options = { config: data.config[dark ? "dark" : "light"], actions: false, renderer: "canvas", tooltip: false, logLevel: 1 };
      const { view } = await embed(holder, { ...spec, width: "container", background: "transparent", datasets: chart.data }, options);
      this.sizes.observe(holder);
      view.signal("row", this.row);
      return view.runAsync();
    });
    this.view = name === "map" ? await this.views[name] : this.view;
    await this.views[name];
  }

  // The cell under a pointer, or null outside the map.
  under(event) {
    if (!this.view) return null;
    const frame = this.map.querySelector("canvas").getBoundingClientRect(), origin = this.view.origin();
    const col = Math.round(this.view.scale("x").invert(event.clientX - frame.left - origin[0]));
    const row = Math.round(this.view.scale("y").invert(event.clientY - frame.top - origin[1]));
    return this.cells.has(`${row} ${col}`) ? { row, col } : null;
  }

  // Only what the keys say is read aloud: a pointer crosses many cells.
  point(cell, anyway = false, aloud = "off") {
    if (!anyway && cell?.row === this.cell?.row && cell?.col === this.cell?.col) return;
    this.cell = cell;
    const row = cell ? cell.row : this.row;
    this.signals("map", { row: cell ? row : -1, col: cell ? cell.col : -1 });
    this.signals("curve", { row });
    const text = cell ? this.described(cell) : this.side?.words ?? "";
    this.words.setAttribute("aria-live", aloud);
    if (this.words.textContent !== text) this.words.textContent = text;
    if (this.side) this.curve.setAttribute("aria-label", `Loss of ${this.side.title} over λ at η = ${this.side.etas[row]}`);
  }

  async signals(name, values) {
    const view = await this.views[name];
    if (!view) return;
    for (const [signal, value] of Object.entries(values)) view.signal(signal, value);
    view.runAsync();
  }

  described({ row, col }) {
    const { etas } = this.side, { lambdas } = this.atlas.data, cell = this.cells.get(`${row} ${col}`);
    const place = `η = ${etas[row]}, λ = ${lambdas[col]}`;
    if (!cell.own) return `${place}: not trained yet. Click to open.`;
    const test = this.losses.get(`test ${row} ${col}`), train = this.losses.get(`train ${row} ${col}`);
    const band = test && test.least !== test.most ? ` (seeds ${short(test.least)}–${short(test.most)})` : "";
    const fitted = train ? `, train loss ${short(train.loss)}` : "";
    return `${place}: test loss ${short(cell.loss)}${band}${fitted}${cell.gone ? ", diverged" : ""}. Click to open.`;
  }

  key(event) {
    const move = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Enter") return this.ask(this.cell);
    if (event.key === "Escape") return this.point(null);
    if (!move) return;
    event.preventDefault();
    const last = this.side.etas.length - 1, inside = (place) => Math.max(0, Math.min(last, place));
    const from = this.cell ?? { row: this.row, col: inside(this.side.col) };
    const to = this.cell ? { row: inside(from.row + move[0]), col: inside(from.col + move[1]) } : from;
    if (this.cells.has(`${to.row} ${to.col}`)) this.point(to, true, "polite");
  }

  ask(cell) {
    if (cell) this.atlas.open({ variant: this.number, ...cell });
  }
}

function short(loss) {
  if (loss === null) return "–";
  return loss >= 1e4 ? loss.toExponential(0).replace("e+", "e") : loss >= 0.01 ? loss.toPrecision(3) : loss.toPrecision(2);
}
