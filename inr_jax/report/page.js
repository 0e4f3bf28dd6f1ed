// The script of the report's page. First, every sortable table: a click on a heading sorts by it, another one reverses.
document.querySelectorAll("table.sortable th").forEach((heading) => {
  const column = heading.cellIndex;
  heading.querySelector("button").addEventListener("click", () => {
    const body = heading.closest("table").tBodies[0];
    const down = heading.getAttribute("aria-sort") === "descending";
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? order : -order;
    };
    [...body.rows].sort(compare).forEach((row) => body.append(row));
    heading.closest("tr").querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "ascending" : "descending");
  });
});

// Then the members of a sweep as points, rows and pictures: plain functions of one state, which `draw` shows.
(() => {
  const root = document.getElementById("explore");
  const data = JSON.parse(document.getElementById("members").textContent);
  const find = (selector) => root.querySelector(selector);
  const byRow = new Map(data.members.map((member) => [member.row, member]));
  const pictured = data.members.filter((member) => member.picture);
  const first = byRow.get(data.best) || pictured[0] || data.members[0];
  const state = { score: data.score, filter: "", side: "left", left: first, right: null, sort: null, down: true };

  const valueOf = (member, name) => {
    if (name === "member") return member.row;
    if (name === "status") return member.status;
    const score = data.scores.indexOf(name);
    return score >= 0 ? member.scores[score] : member.settings[data.settings.indexOf(name)];
  };
  const formatScore = (name, value) => (value === null ? "" : value.toFixed(data.metrics[name].digits));
  const settingsOf = (member) => data.settings.map((name, place) => `${name} ${member.settings[place] ?? "-"}`).join(", ");
  const describe = (member) => {
    const score = valueOf(member, state.score), metric = data.metrics[state.score];
    const result = score === null ? member.status : `${formatScore(state.score, score)} ${metric.unit || metric.label}`;
    return `member ${member.row}${data.settings.length ? ": " + settingsOf(member) : ""}; ${result}`;
  };

  const sideOf = (member) => (member === state.left ? ", shown on the left" : "") + (member === state.right ? ", shown on the right" : "");
  // Screen readers announce a node that is written to: write only what changed.
  const setText = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };

  // "scale>4 status=ok coffee": all terms must match; one without an operator is searched for in every cell.
  const matches = (member) =>
    state.filter.split(/\s+/).filter(Boolean).every((term) => {
      const [, name, sign, wanted] = term.match(/^(\w+)(<=|>=|!=|=|<|>)(.+)$/) || [];
      if (/^\w+(<=|>=|!=|=|<|>)$/.test(term)) return true; // its value is not typed yet
      if (!name) return `${settingsOf(member)} ${member.status}`.toLowerCase().includes(term.toLowerCase());
      const value = valueOf(member, name);
      if (value === undefined) return false;
      if (value === null) return sign === "!="; // a setting that the member does not read, or no score
      const a = Number(value), b = Number(wanted), numbers = !isNaN(a) && !isNaN(b);
      if (!isNaN(b) && !numbers) return sign === "!=";
      const order = numbers ? a - b : String(value).localeCompare(wanted);
      return { "<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0, "=": order === 0, "!=": order !== 0 }[sign];
    });

  const choose = (member, side = state.side) => {
    state[side] = member;
    draw();
  };

  // ---- the chart
  const wide = 640, high = 280;
  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const ticksOf = (low, high, logarithmic, most = 1000) => {
    if (logarithmic) {
      const all = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const digit of high / low < most ? [1, 2, 5] : [1]) all.push(digit * 10 ** power);
      return all.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    }
    const rough = (high - low || 1) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough);
    const all = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) all.push(tick);
    return all;
  };
  const drawChart = (shown) => {
    const svg = find("svg"), stretch = wide / (svg.clientWidth || wide);
    const larger = Math.min(2, Math.max(1, stretch)); // legible on a phone
    const margin = { left: 48 * larger, right: 12, top: 10, bottom: 40 * larger };
    svg.style.setProperty("--text", `${12 * larger}px`);
    const focused = svg.contains(document.activeElement);
    svg.replaceChildren();
    const points = shown
      .filter((member) => member.x !== null && valueOf(member, state.score) !== null)
      .sort((a, b) => a.x - b.x || valueOf(a, state.score) - valueOf(b, state.score));
    svg.setAttribute("aria-label", `${state.score} of ${points.length} members against ${data.axis}; the table below has the same numbers`);
    if (!points.length) return;
    const xs = points.map((member) => member.x), ys = points.map((member) => valueOf(member, state.score));
    const [lowX, highX, lowY, highY] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const logarithmic = lowX > 0 && highX / lowX > 8 && data.axis !== "member";
    const bend = logarithmic ? Math.log : (value) => value;
    const interpolate = (value, low, high, from, to) => (high === low ? (from + to) / 2 : from + ((value - low) / (high - low)) * (to - from));
    const x = (value) => interpolate(bend(value), bend(lowX), bend(highX), margin.left + 10, wide - margin.right - 10);
    const y = (value) => interpolate(value, lowY, highY, high - margin.bottom - 8, margin.top + 8);
    const neat = (tick) => String(Number(tick.toPrecision(6)));
    for (const tick of ticksOf(lowX, highX, logarithmic, larger > 1.3 ? 30 : 1000)) make("text", { x: x(tick), y: high - margin.bottom + 18 * larger, "text-anchor": "middle" }, svg, neat(tick));
    for (const tick of ticksOf(lowY, highY, false)) {
      make("line", { x1: margin.left, x2: wide - margin.right, y1: y(tick), y2: y(tick), class: "rule" }, svg);
      make("text", { x: margin.left - 6, y: y(tick) + 4, "text-anchor": "end" }, svg, neat(tick));
    }
    make("text", { x: (wide + margin.left) / 2, y: high - 4, "text-anchor": "middle" }, svg, data.axis);
    const tabbed = points.includes(state[state.side]) ? state[state.side] : points[0];
    const radius = Math.min(11, Math.max(6, 5 * stretch));
    points.forEach((member, number) => {
      const kind = [member.picture || !pictured.length ? "" : "bare", member.status, member === state.left ? "left" : "", member === state.right ? "right" : ""];
      const point = make("circle", { cx: x(member.x), cy: y(ys[number]), r: radius, class: kind.join(" "), role: "button", tabindex: member === tabbed ? 0 : -1 }, svg);
      point.setAttribute("aria-label", describe(member) + sideOf(member));
      point.setAttribute("aria-pressed", member === state.left || member === state.right);
      make("title", {}, point, describe(member));
      point.addEventListener("click", () => choose(member));
      point.addEventListener("keydown", (event) => {
        const to = { ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: points.length - 1 }[event.key];
        if (to !== undefined && points[to]) choose(points[to]);
        else if (event.key === "Enter" || event.key === " ") choose(member);
        else return;
        event.preventDefault();
      });
      if (member === tabbed && focused) point.focus();
    });
  };

  // ---- the pictures
  const drawPictures = () => {
    for (const part of root.querySelectorAll(".frame, .wipe, .zoom, button.target")) part.hidden = !pictured.length;
    find(".along").hidden = data.curve.length < 3;
    for (const side of ["left", "right"]) {
      const member = state[side], none = pictured.length ? "the target" : "none yet";
      const without = pictured.length && member && !member.picture ? " (the page has no picture of it)" : "";
      setText(find(`output.${side}`), member ? describe(member) + without : none);
    }
    if (!pictured.length) return;
    for (const side of ["left", "right"]) {
      const member = state[side], image = find(`img.${side}`);
      const target = state.left && state.left.target !== undefined ? data.targets[state.left.target] : null;
      const source = member ? member.picture : target;
      image.style.visibility = source ? "visible" : "hidden";
      image.src = source || target || data.targets[0];
      image.alt = find(`output.${side}`).textContent;
    }
    const place = data.curve.indexOf(state.left && state.left.row);
    const slider = find(".along input");
    if (place >= 0) slider.value = place;
    slider.setAttribute("aria-valuetext", state.left ? describe(state.left) : "");
  };
  const drawZoom = () => {
    const frame = find(".frame"), zoom = Number(find(".zoom input").value), wipe = find(".wipe input").value;
    for (const image of frame.querySelectorAll("img")) {
      image.style.transform = `scale(${zoom})`;
      image.style.transformOrigin = `${state.panX ?? 50}% ${state.panY ?? 50}%`;
      image.style.imageRendering = frame.clientWidth * zoom > 1.5 * image.naturalWidth ? "pixelated" : "auto";
    }
    frame.style.setProperty("--wipe", `${wipe}%`);
    frame.style.touchAction = zoom > 1 ? "none" : "pan-y pinch-zoom";
  };

  // ---- the table
  const drawTable = (shown) => {
    const names = ["member", ...data.settings, ...data.scores, "status"];
    if (state.sort) {
      const sign = state.down ? -1 : 1;
      shown = [...shown].sort((a, b) => {
        const x = valueOf(a, state.sort), y = valueOf(b, state.sort);
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * (isNaN(x) || isNaN(y) ? String(x).localeCompare(String(y)) : x - y);
      });
    }
    const table = find("table.members"), head = document.createElement("tr");
    for (const name of names) {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      if (name === state.sort) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      button.textContent = name;
      button.dataset.name = name;
      button.addEventListener("click", () => {
        state.down = state.sort === name ? !state.down : true;
        state.sort = name;
        draw();
        table.querySelector(`button[data-name="${name}"]`).focus();
      });
      cell.append(button);
      head.append(cell);
    }
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(
      ...shown.map((member) => {
        const row = document.createElement("tr");
        row.className = [member === state.left ? "left" : "", member === state.right ? "right" : ""].join(" ");
        names.forEach((name, place) => {
          const cell = document.createElement("td"), value = valueOf(member, name);
          const text = data.scores.includes(name) ? formatScore(name, value) : String(value ?? "-");
          if (place) cell.textContent = text;
          else {
            const button = document.createElement("button");
            button.textContent = text;
            button.setAttribute("aria-label", `show ${describe(member)}${sideOf(member)}`);
            button.dataset.row = member.row;
            button.addEventListener("click", () => {
              choose(member);
              table.querySelector(`button[data-row="${member.row}"]`).focus();
            });
            cell.append(button);
          }
          row.append(cell);
        });
        return row;
      }),
    );
    setText(find(".count"), `${shown.length} of ${data.members_in_all} members`);
  };

  const draw = () => {
    const shown = data.members.filter(matches);
    drawChart(shown);
    drawPictures();
    drawTable(shown);
  };

  for (const input of root.querySelectorAll("input[name=score]")) {
    input.checked = input.value === state.score;
    input.addEventListener("change", () => ((state.score = input.value), draw()));
  }
  for (const input of root.querySelectorAll("input[name=side]")) input.addEventListener("change", () => ((state.side = input.value), draw()));
  find(".filter input").addEventListener("input", (event) => ((state.filter = event.target.value), draw()));
  find("button.target").addEventListener("click", () => choose(null, "right"));
  find(".along input").max = Math.max(0, data.curve.length - 1);
  find(".along input").addEventListener("input", (event) => choose(byRow.get(data.curve[event.target.value]), "left"));
  for (const input of root.querySelectorAll(".zoom input, .wipe input")) input.addEventListener("input", drawZoom);
  for (const image of root.querySelectorAll(".frame img")) image.addEventListener("load", drawZoom);
  // A picture that is zoomed in moves when dragged and with the arrow keys.
  const pan = (x, y) => {
    const frame = find(".frame"), beyond = Number(find(".zoom input").value) - 1;
    if (!beyond) return false;
    const moved = (at, by, side) => Math.min(100, Math.max(0, (at ?? 50) - (100 * by) / (side * beyond)));
    [state.panX, state.panY] = [moved(state.panX, x, frame.clientWidth), moved(state.panY, y, frame.clientHeight)];
    drawZoom();
    return true;
  };
  find(".frame").addEventListener("pointermove", (event) => event.buttons && pan(event.movementX, event.movementY));
  find(".frame").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [32, 0], ArrowRight: [-32, 0], ArrowUp: [0, 32], ArrowDown: [0, -32] }[event.key];
    if (by && pan(...by)) event.preventDefault();
  });
  addEventListener("resize", draw);
  draw();
  drawZoom();
})();
