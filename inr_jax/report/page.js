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
  const state = { x: data.axis, y: data.score, color: data.color, filter: "", side: "left", left: first, right: null, sort: null, down: true };

  const valueOf = (member, name) => {
    if (name === "member") return member.row;
    if (name === "status") return member.status;
    const score = data.scores.indexOf(name);
    return score >= 0 ? member.scores[score] : member.settings[data.settings.indexOf(name)];
  };
  const formatScore = (name, value) => (value === null ? "" : value.toFixed(data.metrics[name].digits));
  // Without the settings that the member does not read.
  const settingsOf = (member) => data.settings.map((name, place) => [name, member.settings[place]]).filter(([, value]) => value !== null).map(([name, value]) => (name === "label" ? value : `${name} ${value}`)).join(", ");
  const describe = (member) => {
    const shown = [state.y, data.score].find((name) => data.scores.includes(name));
    const score = valueOf(member, shown), metric = data.metrics[shown];
    const result = score === null ? member.status : `${formatScore(shown, score)} ${metric.unit || metric.label}`;
    const settings = settingsOf(member);
    return `member ${member.row}${settings ? ": " + settings : ""}; ${result}`;
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
  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const neat = (number) => String(Number(number.toPrecision(6)));
  const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "\u2026" : text);
  const ticksOf = (low, high, logarithmic) => {
    if (logarithmic) {
      const all = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const digit of high / low < 1000 ? [1, 2, 5] : [1]) all.push(digit * 10 ** power);
      return all.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    }
    const rough = (high - low || 1) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough);
    const all = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) all.push(tick);
    return all;
  };
  // Where a column's values lie between 0 and 1, and its ticks: numbers by their size, names in order of appearance.
  const scaleOf = (name, members) => {
    const given = (some) => [...new Set(some.map((member) => valueOf(member, name)).filter((value) => value !== null))];
    const values = given(members), label = data.labels[name] || name;
    if (!given(data.members).every((value) => value !== "" && isFinite(value))) {
      const names = given(data.members);
      const place = (value) => (names.length > 1 ? names.indexOf(value) / (names.length - 1) : 0.5);
      return { label, names, place, ticks: names.map((each) => [place(each), String(each)]) };
    }
    const numbers = values.map(Number).sort((a, b) => a - b), low = numbers[0], high = numbers[numbers.length - 1];
    const scored = data.scores.includes(name) || name === "member", logarithmic = !scored && low > 0 && high / low > 8;
    const bend = logarithmic ? Math.log : (value) => value;
    const place = (value) => (high === low ? 0.5 : (bend(Number(value)) - bend(low)) / (bend(high) - bend(low)));
    const ticks = !scored && numbers.length < 8 ? numbers : ticksOf(low, high, logarithmic);
    const whole = ticks.filter((tick) => name !== "member" || Number.isInteger(tick));
    return { label, low, high, place, count: numbers.length, ticks: whole.map((tick) => [place(tick), neat(tick)]) };
  };
  const MOST_COLORS = 7; // --c0 to --c6, as many as COLORS in style.py
  // The colour of each member and the legend's entries; of many numbers a ramp between two colours.
  const colorsOf = (name, members) => {
    if (!name) return { of: () => "", entries: [] };
    const scale = scaleOf(name, members), mixed = (part) => `color-mix(in oklab, var(--c4) ${(100 * part).toFixed(0)}%, var(--c0))`;
    if (scale.count > MOST_COLORS) {
      const ramp = "linear-gradient(to right in oklab, var(--c0), var(--c4))";
      const of = (member) => (valueOf(member, name) === null ? "var(--soft)" : mixed(scale.place(valueOf(member, name))));
      return { of, entries: [[ramp, `${scale.label} ${neat(scale.low)} to ${neat(scale.high)}`]] };
    }
    // Of all members: a value keeps its colour whatever the filter.
    const values = [...new Set(data.members.map((member) => valueOf(member, name)))];
    if (scale.count) values.sort((a, b) => (a === null) - (b === null) || a - b);
    const colorAt = (place) => (place < MOST_COLORS ? `var(--c${place})` : "var(--soft)");
    const entries = values.slice(0, MOST_COLORS).map((value, place) => [colorAt(place), value === null ? `no ${name}` : `${name} ${value}`]);
    if (values.length > MOST_COLORS) entries.push(["var(--soft)", `${values.length - MOST_COLORS} others`]);
    return { of: (member) => colorAt(values.indexOf(valueOf(member, name))), entries };
  };
  const drawLegend = (entries) =>
    find(".legend").replaceChildren(
      ...entries.map(([color, text]) => {
        const item = document.createElement("li"), swatch = document.createElement("i");
        swatch.style.background = color;
        swatch.className = color.startsWith("linear") ? "ramp" : "";
        item.append(swatch, text);
        return item;
      }),
    );
  const drawChart = (shown) => {
    const svg = find("svg"), focused = svg.contains(document.activeElement), wide = svg.clientWidth || 640, letter = 7.2;
    const points = shown.filter((member) => valueOf(member, state.x) !== null && valueOf(member, state.y) !== null);
    svg.replaceChildren();
    const without = shown.length - points.length;
    setText(find(".without"), without ? `${without} of the members have no ${state.x} or no ${state.y}.` : "");
    const colors = colorsOf(state.color, shown);
    drawLegend(points.length ? colors.entries : []);
    const across = scaleOf(state.x, points), up = scaleOf(state.y, points);
    svg.setAttribute("aria-label", `${up.label} of ${points.length} members against ${across.label}; the table below has the same numbers`);
    if (!points.length) return;
    const atX = (member) => across.place(valueOf(member, state.x)), atY = (member) => up.place(valueOf(member, state.y));
    points.sort((a, b) => atX(a) - atX(b) || atY(a) - atY(b));
    const most = wide < 500 ? 14 : 28, longest = (scale) => Math.max(...scale.ticks.map(([, text]) => cut(text, most).length), 1) * letter;
    const right = 16, top = 14, room = (wide - longest(up) - 56) / Math.max(1, across.ticks.length - 1);
    const turned = across.names && longest(across) + 10 > room; // names that would overlap are turned
    const left = Math.max(longest(up) + 40, turned ? 0.77 * longest(across) : 0);
    const bottom = 46 + (turned ? 0.64 * longest(across) : 0), high = (wide < 500 ? 260 : 320) + bottom;
    svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    svg.setAttribute("height", high);
    const x = (place) => left + 12 + place * (wide - left - right - 24), y = (place) => high - bottom - 10 - place * (high - bottom - top - 20);
    let free = -Infinity;
    const ordered = [...across.ticks].sort((a, b) => a[0] - b[0]);
    for (const [place, text] of ordered) {
      const size = turned ? 16 : text.length * letter + 8, at = x(place), under = high - bottom + 20;
      if (at - size / 2 < free) continue;
      free = at + size / 2;
      const options = turned ? { "text-anchor": "end", transform: `rotate(-40 ${at} ${under})` } : { "text-anchor": "middle" };
      make("text", { x: at, y: under, class: "tick-x", ...options }, svg, cut(text, most));
    }
    for (const [place, text] of up.ticks) {
      make("line", { x1: left, x2: wide - right, y1: y(place), y2: y(place), class: "rule" }, svg);
      make("text", { x: left - 8, y: y(place) + 4, class: "tick-y", "text-anchor": "end" }, svg, cut(text, most));
    }
    make("text", { x: (wide + left) / 2, y: high - 6, class: "label x", "text-anchor": "middle" }, svg, across.label);
    const middle = (high - bottom + top) / 2;
    make("text", { x: 14, y: middle, class: "label y", "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, svg, up.label);
    const tabbed = points.includes(state[state.side]) ? state[state.side] : points[0];
    points.forEach((member, number) => {
      const kind = [member.picture || !pictured.length ? "" : "bare", member.status, member === state.left ? "left" : "", member === state.right ? "right" : ""];
      const radius = (wide < 500 ? 7 : 6) + (member === state.left || member === state.right ? 2 : 0);
      const point = make("circle", { cx: x(atX(member)), cy: y(atY(member)), r: radius, class: kind.join(" "), role: "button", tabindex: member === tabbed ? 0 : -1 }, svg);
      point.style.fill = colors.of(member);
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
    });
    // Those that are shown lie above the others.
    for (const point of svg.querySelectorAll("circle.left, circle.right")) svg.append(point);
    if (focused) svg.querySelector("circle[tabindex='0']").focus();
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
      if (image.naturalWidth) frame.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
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

  for (const select of root.querySelectorAll("select")) {
    select.value = state[select.name];
    select.addEventListener("change", () => ((state[select.name] = select.value), draw()));
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
