"use strict";
// 3-D event displays: the page gives the data as JSON; this draws truth and predictions side by side.
(function () {
  const GREY = "#9a9a9a";
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const floats = (text) => new Float32Array(bytes(text));
  const whole = (text, n) => { const b = bytes(text); return b.byteLength === 2 * n ? new Int16Array(b) : new Int32Array(b); };
  const element = (tag, attributes, parent) => {
    const e = Object.assign(document.createElement(tag), attributes);
    if (parent) parent.appendChild(e);
    return e;
  };
  const options = (select, names) => names.forEach((name, i) => element("option", { value: i, textContent: name }, select));

  function decode(event) {
    if (event.ready) return event;
    for (const name of ["x", "y", "z", "energy"]) event[name] = floats(event[name]);
    for (const name of ["layer", "particle", "size", "purity"]) event[name] = whole(event[name], event.x.length);
    for (const name of Object.keys(event.features)) event.features[name] = floats(event.features[name]);
    event.shares = sharesOf(event.shares);
    for (const c of event.clusterings) { c.labels = whole(c.labels, event.x.length); c.shares = sharesOf(c.shares); }
    event.ready = true;
    return event;
  }

  // Hit -> [[owner, percent], ...] for hits that have several owners
  function sharesOf(stored) {
    const found = new Map();
    if (!stored) return found;
    const [hit, owner, percent] = ["hit", "owner", "percent"].map((name) => whole(stored[name], stored.n));
    hit.forEach((i, k) => { if (!found.has(i)) found.set(i, []); found.get(i).push([owner[k], percent[k]]); });
    return found;
  }

  // Symbols where something is known of tracks: charged, neutral; open ones for clusters of no particle of their own
  const symbol = (kind, extra) => (kind === 1 ? "circle" : kind === 2 ? "square" : extra ? "diamond" : "circle") + (kind && extra ? "-open" : "");

  // One group of hits per particle or cluster: {name, colour, diamond, hits}
  function groupsOf(event, side, palette) {
    const label = side < 0 ? event.particle : event.clusterings[side].labels;
    const names = side < 0 ? event.particles : event.clusterings[side].names;
    const kinds = (side < 0 ? event.kinds : event.clusterings[side].kinds) || [];
    const number = (k) => (side < 0 ? k : event.clusterings[side].colours[k]);
    const found = new Map();
    label.forEach((k, i) => (found.has(k) ? found.get(k).push(i) : found.set(k, [i])));
    // Those with a track and no hits have a line, so that they want a name too.
    const own = side < 0 ? event.tracks.map((t) => t.particle) : event.clusterings[side].tracks || [];
    own.forEach((k) => { if (k >= 0 && !found.has(k)) found.set(k, []); });
    return [...found.keys()]
      .sort((a, b) => (a < 0) - (b < 0) || number(a) - number(b))
      .map((k) => ({
        name: k < 0 ? (side < 0 ? "unknown" : "noise") : names[k],
        colour: k < 0 ? GREY : palette[number(k)],
        number: k < 0 ? -1 : number(k),
        symbol: k < 0 ? "circle" : symbol(kinds[k], side >= 0 && event.truth && number(k) >= event.particles.length),
        hits: found.get(k),
      }));
  }

  function wrong(event, side) {
    if (side < 0 || !event.truth) return () => true;
    const c = event.clusterings[side];
    return (i) => event.particle[i] >= 0 && (c.labels[i] < 0 || c.colours[c.labels[i]] !== event.particle[i]);
  }

  function hover(event, i, sides, data) {
    const p = event.particle[i];
    const lines = [
      `<b>hit ${i}</b>, layer ${event.layer[i]}`,
      `energy ${Number(event.energy[i].toPrecision(4))} ${data.unit}`,
      `x ${event.x[i].toFixed(1)}, y ${event.y[i].toFixed(1)}, z ${event.z[i].toFixed(1)} cm`,
    ];
    const shared = (shares, names) => shares.slice(0, 5).map(([k, percent]) => `   ${percent} % ${names[k]}`);
    const owners = event.shares.get(i);
    for (const name of Object.keys(event.features)) lines.push(`${name} ${event.features[name][i].toPrecision(4)}`);
    if (event.truth && owners) lines.push("<b>Truth</b>", ...shared(owners, event.particles));
    else if (event.truth)
      lines.push(p < 0 ? "particle unknown" : `${event.particles[p]} (${event.purity[i]} % of the hit)`);
    for (const s of sides) {
      const c = event.clusterings[s], k = c.labels[i], parts = c.shares.get(i), name = `<b>${data.names[s]}</b>`;
      if (parts) lines.push(name, ...shared(parts, c.names));
      else lines.push(`${name}: ${k < 0 ? "noise" : c.names[k]}`);
    }
    return lines.join("<br>");
  }

  // What hits are coloured by, as a number; null where it is not known
  function valueOf(event, by) {
    if (by === "energy") return (i) => Math.log10(Math.max(event.energy[i], 1e-6));
    if (by === "layer") return (i) => event.layer[i];
    const values = event.features[by];
    return (i) => (values && Number.isFinite(values[i]) ? values[i] : null);
  }

  function traces(event, side, sides, data, view) {
    const keep = view.onlyWrong ? wrong(event, side) : () => true;
    const out = view.by ? [] : groupsOf(event, side, data.palette).map((g) => [g, g.hits.filter(keep)]);
    if (view.by) out.push([{ name: "hits" }, Array.from(event.energy.keys()).filter(keep)]);
    const value = valueOf(event, view.by);
    const drawn = out.map(([g, hits]) => ({
      type: "scatter3d", mode: "markers", name: g.name, showlegend: false, visible: !view.hidden.has(g.number),
      x: hits.map((i) => event.z[i]), y: hits.map((i) => event.x[i]), z: hits.map((i) => event.y[i]),
      text: hits.map((i) => hover(event, i, sides, data)), hovertemplate: "%{text}<extra></extra>",
      marker: {
        size: hits.map((i) => event.size[i] / (String(g.symbol).startsWith("square") ? 12 : 10)), opacity: 0.9, line: String(g.symbol).endsWith("open") ? { width: 2.5, color: g.colour } : { width: 0 }, symbol: g.symbol || "circle",
        ...(view.by
          ? { color: hits.map(value), colorscale: "Viridis",
              colorbar: { title: { text: view.by === "energy" ? `log10(energy / ${data.unit || "unit"})` : view.by, side: "right" }, thickness: 12, tickfont: { color: style("--text") } } }
          : { color: g.colour }),
      },
    }));
    // A track has the colour of its candidate where the clustering has candidates, else of its particle.
    const own = side < 0 ? null : event.clusterings[side].tracks;
    event.tracks.forEach((t, i) => {
      const c = own ? own[i] : -1;
      const number = own ? (c < 0 ? -1 : event.clusterings[side].colours[c]) : t.particle;
      const text = own && c >= 0 ? `${t.name}<br>${event.clusterings[side].names[c]}` : t.name;
      t.lines.forEach((line, part) => drawn.push({
        type: "scatter3d", mode: "lines", name: t.name, showlegend: false, visible: !view.hidden.has(number),
        x: line[2], y: line[0], z: line[1], hovertemplate: `${text}<extra></extra>`,
        line: { color: number < 0 ? GREY : data.palette[number], width: part ? 2.5 : 7 },
      }));
    });
    return drawn;
  }

  function layout(event, camera, far) {
    const axis = (text, range) => ({
      title: { text }, range, color: style("--soft"), gridcolor: style("--grid"), backgroundcolor: style("--wall"),
      showbackground: true, zeroline: false, tickfont: { size: 10 }, nticks: 6, showspikes: false,
    });
    const { range: [x, y, z], aspect } = far ? event.whole : event.frame;
    return {
      margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", font: { color: style("--text"), size: 12 },
      hoverlabel: { align: "left" },
      scene: {
        xaxis: axis("z [cm]", z), yaxis: axis("x [cm]", x), zaxis: axis("y [cm]", y), camera,
        aspectmode: "manual", aspectratio: { x: aspect[2], y: aspect[0], z: aspect[1] },
      },
    };
  }

  // As near as the panel has room for: plotly fits the height alone, so that narrow panels would cut titles off.
  function firstCamera(plot) {
    const center = { x: -0.05, y: 0, z: -0.06 }, way = { x: 0.6, y: -2.1, z: 0.81 };
    const far = Math.min(Math.max(1.25 * plot.clientHeight / Math.max(plot.clientWidth, 1), 1), 1.6);
    const eye = Object.fromEntries(Object.entries(way).map(([k, v]) => [k, center[k] + far * v]));
    return { eye, center, up: { x: 0, y: 0, z: 1 } };
  }

  function start(root) {
    const data = JSON.parse(root.querySelector("script").textContent);
    let by = data.by, camera = null, current = 0, onlyWrong = false, far = false, moving = false;
    const bar = element("div", { className: "bar" }, root);
    const choice = element("select", { ariaLabel: "event" }, bar);
    options(choice, data.events.map((e) => e.name));
    const back = element("button", { type: "button", textContent: "‹ previous" }, bar);
    const next = element("button", { type: "button", textContent: "next ›" }, bar);
    const reset = element("button", { type: "button", textContent: "reset view" }, bar);
    for (const b of [choice, back, next]) b.hidden = data.events.length < 2;
    const truth = data.events.some((e) => e.truth);
    const check = (words, change) => {
      const label = element("label", {}, bar);
      const box = element("input", { type: "checkbox" }, label);
      label.append(" " + words);
      box.onchange = () => { change(box.checked); draw(); };
    };
    if (truth && data.names.length) check("only hits in a wrong cluster", (on) => { onlyWrong = on; });
    if (data.events.some((e) => e.far)) check("far hits too", (on) => { far = on; });
    if (data.colours.length) {
      const label = element("label", { textContent: "colour by " }, bar);
      const colours = element("select", { ariaLabel: "colour by" }, label);
      for (const name of ["", ...data.colours]) element("option", { value: name, textContent: name || "particle or cluster" }, colours);
      colours.value = by;
      colours.onchange = () => { by = colours.value; draw(); };
    }
    const place = element("div", { className: "panels" }, root);
    const panels = [];
    const add = (side) => {
      const panel = { side, hidden: new Set() };
      const box = element("div", { className: "panel" }, place);
      const head = element("header", {}, box);
      if (side >= 0 && data.names.length > 1) {
        const select = element("select", { ariaLabel: "clustering" }, head);
        options(select, data.names);
        select.value = side;
        select.onchange = () => { panel.side = Number(select.value); panel.hidden.clear(); draw(); };
      } else head.textContent = side >= 0 ? data.names[side] : truth ? "Truth" : "Hits";
      panel.plot = element("div", { className: "plot" }, box);
      panel.chips = element("div", { className: "chips" }, box);
      panel.text = element("p", {}, box);
      panels.push(panel);
    };
    if (truth || !data.names.length) add(-1);
    data.shown.forEach(add);

    function draw() {
      const event = decode(data.events[current]);
      const sides = [...new Set(panels.filter((p) => p.side >= 0).map((p) => p.side))];
      choice.value = current;
      camera = camera || firstCamera(panels[0].plot);
      for (const panel of panels) {
        const own = by || (panel.side < 0 && !event.truth ? "energy" : "");
        const view = { onlyWrong: onlyWrong && panel.side >= 0, by: own, hidden: panel.hidden };
        Plotly.react(panel.plot, traces(event, panel.side, sides, data, view), layout(event, camera, far), {
          responsive: true, displaylogo: false, displayModeBar: false,
        });
        if (!panel.linked) link(panel);
        panel.text.textContent = panel.side < 0 ? event.caption : event.clusterings[panel.side].caption;
        panel.chips.replaceChildren();
        for (const g of own ? [] : groupsOf(event, panel.side, data.palette)) {
          const chip = element("button", { type: "button", title: "show or hide" }, panel.chips);
          element("i", { className: g.symbol, style: `--colour:${g.colour}` }, chip);
          chip.append(g.name);
          chip.classList.toggle("off", panel.hidden.has(g.number));
          chip.onclick = () => { panel.hidden.has(g.number) ? panel.hidden.delete(g.number) : panel.hidden.add(g.number); draw(); };
        }
      }
    }

    // What is turned in one panel turns in all.
    function link(panel) {
      panel.linked = true;
      const follow = (change) => {
        const moved = change["scene.camera"];
        if (!moved || moving) return;
        moving = true;
        camera = moved;
        requestAnimationFrame(() =>
          Promise.all(panels.filter((p) => p !== panel).map((p) => Plotly.relayout(p.plot, { "scene.camera": camera })))
            .finally(() => { moving = false; }));
      };
      panel.plot.on("plotly_relayouting", follow);
      panel.plot.on("plotly_relayout", follow);
    }

    const go = (i) => {
      current = (i + data.events.length) % data.events.length;
      for (const p of panels) p.hidden.clear();
      draw();
    };
    choice.onchange = () => go(Number(choice.value));
    back.onclick = () => go(current - 1);
    next.onclick = () => go(current + 1);
    reset.onclick = () => { camera = null; draw(); };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    if (data.events.length) draw();
    else place.textContent = "no events";
  }

  document.querySelectorAll(".event-display").forEach(start);
})();
