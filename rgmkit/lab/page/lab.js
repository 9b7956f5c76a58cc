// The lab: forms from what the server describes, a job at a time, and a divider between two pictures.
"use strict";
{
  const at = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const body = document.body, stage = at("stage"), divider = at("divider"), settings = at("settings");

  /** Ask the server; throw an Error with its message. */
  const ask = async (path, given) => {
    const options = given === undefined ? {} : { method: "POST", body: JSON.stringify(given) };
    let answer, facts;
    try {
      answer = await fetch(path, { ...options, headers: { "X-Rgmkit-Lab": "1" } });
      facts = await answer.json();
    } catch {
      throw new Error("The lab does not answer: is it still running?");
    }
    if (!answer.ok) throw new Error(facts.error);
    return facts;
  };
  const say = (text, alarm = false) => {
    at("status").textContent = text;
    at("status").classList.toggle("alarm", alarm);
  };
  /** Begin a text with a capital letter, unless it begins with a name, such as that of a file or an option. */
  const sentence = (text) => text.replace(/^[a-z]+(?=[\s,:]|$)/, (word) => word[0].toUpperCase() + word.slice(1));
  const fail = (error) => say(sentence(error.message), true);
  const readFile = (file) => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ name: file.name, data: reader.result.slice(reader.result.indexOf(",") + 1) });
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });

  // ---- forms ---------------------------------------------------------------------------------------

  /** The choice of a component and the fields of its options. */
  class Choice {
    constructor(kind, label) {
      this.kind = kind;
      this.components = [];
      this.select = make("select", { id: `choose-${kind}`, "aria-label": label });
      this.summary = make("p", { className: "help", id: `summary-${kind}` });
      this.select.setAttribute("aria-describedby", this.summary.id);
      this.options = make("div", { className: "options" });
      this.select.addEventListener("change", () => this.show());
      at(kind).replaceChildren(this.select, this.summary, this.options);
    }

    /** Offer groups of components, [title, components]; choose the first of `wanted` that is among them. */
    offer(groups, ...wanted) {
      this.components = groups.flatMap(([, components]) => components);
      this.select.replaceChildren(...groups.filter(([, components]) => components.length).flatMap(([title, components]) => {
        const options = components.map((c) => make("option", { value: c.name, textContent: c.label ?? c.name }));
        return title ? [make("optgroup", { label: title }, ...options)] : options;
      }));
      const found = wanted.find((name) => this.components.some((c) => c.name === name));
      if (found) this.select.value = found;
      this.show();
    }

    get component() {
      return this.components.find((c) => c.name === this.select.value);
    }

    show() {
      const component = this.component;
      if (this.shown === component) return;
      this.shown = component;
      const origin = component.origin ? ` (${component.origin})` : "";
      this.summary.textContent = `${sentence(component.summary)}${origin}`;
      this.fields = (component.options ?? []).map((option) => new Field(this.kind, option));
      this.options.replaceChildren(...this.fields.flatMap((field) => field.elements));
      this.select.dispatchEvent(new CustomEvent("shown"));
    }

    set(name, value) {
      const field = this.fields.find((each) => each.option.name === name);
      if (field) field.input.value = value;
    }

    async value() {
      if (!this.component.name || this.component.none) return this.component.value ?? null;
      const options = {};
      for (const field of this.fields) {
        const value = await field.value();
        if (value !== "" && value !== null) options[field.option.name] = value;
      }
      return { name: this.component.name, options };
    }
  }

  /** The field of one option. */
  class Field {
    constructor(kind, option) {
      this.option = option;
      const id = `${kind}-${option.name}`, described = `${id}-help`, common = { id, "aria-describedby": described };
      const empty = option.default || (option.required ? "" : "automatic");
      if (option.widget === "choice") {
        const files = option.file ? [make("option", { value: "\0", textContent: "a file …" })] : [];
        const first = option.required ? [] : [make("option", { value: "", textContent: `${empty} (default)` })];
        const choices = option.choices.filter((choice) => choice !== option.default);
        this.input = make("select", common, ...first, ...choices.map((c) => make("option", { value: c, textContent: c })), ...files);
      } else if (option.widget === "number") {
        this.input = make("input", { ...common, type: "number", step: option.integer ? "1" : "any", placeholder: empty });
        for (const end of ["min", "max"]) if (option[end] !== undefined) this.input[end] = option[end];
      } else if (option.widget === "text") {
        this.input = make("input", { ...common, type: "text", placeholder: empty || option.type, spellcheck: false });
      }
      if (option.widget === "file" || option.file) {
        this.file = make("input", { type: "file", id: `${id}-file`, "aria-label": `${option.name}: a file`, hidden: Boolean(option.file) });
        this.input?.addEventListener("change", () => { this.file.hidden = this.input.value !== "\0"; });
      }
      if (this.input) this.input.required = option.required;
      const meaning = sentence(option.meaning || option.type);
      const label = make("label", { className: "option", title: meaning }, make("span", { textContent: option.name + (option.required ? " *" : "") }),
        ...[this.input, this.file].filter(Boolean));
      this.elements = [label, make("span", { className: "meaning", id: described, textContent: meaning })];
    }

    async value() {
      const file = this.file && !this.file.hidden ? this.file.files[0] : null;
      if (file) return readFile(file);
      return !this.input || this.input.value === "\0" ? "" : this.input.value.trim();
    }
  }

  // ---- what there is to choose ---------------------------------------------------------------------

  let forms, limits, mode = "simulate", picture = null, lastFile = null;
  const results = {};
  const choices = {
    degradation: new Choice("degradation", "Degradation"), noise: new Choice("noise", "Noise"),
    prior: new Choice("prior", "Prior"), solver: new Choice("solver", "Solver"),
  };
  const byOrigin = (components, own) => {
    const groups = new Map([[own, components.filter((c) => !c.origin)]]);
    for (const c of components.filter((each) => each.origin)) groups.set(c.origin, [...(groups.get(c.origin) ?? []), c]);
    return [...groups];
  };
  const none = (label, summary, value = null) => ({ name: label, label, summary, none: true, value });

  const offer = () => {
    const simulate = mode === "simulate", generate = mode === "generate";
    choices.degradation.offer(byOrigin(forms.degradation, ""), choices.degradation.select.value, "blur");
    const zero = none("none", "The measurement is exact", { name: "white", options: { std: "0" } });
    const unknown = none("unknown", "Estimated from the measurement");
    const known = byOrigin([...forms.noise].sort((a, b) => (b.name === "white") - (a.name === "white")), "");
    choices.noise.offer([["", simulate ? [zero] : [unknown, zero]], ...known], simulate ? "white" : "unknown");
    const models = forms.prior.filter((c) => c.model);
    const others = forms.prior.filter((c) => !c.model);
    const groups = [["Trained networks", models]];
    if (!generate) groups.push(...byOrigin(others, "Hand-crafted"), ["", [none("none", "Least squares alone")]]);
    choices.prior.offer(groups, priors[generate], generate ? "digits" : "photographs");
    const automatic = none("automatic", "Chosen for the prior and the degradation");
    choices.solver.offer([["", [automatic]], ...byOrigin(forms.solver.filter((c) => !generate || c.generates), "")], "automatic");
    at("prior-legend").textContent = generate ? "Model" : "Prior";
  };
  const touched = { std: false }, priors = {};
  choices.noise.select.addEventListener("shown", () => { if (mode === "simulate") choices.noise.set("std", "0.02"); });
  choices.degradation.select.addEventListener("shown", () => {
    at("noise-field").hidden = !choices.degradation.component.noisy;
    const usual = choices.degradation.component.noise;
    if (mode === "simulate" && choices.noise.component?.name === "white" && !touched.std) choices.noise.set("std", usual || "0.02");
  });
  at("noise").addEventListener("input", () => { touched.std = true; });

  const setMode = (next, focus = false) => {
    priors[mode === "generate"] = choices.prior.select.value;
    mode = body.dataset.mode = next;
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const chosen = tab.dataset.mode === next;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen && focus) tab.focus();
      if (chosen) settings.setAttribute("aria-labelledby", tab.id);
    }
    at("run").textContent = next === "generate" ? "Generate" : "Restore";
    offer();
    showState();
  };
  const tabs = [...document.querySelectorAll("[role=tab]")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => setMode(tab.dataset.mode));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by) setMode(tabs[(tabs.indexOf(tab) + by + tabs.length) % tabs.length].dataset.mode, true);
    });
  }

  /** Show the last result of this mode, or the picture. */
  const showState = () => {
    if (results[mode]) showResult(...results[mode]);
    else if (mode === "generate") clearStage("Choose a model, and press Generate.");
    else if (picture) showPicture();
    else clearStage("Choose a picture, and press Restore.");
  };

  // ---- the picture ---------------------------------------------------------------------------------

  const take = async (file, sample = null) => {
    lastFile = file;
    for (const button of at("samples").children) button.setAttribute("aria-pressed", String(button.dataset.name === sample));
    try {
      if (file.size > limits.bytes) throw new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MiB, and the lab takes up to ${limits.bytes / 2 ** 20} MiB`);
      say(sample ? "" : `Reading ${file.name} …`);
      const upload = await readFile(file);
      const given = mode === "measured" ? { axes: at("axes").value, range: at("range").value } : {};
      const facts = await ask("/api/look", { picture: upload, ...given });
      picture = { ...upload, facts };
      for (const each of ["simulate", "measured"]) delete results[each];
      showPicture();
      say(facts.notes.map(sentence).join(" "));
    } catch (error) {
      picture = null;
      at("thumb").replaceChildren();
      at("picture-name").textContent = "Drop a picture here";
      at("picture-facts").textContent = "or choose a file: PNG, JPEG, TIFF or .npy";
      delete results[mode];
      showState();
      fail(error);
    }
  };
  const showPicture = () => {
    const { facts } = picture;
    at("picture-name").textContent = facts.name;
    const frames = facts.shape[0] > 1 ? `${facts.shape[0]} frames, ` : "";
    const kind = { 1: "grey", 3: "colour" }[facts.channels] ?? `${facts.channels} channels`;
    const depth = facts.bits === 32 ? "floats" : `${facts.bits} bits`;
    at("picture-facts").textContent = facts.width ? `${frames}${facts.width} × ${facts.height}, ${kind}, ${depth}` : `an array of ${facts.shape.join(" × ")}`;
    at("thumb").replaceChildren(...(facts.preview ? [make("img", { src: facts.preview, alt: "" })] : []));
    if (!facts.preview) return clearStage("The measurement is no picture; its restoration will be.");
    frameStage(facts.width, facts.height);
    at("under").replaceChildren(make("img", { src: facts.preview, alt: facts.name, draggable: false }));
  };
  at("file").addEventListener("change", () => { if (at("file").files[0]) take(at("file").files[0]); at("file").value = ""; });
  for (const id of ["axes", "range"]) at(id).addEventListener("change", () => { if (lastFile) take(lastFile); });
  let inside = 0;
  const dragging = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (dragging(event)) at("veil").hidden = ++inside === 0; });
  addEventListener("dragleave", (event) => { if (dragging(event)) at("veil").hidden = --inside <= 0; });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    at("veil").hidden = true;
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => { if (event.clipboardData.files[0]) take(event.clipboardData.files[0]); });

  // ---- the stage: two pictures with a divider ------------------------------------------------------

  const clearStage = (hint) => {
    stage.className = "empty";
    at("hint").textContent = hint;
    at("under").replaceChildren();
    at("over").replaceChildren();
    for (const id of ["compare", "numbers", "draws", "more"]) at(id).hidden = true;
  };
  const frameStage = (width, height, two = false) => {
    if (!two) clearStage("");
    const result = at("result");
    result.style.setProperty("--width", width);
    result.style.setProperty("--height", height);
    stage.className = two ? "two" : "";
    at("zoom").value = 1;
    zoom(width);
  };
  const place = (u, v) => {
    for (const [name, part] of [["--u", u], ["--v", v]]) stage.style.setProperty(name, Math.min(1, Math.max(0, part)));
  };
  const zoom = (width) => {
    const factor = Number(at("zoom").value);
    stage.style.setProperty("--zoom", factor);
    place(0.5, 0.5);
    stage.tabIndex = factor > 1 ? 0 : -1;
    at("zoom-help").hidden = factor === 1;
    stage.classList.toggle("small", factor * stage.clientWidth > 2.5 * width);
  };
  at("zoom").addEventListener("change", () => zoom(Number(at("result").style.getPropertyValue("--width"))));
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" || event.buttons) return;
    const box = stage.getBoundingClientRect();
    place((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  stage.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || at("zoom").value === "1") return;
    event.preventDefault();
    place(...["--u", "--v"].map((name, i) => Number(stage.style.getPropertyValue(name)) + by[i] / 20));
  });
  const cut = () => {
    stage.style.setProperty("--cut", divider.value);
    divider.setAttribute("aria-valuetext", `${divider.value} percent from the left`);
  };
  const drag = (event) => {
    if (!stage.classList.contains("two")) return;
    const box = stage.getBoundingClientRect();
    divider.value = (100 * (event.clientX - box.left)) / box.width;
    cut();
  };
  divider.addEventListener("input", cut);
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener("pointermove", (event) => { if (stage.hasPointerCapture(event.pointerId)) drag(event); });

  let shown = null;
  const source = (entry) => `/jobs/${shown.id}/${entry.file}`;
  const lost = () => say("This result is no longer kept: run it again.", true);
  const image = (entry) => make("img", { src: source(entry), alt: entry.title, draggable: false, onerror: lost });
  const lay = (side, layer) => {
    const entry = shown.pictures.find((each) => each.key === at(side).value);
    at(layer).replaceChildren(image(entry));
    for (const thumb of at("draws").children) thumb.setAttribute("aria-pressed", String(thumb.dataset.key === at("right").value));
  };
  at("left").addEventListener("change", () => lay("left", "under"));
  at("right").addEventListener("change", () => lay("right", "over"));

  const showResult = (id, result) => {
    shown = { id, ...result };
    const entries = new Map(result.pictures.map((entry) => [entry.key, entry]));
    const main = entries.get("grid") ?? entries.get("estimate") ?? result.pictures[0];
    for (const part of ["compare", "numbers", "draws"]) at(part).hidden = true;
    if (!main) clearStage("The estimate is no picture: save it below.");
    else if (result.kind === "generate" || result.pictures.length < 2) {
      frameStage(main.width, main.height);
      at("under").replaceChildren(image(main));
    } else {
      frameStage(main.width, main.height, true);
      for (const [side, layer, key] of [["left", "under", "measurement"], ["right", "over", "estimate"]]) {
        at(side).replaceChildren(...result.pictures.map((entry) => make("option", { value: entry.key, textContent: entry.title })));
        at(side).value = entries.has(key) ? key : main.key;
        lay(side, layer);
      }
      at("compare").hidden = false;
      cut();
    }
    showNumbers(result);
    showDraws(result);
    at("notes").replaceChildren(...result.notes.map((note) => make("li", { textContent: sentence(note) })));
    at("downloads").replaceChildren("Save: ", ...result.downloads.map((name) => make("a", { href: `/jobs/${id}/${encodeURIComponent(name)}`, download: name, textContent: name })));
    showFacts(result);
    for (const kind of ["shell", "python"]) at(kind).textContent = result.commands[kind];
    at("more").hidden = false;
  };
  const showNumbers = (result) => {
    const rows = (result.metrics ?? []).map((m) => [m.name, `${m.before} → `, `${m.after} ${m.unit}`]);
    if (result.nfe !== undefined) rows.push(["Network evaluations", "", String(result.nfe)]);
    if (result.count) rows.push(["Images", "", `${result.count} of ${result.shape.join(" × ")}`]);
    rows.push(["Time", "", `${result.seconds.toFixed(result.seconds < 10 ? 2 : 0)} s`]);
    if (result.noise) rows.push(["Noise", "", result.noise]);
    if (result.std) rows.push(["Standard deviation, mean", "", result.std.mean.toFixed(4)]);
    if (result.interval) {
      const { coverage, width, inside: held } = result.interval, percent = (part) => `${Math.round(100 * part)} %`;
      rows.push([`${percent(coverage)} interval, mean width`, "", width.toFixed(4)]);
      if (held !== undefined) rows.push([`True values in the ${percent(coverage)} interval`, "", percent(held)]);
    }
    at("numbers").replaceChildren(...rows.map(([name, from, value]) => make("div", {}, make("dt", { textContent: name }),
      make("dd", {}, make("span", { className: "from", textContent: from }), value))));
    at("numbers").hidden = false;
  };
  const showDraws = (result) => {
    const extra = result.pictures.filter((entry) => !["measurement", "truth", "grid"].includes(entry.key));
    if (extra.length < 2) return;
    at("draws").replaceChildren(...extra.map((entry) => {
      const button = make("button", { type: "button", className: "thumb" }, image(entry), entry.title);
      button.dataset.key = entry.key;
      button.classList.toggle("small", entry.width < 96);
      button.addEventListener("click", () => { at("right").value = entry.key; lay("right", "over"); });
      return button;
    }));
    at("draws").hidden = false;
    lay("right", "over");
  };
  const showFacts = (result) => {
    const facts = [["Solver", result.solver], ["Prior", result.prior], ["Degradation", result.degradation]];
    at("facts").replaceChildren(...facts.filter(([, text]) => text).map(([name, text]) => make("div", { textContent: `${name}: ${text}` })));
    if ((result.trace ?? []).length > 2) at("facts").append(plot(result.trace));
  };
  /** Plot the residual against the step, on a logarithmic scale. */
  const plot = (trace) => {
    const logs = trace.map((value) => Math.log(Math.max(value, 1e-12))), low = Math.min(...logs), high = Math.max(...logs);
    const points = logs.map((value, i) => `${(300 * i / (logs.length - 1)).toFixed(1)} ${(56 - 52 * (value - low) / (high - low || 1)).toFixed(1)}`);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS(svg.namespaceURI, "path");
    const label = `Residual in ${trace.length} steps: from ${trace[0].toPrecision(3)} to ${trace.at(-1).toPrecision(3)}`;
    for (const [name, value] of Object.entries({ viewBox: "0 0 300 60", role: "img", "aria-label": label })) svg.setAttribute(name, value);
    path.setAttribute("d", `M${points.join("L")}`);
    svg.append(path);
    return make("div", {}, label, svg);
  };
  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", async () => {
    const block = at(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = "Copied";
    } catch { // without a secure connection: select it, for the keyboard
      getSelection().selectAllChildren(block);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  // ---- running -------------------------------------------------------------------------------------

  let running = null;
  const busy = (on) => {
    at("run").disabled = on;
    at("progress").hidden = !on;
    at("cancel").disabled = false;
    at("bar").removeAttribute("value");
  };
  const request = async () => {
    const common = { prior: await choices.prior.value(), solver: await choices.solver.value(), seed: at("seed").value };
    if (mode === "generate") return ["/api/generate", { ...common, count: at("count").value }];
    if (!picture) throw new Error("Drop a picture on the page, or pick a sample");
    const simulate = mode === "simulate", { name, data } = picture;
    const values = simulate ? { side: at("side").value } : { range: at("range").value, axes: at("axes").value };
    return ["/api/restore", { ...common, ...values, simulate, picture: { name, data }, samples: at("samples-count").value,
      degradation: await choices.degradation.value(), noise: await choices.noise.value() }];
  };
  const describe = (job) => {
    if (job.state === "waiting") return job.place <= 1 ? "Waiting: the lab runs one job at a time, and yours is next." : `Waiting: the lab runs one job at a time, and ${job.place} are before yours.`;
    if (running.cancelled) return "Cancelling …";
    const step = job.steps ? `Step ${job.step} of ${job.steps}` : "Starting";
    return `${step}${job.detail ? `, ${job.detail}` : ""} …`;
  };
  const follow = async (job) => {
    if (at("status").textContent !== describe(job)) say(describe(job));
    if (job.steps) { at("bar").max = job.steps; at("bar").value = job.step; }
    if (job.preview && mode === running.mode && mode !== "generate") {
      const probe = make("img", { src: job.preview, alt: "the estimate so far", draggable: false });
      await probe.decode().catch(() => null);
      frameStage(probe.naturalWidth, probe.naturalHeight);
      at("under").replaceChildren(probe);
    }
  };
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  settings.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    running = { mode };
    busy(true);
    say("Sending …");
    try {
      const { id, place } = await ask(...await request());
      running.id = id;
      let job = { state: "waiting", place };
      if (matchMedia("(max-width: 56rem)").matches) at("result").scrollIntoView({ behavior: "smooth" });
      while (["waiting", "running"].includes(job.state)) {
        job = await ask(`/api/jobs/${id}`);
        if (["waiting", "running"].includes(job.state)) { await follow(job); await pause(250); }
      }
      if (job.state === "failed") throw new Error(job.error);
      say(job.state === "cancelled" ? "Cancelled." : "");
      if (job.state === "done") results[running.mode] = [id, job.result];
      showState();
    } catch (error) {
      showState();
      fail(error);
    }
    running = null;
    busy(false);
  });
  const cancel = (options = {}) => running?.id && fetch(`/api/jobs/${running.id}/cancel`, { method: "POST", headers: { "X-Rgmkit-Lab": "1" }, ...options });
  at("cancel").addEventListener("click", () => { at("cancel").disabled = running.cancelled = true; cancel(); });
  addEventListener("pagehide", () => cancel({ keepalive: true }));

  // ---- start ---------------------------------------------------------------------------------------

  const start = async () => {
    say("Reading the list of components …");
    let samples;
    ({ forms, limits, samples } = await ask("/api/forms"));
    at("samples-count").max = limits.samples;
    at("count").max = limits.images;
    at("samples").replaceChildren(...samples.map(({ name, title }) => {
      const button = make("button", { type: "button", title, "aria-label": title, "aria-pressed": "false" }, make("img", { src: `/samples/${name}.png`, alt: "" }));
      button.dataset.name = name;
      button.addEventListener("click", () => pick(name));
      return button;
    }));
    setMode("simulate");
    say("");
    if (samples.length) await pick(samples[0].name);
    body.dataset.ready = "true";
  };
  const pick = async (name) => {
    const answer = await fetch(`/samples/${name}.png`);
    await take(new File([await answer.blob()], `${name}.png`), name);
  };
  start().catch(fail);
}
