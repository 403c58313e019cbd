// What the film and the map share: the chart library, the theme, elements.

function loadVega() {
  window.wdpVegaEmbed ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("app/static/vega.js", document.baseURI).href;
    script.onload = () => resolve(window.vegaEmbed);
    script.onerror = () => reject(new Error("The chart library did not load."));
    document.head.append(script);
  });
  return window.wdpVegaEmbed;
}

function element(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function isDark(node) {
  const parts = getComputedStyle(node).getPropertyValue("--st-background-color").trim();
  const [r, g, b] = parts.startsWith("#") ? rgb(parts) : (parts.match(/\d+/g) ?? [255, 255, 255]).map(Number);
  return 0.3 * r + 0.6 * g + 0.1 * b < 128;
}

function recolour(text, palette) {
  for (const name of Object.keys(palette.light)) text = text.replaceAll(palette.light[name], palette.dark[name]);
  return text;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
