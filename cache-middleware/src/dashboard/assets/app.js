'use strict';
// Draws what the server tells each second, and asks it for what is looked up. All text is set as text, never as HTML: keys and tags
// are what callers made of them.
const base = document.body.dataset.base;
const clears = document.body.dataset.clears === 'yes';
// Without what may stand before the host: a request must not have credentials in its address.
const address = (path) => new URL(base + path, location.origin);
const $ = (id) => document.getElementById(id);
const SECONDS = 180;
const frames = [];
const cleared = new Map();

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function row(cells) {
  const made = element('tr');
  for (const cell of cells) made.append(cell instanceof Node ? cell : element('td', cell));
  return made;
}

const figure = (value, unit, digits = 1) => value === null || value === undefined ? '–' : `${value.toFixed(digits)}${unit}`;
const number = (value) => (value ?? 0).toLocaleString('en');
const ms = (value) => value === null || value === undefined ? '–' : value < 1 ? `${(value * 1000).toFixed(0)} µs` : value < 1000 ? `${value.toFixed(1)} ms` : `${(value / 1000).toFixed(1)} s`;
const bytes = (value) => value >= 1048576 ? `${(value / 1048576).toFixed(1)} MiB` : `${(value / 1024).toFixed(0)} KiB`;
const n = (text) => element('td', text, 'n');

function pairs(list, entries) {
  list.replaceChildren(...entries.flatMap(([name, value]) => [element('dt', name), element('dd', value)]));
}

// A chart of bars, one a second, of parts that stand on each other.
function chart(svg, values, colours) {
  const width = SECONDS, height = 40;
  const most = Math.max(...values.map((parts) => parts.reduce((a, b) => a + b, 0)), 1e-9);
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  const bars = [];
  values.forEach((parts, place) => {
    let y = height;
    parts.forEach((part, which) => {
      const tall = part / most * height;
      if (tall <= 0) return;
      y -= tall;
      const bar = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
      bar.setAttribute('x', width - values.length + place);
      bar.setAttribute('y', y);
      bar.setAttribute('width', 1);
      bar.setAttribute('height', tall);
      bar.style.fill = `var(--${colours[which]})`;
      bars.push(bar);
    });
  });
  svg.replaceChildren(...bars);
}

function draw() {
  const last = frames[frames.length - 1];
  const verdict = $('verdict');
  verdict.textContent = last.health.verdict;
  verdict.className = `verdict ${last.health.verdict}`;
  $('reasons').replaceChildren(...last.health.reasons.map((reason) => element('li', reason)));
  $('store').textContent = `${last.store}, up for ${duration(last.uptimeMs)}`;
  const recent = frames.slice(-SECONDS);
  // Figures of the last ten seconds, so that they can be read.
  const ten = frames.slice(-10);
  const sum = (of) => ten.reduce((all, frame) => all + of(frame.within), 0);
  const found = sum((w) => w.hits[0] + w.hits[1] + w.stale), missed = sum((w) => w.misses);
  $('hit-rate').textContent = found + missed ? figure(found * 100 / (found + missed), ' %') : '–';
  $('request-rate').textContent = figure(sum((w) => w.hits[0] + w.hits[1] + w.stale + w.misses + w.bypasses) / ten.length, '');
  const commands = sum((w) => w.commands);
  $('error-rate').textContent = commands ? figure(sum((w) => w.errors) * 100 / commands, ' %') : '–';
  const slowest = ten.map((frame) => frame.latency.handler.p99).filter((value) => value !== null);
  $('handler-p99').textContent = slowest.length ? ms(Math.max(...slowest)) : '–';
  chart($('hit-chart'), recent.map((frame) => [frame.hitRate ?? 0]), ['l1']);
  chart($('request-chart'), recent.map(({within: w}) => [w.hits[0], w.hits[1], w.stale, w.misses, w.bypasses]), ['l1', 'l2', 'stale', 'miss', 'bypass']);
  chart($('latency-chart'), recent.map((frame) => [frame.latency.handler.p99 ?? 0]), ['accent']);
  chart($('error-chart'), recent.map((frame) => [frame.within.errors]), ['bad']);
  const {total, overall} = last;
  $('tiers').replaceChildren(
    row(['L1, memory of this node', n(number(total.hits[0])), n(ms(overall.l1.p50)), n(ms(overall.l1.p99))]),
    row(['L2, the store', n(number(total.hits[1])), n(ms(overall.l2.p50)), n(ms(overall.l2.p99))]),
    row(['stale entries', n(number(total.stale)), n('–'), n('–')]),
    row(['handlers', n(number(total.misses)), n(ms(overall.handler.p50)), n(ms(overall.handler.p99))]),
    row(['handlers, not looked up', n(number(total.bypasses)), n('–'), n('–')]),
  );
  const gauge = last.gauges;
  pairs($('gauges'), [
    ['Entries stored', `${number(total.fills)}, refused ${number(total.refusedFills)}`],
    ['L1', gauge.cache_l1_bytes === undefined ? 'none' : `${bytes(gauge.cache_l1_bytes)} in ${number(gauge.cache_l1_entries)} entries`],
    ['Store memory', gauge.cache_store_memory_ratio === undefined ? '–' : figure(gauge.cache_store_memory_ratio * 100, ' %')],
    ['Keys in the store', gauge.cache_store_keys === undefined ? 'not asked yet' : number(gauge.cache_store_keys)],
    ['Round trip', gauge.cache_store_latency_seconds === undefined ? 'not asked yet' : ms(gauge.cache_store_latency_seconds * 1000)],
    ['Journal', `${number(gauge.cache_journal_length)} clears`],
    ['Waiting to be swept', gauge.cache_sweep_backlog === undefined ? 'not asked yet' : `${number(gauge.cache_sweep_backlog)} clears`],
  ]);
  const coherence = last.coherence;
  pairs($('coherence'), coherence ? [
    ['Mode', coherence.mode],
    ['L1 open', `${coherence.open} of ${coherence.partitions} partitions`],
    ['Signals heard', number(coherence.signals)],
    ['Signal delay', `median ${ms(coherence.delayMedianMs)}, p99 ${ms(coherence.delayP99Ms)}`],
    ['L1 emptied', `${number(coherence.voided)} times`],
  ] : [['Memory of this node', 'none beside the store: there is nothing to keep coherent']]);
  if (last.routes.length) {
    $('routes').replaceChildren(...last.routes.map((line) => row([line.route, n(number(line.requests)), n(figure(line.hitRate, ' %')), n(ms(line.handlerP50)), n(ms(line.handlerP99))])));
  }
  if (cleared.size) {
    const newest = [...cleared.values()].sort((a, b) => b.number - a.number).slice(0, 15);
    $('clears').replaceChildren(...newest.map((line) => row([
      element('td', `${duration(Date.now() - line.at)} ago`, 'word'),
      `${line.kind} ${line.targets.join(', ')}${line.more ? ` and ${line.more} more` : ''}`,
      n(number(line.covered)), n(number(line.nodesTold)), n(ms(line.tookMs)), element('td', line.state, 'word'),
    ])));
  }
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

function clearsOf(lines) {
  // The newest ones come first, with their ages; frames of the past tell of them, and of older ones, as they were then.
  const oldest = Math.min(...cleared.keys());
  for (const line of lines) {
    if (cleared.has(line.number) || (cleared.size >= 100 && line.number < oldest)) continue;
    cleared.set(line.number, {...line, at: Date.now() - line.agoMs});
  }
  for (const number of [...cleared.keys()].sort((a, b) => a - b).slice(0, -100)) cleared.delete(number);
}

function listen() {
  const events = new EventSource(address('events'));
  let planned = false;
  events.onopen = () => {
    // What comes now begins with what was: a server that was started anew begins anew.
    frames.length = 0;
    cleared.clear();
    $('connection').hidden = true;
  };
  events.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    frames.push(frame);
    if (frames.length > 2 * SECONDS) frames.splice(0, SECONDS);
    clearsOf(frame.clears);
    // The history comes at once: it is drawn once.
    if (!planned) requestAnimationFrame(() => { planned = false; draw(); });
    planned = true;
  };
  events.addEventListener('clears', (event) => clearsOf(JSON.parse(event.data)));
  events.onerror = () => {
    const notice = $('connection');
    notice.hidden = false;
    notice.textContent = 'The service does not answer: these are the last numbers. Trying again…';
    $('verdict').textContent = 'unknown';
    $('verdict').className = 'verdict';
    // A refusal ends it for good: the browser only tries again by itself when a connection breaks.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

async function ask(path, options) {
  const answer = await fetch(address(path), options);
  const type = answer.headers.get('content-type') ?? '';
  const told = type.includes('json') ? await answer.json() : {error: await answer.text()};
  if (!answer.ok) throw new Error(told.error || `the service answered ${answer.status}`);
  return told;
}

const post = (path, body) => ask(path, {method: 'POST', headers: {'content-type': 'application/json', 'x-cache-dashboard': '1'}, body: JSON.stringify(body)});

async function tags() {
  try {
    const told = await ask('tags');
    $('tags-note').textContent = told.some ? 'There are more than were looked at: these are the largest of some.' : '';
    const lines = told.tags.map((line) => {
      const pick = element('button', line.tag, 'link');
      pick.type = 'button';
      pick.onclick = () => { $('tag').value = line.tag; $('tenant').value = line.tenant ?? ''; show(); };
      const cell = element('td');
      cell.append(pick);
      return row([cell, line.tenant ?? '', n(number(line.entries))]);
    });
    $('tags').replaceChildren(...(lines.length ? lines : [empty(3, 'No entry has a tag.')]));
  } catch (error) {
    $('tags').replaceChildren(empty(3, `The tags could not be read: ${error.message}`));
  }
}

function empty(columns, text) {
  const cell = element('td', text, 'quiet');
  cell.colSpan = columns;
  return row([cell]);
}

async function nodes() {
  try {
    const told = await ask('nodes');
    const lines = told.nodes.map((line) => row([line.node === told.own ? `${line.node} (this one)` : line.node, n(line.leaseMs ? ms(line.leaseMs) : 'no L1')]));
    $('nodes').replaceChildren(...(lines.length ? lines : [empty(2, 'This process alone.')]));
  } catch (error) {
    $('nodes').replaceChildren(empty(2, `The nodes could not be read: ${error.message}`));
  }
}

const chosen = () => ({tag: $('tag').value.trim(), tenant: $('tenant').value.trim()});

async function entries() {
  const {tag, tenant} = chosen();
  return ask(`entries?tag=${encodeURIComponent(tag)}&tenant=${encodeURIComponent(tenant)}`);
}

const counted = (told) => `${told.entries.length}${told.more ? ' or more' : ''} ${told.entries.length === 1 && !told.more ? 'entry' : 'entries'}`;

async function show() {
  try {
    const told = await entries();
    $('behind-note').textContent = `${counted(told)} behind ${chosen().tag}.`;
    $('entries').replaceChildren(...told.entries.map((line) => element('li', `${line.key}, for ${duration(line.expiresInSeconds * 1000)}`)));
  } catch (error) {
    $('behind-note').textContent = error.message;
    $('entries').replaceChildren();
  }
}

async function act(verb) {
  if (!$('behind').reportValidity()) return;
  const target = chosen();
  try {
    // Also when they cannot be listed: that is when a clear that waits may be wanted most.
    const many = await entries().then(counted, (error) => `It is not known how many entries (${error.message}); they`);
    const of = target.tenant ? ` of ${target.tenant}` : '';
    $('confirm-title').textContent = `${verb === 'clear' ? 'Clear' : 'Expire'} ${target.tag}${of}?`;
    $('confirm-text').textContent = verb === 'clear'
      ? `${many} will not be served any more: their handlers run when they are asked for.`
      : `${many} will be stale: served within their windows, and refreshed.`;
    $('confirm-yes').textContent = verb === 'clear' ? 'Clear it' : 'Expire it';
    const dialog = $('confirm');
    dialog.returnValue = 'no';
    dialog.showModal();
    await new Promise((closed) => dialog.addEventListener('close', closed, {once: true}));
    if (dialog.returnValue !== 'yes') return;
    const receipt = await post(verb, target);
    await show();
    $('behind-note').textContent = receipt.journaled
      ? 'The store has not acknowledged it: it waits in the journal, and this node serves none of it.'
      : `Done: ${number(receipt.covered)} entries, ${number(receipt.nodesTold)} nodes told.`;
    tags();
  } catch (error) {
    $('behind-note').textContent = error.message;
  }
}

async function map() {
  try {
    const told = await ask('map');
    graph(told.nodes, told.edges);
    const lines = told.map.reads.map((read) => row([read.route ?? read.item, read.tags.join(', '), read.place]));
    $('map').replaceChildren(...(lines.length ? lines : [empty(3, 'Nothing is annotated.')]));
    $('warnings').replaceChildren(...told.map.warnings.map((warning) => element('li', warning)));
    $('warnings-title').hidden = !told.map.warnings.length;
    if (told.leftOut) $('warnings').append(element('li', `${told.leftOut} more are not drawn.`));
  } catch (error) {
    $('map').replaceChildren(empty(3, `The map could not be read: ${error.message}`));
  }
}

function graph(nodes, edges) {
  const svg = $('graph');
  const names = ['Writes', 'Events', 'Tags', 'Reads'], kinds = ['write', 'event', 'tag', 'read'];
  const columns = names.map((_, column) => nodes.map((node, place) => [place, ...node]).filter(([, of]) => of === column));
  const wide = 250, tall = 26, gap = 60;
  const height = Math.max(...columns.map((column) => column.length), 1) * tall + 34;
  const width = names.length * (wide + gap) - gap;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('width', width);
  svg.setAttribute('height', height);
  const make = (name, attributes) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const at = new Map(), parts = [];
  columns.forEach((column, which) => {
    const x = which * (wide + gap);
    const title = make('text', {x, y: 14, class: 'column'});
    title.textContent = names[which];
    parts.push(title);
    column.forEach(([place, , name], line) => {
      const y = 24 + line * tall;
      at.set(place, [x, y]);
      const group = make('g', {class: kinds[which]});
      group.append(make('rect', {x, y, width: wide, height: tall - 6, rx: 5}));
      const text = make('text', {x: x + 8, y: y + 14});
      text.textContent = name.length > 38 ? `…${name.slice(-37)}` : name;
      const whole = make('title', {});
      whole.textContent = name;
      group.append(text, whole);
      parts.push(group);
    });
  });
  for (const [from, to] of edges) {
    const [x1, y1] = at.get(from), [x2, y2] = at.get(to);
    const a = [x1 + wide, y1 + 10], b = [x2, y2 + 10];
    parts.unshift(make('path', {d: `M${a} C${a[0] + gap / 2},${a[1]} ${b[0] - gap / 2},${b[1]} ${b}`}));
  }
  svg.replaceChildren(...parts);
}

$('behind').addEventListener('submit', (event) => { event.preventDefault(); show(); });
for (const verb of ['clear', 'expire']) {
  $(verb).hidden = !clears;
  $(verb).onclick = () => act(verb);
}
listen();
for (const [read, every] of [[tags, 10000], [nodes, 10000], [map, 60000]]) {
  read();
  setInterval(read, every);
}
