"use strict";
const { labels, conversations, sounds } = JSON.parse(document.getElementById("data").textContent);
const LEAST_WIDTH = 84; // pixels of a turn of median length, before the timeline scrolls

const make = (name, className, parent) => {
  const element = document.createElement(name);
  element.className = className;
  parent?.append(element);
  return element;
};

const draw = (name, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
};

const clock = (seconds) => {
  const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60), rest = two(whole % 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
};

const percent = (share) => (share === null ? "" : ` ${Math.round(100 * share)} %`);

class Timeline {
  constructor(section, conversation) {
    Object.assign(this, { section, conversation });
    this.find = (selector) => section.querySelector(selector);
    this.lanes = this.find(".lanes");
    this.audio = this.find("audio");
    this.buttons = conversation.turns.map(() => null);
    this.shown = -1;
    this.find(".timeline").hidden = this.find(".player").hidden = false;
    conversation.speakers.forEach((name, number) => this.drawLane(name, number));
    this.drawTicks();
    this.head = make("div", "head", this.lanes);
    this.head.hidden = true;
    this.width = this.readableWidth();
    this.zoom(1);
    this.listen();
  }

  place(element, start, end) {
    element.style.left = `${(100 * start) / this.conversation.length}%`;
    if (end !== undefined) element.style.width = `${(100 * (end - start)) / this.conversation.length}%`;
  }

  drawLane(name, number) {
    const lane = make("div", "lane", this.lanes);
    make("div", "who", lane).textContent = name;
    const row = make("div", "row", lane);
    const turns = this.conversation.turns.map((turn, place) => ({ ...turn, place }));
    const own = turns.filter((turn) => turn.speaker === number && turn.start !== null);
    for (const turn of own) this.drawTurn(turn, name, row);
    if (this.conversation.hasForecasts) this.drawForecasts(own, lane);
    if (this.conversation.hasMoments) this.drawMoments(own, lane);
    if (this.conversation.hasCurves) this.drawCurves(own, lane);
  }

  drawTurn(turn, name, row) {
    const isKnown = turn.emotion !== null;
    const button = make("button", `turn ${isKnown ? `e${turn.emotion}` : "none"}`, row);
    const felt = isKnown ? labels[turn.emotion].name + percent(turn.confidence) : "no emotion";
    button.type = "button";
    button.tabIndex = -1;
    button.style.setProperty("--certainty", `${Math.round(42 * (turn.confidence ?? 0.5))}%`);
    if (isKnown && turn.confidence !== null && turn.confidence < 0.5) button.classList.add("unsure");
    const label = make("span", "", button);
    label.textContent = (isKnown ? labels[turn.emotion].symbol + " " : "") + felt;
    if (turn.text) make("span", "", button).textContent = turn.text;
    turn.says = [turn.clock, name, felt, turn.text].filter(Boolean).join(", ");
    button.setAttribute("aria-label", turn.says);
    button.title = turn.says;
    this.place(button, turn.start, turn.end);
    button.addEventListener("click", () => this.choose(turn.place));
    this.buttons[turn.place] = button;
    this.conversation.turns[turn.place].says = turn.says;
  }

  drawForecasts(turns, lane) {
    const row = make("div", "row thin", lane);
    row.setAttribute("aria-hidden", "true"); // the table has it in words
    for (const turn of turns.filter((one) => one.expected)) {
      const box = make("div", "came", row);
      box.textContent = `${turn.expected.mark} ${turn.expected.emotion}`;
      box.title = box.textContent;
      this.place(box, turn.start, turn.end);
    }
  }

  drawMoments(turns, lane) {
    const row = make("div", "row moments", lane), length = this.conversation.length;
    const svg = draw("svg", { viewBox: `0 -1 ${length} 2`, preserveAspectRatio: "none", "aria-hidden": "true" }, row); // the table has the largest in words
    draw("path", { class: "zero", d: `M0 0H${length}` }, svg);
    for (const turn of turns) {
      const most = Math.max(...turn.moments.map(([, , share]) => Math.abs(share)), 1e-9);
      for (const [start, end, share] of turn.moments) {
        const size = turn.end - turn.start, height = Math.abs(share) / most;
        const bar = draw("rect", {
          class: share < 0 ? "against" : "for",
          x: turn.start + start * size, width: (end - start) * size,
          y: share < 0 ? 0 : -height, height,
        }, svg);
        draw("title", {}, bar).textContent = `${share < 0 ? "−" : "+"}${Math.round(100 * Math.abs(share))} %`;
      }
    }
  }

  drawCurves(turns, lane) {
    const row = make("div", "row curves", lane);
    const svg = draw("svg", { viewBox: `0 -1 ${this.conversation.length} 2`, preserveAspectRatio: "none", "aria-hidden": "true" }, row);
    draw("path", { class: "zero", d: `M0 0H${this.conversation.length}` }, svg);
    for (const axis of ["valence", "activation"]) {
      draw("path", { class: axis, d: this.trace(turns, axis) }, svg);
    }
  }

  trace(turns, axis) {
    const fine = this.conversation.curve;
    return turns
      .map((turn) => {
        let points = turn[axis] === null ? [] : [[turn.start, turn[axis]], [turn.end, turn[axis]]];
        if (fine) {
          points = fine.times
            .map((time, place) => [time, fine[axis][place]])
            .filter(([time, value]) => value !== null && time >= turn.start && time <= turn.end);
        }
        return points.map(([time, value], place) => `${place ? "L" : "M"}${time} ${-value}`).join("");
      })
      .join("");
  }

  drawTicks() {
    const { length, isTimed } = this.conversation;
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    const step = steps.find((one) => length / one <= 8) ?? 7200;
    for (let at = 0; at < length; at += step) {
      const tick = make("div", "tick", this.lanes);
      tick.textContent = isTimed ? clock(at) : at + 1;
      this.place(tick, at);
    }
  }

  readableWidth() {
    const turns = this.conversation.turns.filter((turn) => turn.start !== null);
    const lengths = turns.map((turn) => turn.end - turn.start).sort((a, b) => a - b);
    const median = lengths[Math.floor(lengths.length / 2)] || 1;
    return Math.min(30000, (LEAST_WIDTH * this.conversation.length) / median);
  }

  zoom(factor) {
    const least = this.find(".scroll").clientWidth;
    this.width = Math.max(least, Math.min(120000, this.width * factor));
    this.lanes.style.width = `${this.width}px`;
    this.buttons[this.shown]?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  listen() {
    const first = this.buttons.find(Boolean);
    if (first) first.tabIndex = 0;
    this.lanes.addEventListener("keydown", (event) => this.move(event));
    for (const button of this.section.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.zoom(Number(button.dataset.zoom)));
    }
    for (const button of this.section.querySelectorAll(".play")) {
      button.addEventListener("click", () => this.choose(Number(button.dataset.turn)));
    }
    this.audio?.addEventListener("timeupdate", () => this.follow());
    const heard = this.conversation.turns.find((turn) => turn.sound !== null);
    if (this.audio && heard) this.audio.src = sounds[heard.sound];
    this.loaded = heard?.sound;
  }

  move(event) {
    const places = [...this.buttons.keys()].filter((place) => this.buttons[place]);
    const here = places.findIndex((place) => this.buttons[place] === document.activeElement);
    const steps = { ArrowLeft: here - 1, ArrowUp: here - 1, ArrowRight: here + 1, ArrowDown: here + 1, Home: 0, End: places.length - 1 };
    const next = places[steps[event.key]];
    if (here < 0 || next === undefined) return;
    event.preventDefault();
    this.focusable(next);
    this.buttons[next].focus();
  }

  focusable(place) {
    for (const button of this.buttons) if (button) button.tabIndex = -1;
    this.buttons[place].tabIndex = 0;
  }

  choose(place) {
    const turn = this.conversation.turns[place], isPlaying = this.audio && !this.audio.paused;
    if (isPlaying && place === this.shown) return this.audio.pause();
    this.show(place);
    if (!this.audio || turn.sound === null) return;
    if (this.loaded !== turn.sound) {
      this.audio.src = sounds[turn.sound];
      this.loaded = turn.sound;
    }
    for (const other of document.querySelectorAll("audio")) if (other !== this.audio) other.pause();
    this.audio.currentTime = turn.at;
    this.audio.play().catch(() => {}); // the browser's own controls say why
  }

  show(place) {
    if (place === this.shown) return;
    this.buttons[this.shown]?.removeAttribute("aria-current");
    this.section.querySelector("tr.current")?.classList.remove("current");
    this.shown = place;
    const turn = this.conversation.turns[place];
    this.find(".now").textContent = turn?.says ?? "";
    this.buttons[place]?.setAttribute("aria-current", "true");
    if (this.buttons[place]) this.focusable(place);
    this.section.querySelector(`tr[data-turn="${place}"]`)?.classList.add("current");
  }

  follow() {
    const now = this.audio.currentTime, turns = this.conversation.turns;
    const place = turns.findLastIndex((turn) => turn.sound === this.loaded && turn.start !== null
      && now >= turn.at - 0.05 && now < turn.at + turn.end - turn.start);
    if (place >= 0) this.show(place);
    const at = place < 0 ? now : turns[place].start + now - turns[place].at;
    this.head.hidden = !this.conversation.isTimed || at > this.conversation.length;
    this.place(this.head, at);
  }
}

for (const section of document.querySelectorAll(".conversation")) {
  const conversation = conversations[Number(section.dataset.number)];
  if (conversation.turns.some((turn) => turn.start !== null)) new Timeline(section, conversation);
}
