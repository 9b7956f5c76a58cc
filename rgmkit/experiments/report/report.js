// The gallery: which row is shown, one zoom for all its pictures, and the divider between two of them.
"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const [choice, gallery, row, stage, divider] = ["choice", "gallery", "row", "stage", "divider"].map(at);
  const axes = ["degradation", "image", "seed"].map(at);
  const sides = [{ select: at("left"), layer: at("under"), wanted: "measurement" },
    { select: at("right"), layer: at("over"), wanted: null }];

  const make = (tag, kind, text) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const fill = (select, labels, value) => {
    select.replaceChildren(...labels.map((label, i) => new Option(label, i, false, i === value)));
  };

  // ---- pictures -------------------------------------------------------------------------------------

  /** A picture by its number, or the reason why there is none. Its data become an image only now. */
  const picture = (slot, alt) => {
    if (typeof slot !== "number") return make("p", "gap", slot);
    const image = make("img");
    image.alt = alt;
    image.draggable = false;
    image.src = at(`picture-${slot}`).textContent;
    return image;
  };
  const frame = (slot, alt) => {
    const element = make("div", typeof slot === "number" ? "frame" : "frame gapped");
    element.append(picture(slot, alt));
    return element;
  };
  const scale = (limit) => {
    const element = make("div", "scale"), bar = make("img"), ends = make("div", "ends");
    bar.src = data.ramp;
    bar.alt = "";
    ends.append(make("span", "", "0"), make("span", "", `${limit} and more`));
    element.append(make("span", "", "Error maps, |picture − truth|, of a range of 1, mean of the channels"), bar, ends);
    return element;
  };
  const values = (item) => {
    const element = make("div"), list = make("dl");
    element.append(list, ...(item.notes ?? []).map((text) => make("p", "help", text)));
    for (const [name, value, best] of item.values) {
      const pair = make("div", best ? "best" : "");
      pair.append(make("dt", "", name), make("dd", "", value));
      list.append(pair);
    }
    return element;
  };
  const card = (item, limit) => {
    const element = make("article", String(item.picture).startsWith("failed") ? "card failed" : "card");
    const map = item.error === undefined
      ? (limit ? scale(limit) : make("div"))
      : (typeof item.error === "number" ? frame(item.error, `error map of ${item.name}`) : make("div"));
    element.append(make("h4", "", item.name), frame(item.picture, item.name), values(item), map);
    return element;
  };

  // ---- the row that is shown ------------------------------------------------------------------------

  let shown = { cards: [] };
  const show = (event) => {
    const find = () => data.rows[axes.map((select) => select.value).join("/")];
    if (!find()) { // an image of another set: keep what was chosen last
      const kept = event?.target === axes[1] ? 1 : 0;
      const other = Object.keys(data.rows).map((name) => name.split("/")).find((row) => row[kept] === axes[kept].value);
      if (other) axes[1 - kept].value = other[1 - kept];
    }
    shown = find() ?? { width: 4, height: 1, cards: [] };
    gallery.style.setProperty("--width", shown.width);
    gallery.style.setProperty("--height", shown.height);
    row.replaceChildren(...shown.cards.map((item) => card(item, shown.limit)));
    if (!shown.cards.length) row.append(make("p", "note", "There are no cells of this choice."));
    const names = shown.cards.map((item) => item.name);
    const best = shown.cards.findIndex((item) => item.values.length && item.values[0][2]);
    const last = shown.cards.findLastIndex((item) => typeof item.picture === "number");
    for (const side of sides) {
      const kept = names.indexOf(side.wanted);
      fill(side.select, names, kept >= 0 ? kept : best >= 0 ? best : last);
      lay(side);
    }
    fit();
  };
  const lay = (side) => {
    const item = shown.cards[side.select.value];
    side.layer.replaceChildren(picture(item ? item.picture : "no picture", item ? item.name : ""));
  };
  const fit = () => gallery.classList.toggle("small", stage.clientWidth > 1.5 * shown.width);
  const step = (by) => {
    const count = data.images.length;
    axes[1].value = (Number(axes[1].value) + by + count) % count;
    show({ target: axes[1] });
  };

  // ---- the divider ----------------------------------------------------------------------------------

  const cut = () => {
    stage.style.setProperty("--cut", divider.value);
    divider.setAttribute("aria-valuetext", `${divider.value} percent from the left`);
  };
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    divider.value = (100 * (event.clientX - box.left)) / box.width;
    cut();
  };

  // ---- the zoom: one place, in parts of width and height, for all pictures --------------------------

  const zoom = { u: 0.5, v: 0.5, held: false, pressed: null, moved: false };
  const factor = at("factor"), hold = at("hold");
  const place = (u, v) => {
    [zoom.u, zoom.v] = [u, v].map((part) => Math.min(1, Math.max(0, part)));
    gallery.style.setProperty("--u", zoom.u);
    gallery.style.setProperty("--v", zoom.v);
    gallery.style.setProperty("--factor", factor.value);
  };
  const enlarge = (on) => gallery.classList.toggle("zoomed", on || zoom.held);
  const keep = (on) => {
    zoom.held = on;
    hold.setAttribute("aria-pressed", String(on));
    gallery.classList.toggle("held", on);
    place(zoom.u, zoom.v);
    enlarge(on);
  };
  const follow = (event, target) => {
    const box = target.getBoundingClientRect();
    place((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    enlarge(true);
  };
  /** While held, a picture is dragged under the pointer: it moves as far as the pointer does. */
  const pull = (event, target) => {
    const box = target.getBoundingClientRect(), room = factor.value - 1;
    const [x, y] = [event.clientX - zoom.pressed.x, event.clientY - zoom.pressed.y];
    zoom.moved ||= Math.hypot(x, y) > 4;
    if (zoom.moved) place(zoom.pressed.u - x / box.width / room, zoom.pressed.v - y / box.height / room);
  };
  const framed = (event) => event.target.closest(".frame");

  row.addEventListener("pointerdown", (event) => {
    zoom.moved = false;
    zoom.pressed = framed(event) && { x: event.clientX, y: event.clientY, u: zoom.u, v: zoom.v };
    if (zoom.held && zoom.pressed) framed(event).setPointerCapture(event.pointerId);
  });
  row.addEventListener("pointermove", (event) => {
    const target = framed(event);
    if (!target) enlarge(false);
    else if (!zoom.held) follow(event, target);
    else if (zoom.pressed) pull(event, target);
  });
  for (const name of ["pointerup", "pointercancel"]) row.addEventListener(name, () => (zoom.pressed = null));
  row.addEventListener("pointerleave", () => enlarge(false));
  row.addEventListener("click", (event) => {
    if (!framed(event) || zoom.moved) return;
    if (!zoom.held) follow(event, framed(event));
    keep(!zoom.held);
  });
  row.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const turns = { "+": 1, "=": 1, "-": -1 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") keep(false);
    else if (event.key === "Enter" || event.key === " ") keep(!zoom.held);
    else if (event.key in moves) {
      const [x, y] = moves[event.key].map((move) => move / (5 * factor.value));
      place(zoom.u + x, zoom.v + y);
      keep(true);
    } else if (event.key in turns) {
      factor.selectedIndex = Math.min(factor.length - 1, Math.max(0, factor.selectedIndex + turns[event.key]));
      keep(true);
    } else return;
    event.preventDefault();
  });

  // ---- start ----------------------------------------------------------------------------------------

  [data.degradations, data.images, data.seeds].forEach((labels, i) => {
    fill(axes[i], labels, 0);
    axes[i].addEventListener("change", show);
    axes[i].closest("label").hidden = labels.length < 2;
  });
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  for (const side of sides) {
    side.select.addEventListener("change", () => {
      side.wanted = shown.cards[side.select.value].name;
      lay(side);
    });
  }
  divider.addEventListener("input", cut);
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => event.buttons && drag(event));
  factor.addEventListener("change", () => keep(true));
  hold.addEventListener("click", () => keep(!zoom.held));
  window.addEventListener("resize", fit);

  choice.hidden = gallery.hidden = !Object.keys(data.rows).length;
  if (!gallery.hidden) {
    show();
    cut();
    place(zoom.u, zoom.v);
  }
}
