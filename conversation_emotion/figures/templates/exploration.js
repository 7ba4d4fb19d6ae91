"use strict";
const { shapes, spaces, labels } = JSON.parse(document.getElementById("data").textContent);
const planes = [...document.querySelectorAll(".plane")].map((figure) => ({
  points: [...figure.querySelectorAll("use")],
  now: figure.querySelector(".now"),
  space: spaces[Number(figure.dataset.space)],
}));
const buttons = [...document.querySelectorAll("[data-colouring]")];
let shown = 0;

const colour = (number) => {
  shown = number;
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.colouring) === number));
  }
  for (const legend of document.querySelectorAll("[data-legend]")) {
    legend.hidden = Number(legend.dataset.legend) !== number;
  }
  for (const { points, space } of planes) {
    points.forEach((point, place) => {
      const code = space.codes[number][place];
      point.setAttribute("href", `#${code < 0 ? "circle-open" : shapes[code]}`);
      point.setAttribute("class", code < 0 ? "nobody" : `e${code}`);
    });
  }
};

for (const button of buttons) {
  button.addEventListener("click", () => colour(Number(button.dataset.colouring)));
}
for (const group of document.querySelectorAll(".colours")) group.hidden = buttons.length < 2;
for (const { points, now, space } of planes) {
  points.forEach((point, place) => point.addEventListener("pointerenter", () => {
    const groups = labels.map((names, number) => names[space.codes[number][place]]);
    now.textContent = [space.names[place], ...groups.filter(Boolean)].join(", ");
  }));
}
for (const sound of document.querySelectorAll("audio")) {
  sound.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== sound) other.pause();
  });
}
