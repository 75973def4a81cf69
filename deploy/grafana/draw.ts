import { scaleOf } from '../../bench/support/plot-scale.ts';

/** A panel with the answers to its queries. Times in seconds since 1970. */
export interface Drawn {
  readonly title: string;
  readonly type: 'stat' | 'timeseries';
  /** In cells of a grid that is 24 wide. */
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  /** Grafana's name of it. */
  readonly unit: string;
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

const CELL_W = 50;
const CELL_H = 30;
const GAP = 6;
const COLOURS = ['#1f77b4', '#c2571a', '#2b8a57', '#9a5fb4', '#b5384d', '#6b7280', '#8c6d1f', '#1592a0'];

/** Draws all panels at their places as an SVG document that follows its reader's light or dark setting. */
export function drawDashboard(
  panels: readonly Drawn[],
  range: { readonly start: number; readonly end: number },
): string {
  const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * CELL_H;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${24 * CELL_W} ${height}" role="img" aria-label="Panels of the dashboard">
<style>
  svg { background: #f4f5f5; color: #1f2328; font: 11px system-ui, sans-serif; }
  text { fill: currentColor; }
  .panel { fill: #fff; stroke: #d0d7de; }
  .grid { stroke: currentColor; stroke-opacity: 0.15; }
  .line { fill: none; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) { svg { background: #010409; color: #e6edf3; } .panel { fill: #0d1117; stroke: #30363d; } }
</style>
${panels.map(panel => drawPanel(panel, range)).join('\n')}
</svg>
`;
}

function drawPanel(panel: Drawn, range: { readonly start: number; readonly end: number }): string {
  const { gridPos, title } = panel;
  const [width, height] = [gridPos.w * CELL_W - GAP, gridPos.h * CELL_H - GAP];
  const body =
    panel.type === 'stat' ? drawStat(panel, width, height) : drawLines(panel, range, width, height);
  return `<g transform="translate(${gridPos.x * CELL_W + GAP / 2} ${gridPos.y * CELL_H + GAP / 2})">
<rect class="panel" width="${width}" height="${height}" rx="3"/>
<text x="10" y="19" font-size="13" font-weight="600">${escaped(title)}</text>
${body}
</g>`;
}

function drawStat({ series, unit }: Drawn, width: number, height: number): string {
  const value = series[0]?.points.at(-1)?.[1];
  const text = value === undefined ? 'No data' : shown(value, unit);
  return `<text x="${width / 2}" y="${height / 2 + 24}" font-size="34" text-anchor="middle">${text}</text>`;
}

function drawLines(
  { series, unit }: Drawn,
  { start, end }: { readonly start: number; readonly end: number },
  width: number,
  height: number,
): string {
  const [left, right, top, bottom] = [58, width - 12, 32, height - 42];
  const points = series.flatMap(one => one.points.map(([, y]) => ({ y })));
  if (points.length === 0)
    return `<text x="${width / 2}" y="${height / 2}" text-anchor="middle">No data</text>`;
  const flat = points.every(({ y }) => y === 0);
  const up = scaleOf('linear', flat ? [{ y: 1 }] : points, 'y', [bottom, top]);
  const across = (at: number): number =>
    Math.round((left + ((at - start) / (end - start)) * (right - left)) * 10) / 10;
  const minutes = Array.from({ length: Math.ceil((end - start) / 60) }, (_, n) => n);
  const legend = series.slice(0, 8);
  const room = (right - 10) / Math.max(1, Math.min(4, legend.length));
  return [
    ...up.ticks.map(
      tick => `<line class="grid" x1="${left}" x2="${right}" y1="${up.at(tick)}" y2="${up.at(tick)}"/>
<text x="${left - 6}" y="${up.at(tick) + 4}" text-anchor="end">${shown(tick, unit)}</text>`,
    ),
    ...minutes.map(
      n => `<text x="${across(start + n * 60)}" y="${bottom + 14}" text-anchor="middle">${n} min</text>`,
    ),
    ...series.map(({ points }, n) => {
      const placed = points.map(([x, y]) => `${across(x)},${up.at(y)}`).join(' ');
      return `<polyline class="line" stroke="${COLOURS[n % COLOURS.length]}" points="${placed}"/>`;
    }),
    ...legend.map(({ name }, n) => {
      const [x, y] = [10 + (n % 4) * room, height - 18 + Math.floor(n / 4) * 12];
      const fits = Math.floor((room - 14) / 5.6);
      const label = name.length > fits ? `${name.slice(0, fits - 1)}…` : name;
      return `<rect x="${x}" y="${y - 6}" width="10" height="3" fill="${COLOURS[n % COLOURS.length]}"/><text x="${x + 14}" y="${y}">${escaped(label)}</text>`;
    }),
  ].join('\n');
}

/** The value in its unit, as Grafana would shorten it. */
function shown(value: number, unit: string): string {
  const text = (scaled: number): string => scaled.toLocaleString('en', { maximumSignificantDigits: 3 });
  switch (unit) {
    case 's':
      return value !== 0 && value < 1 ? `${text(value * 1000)} ms` : `${text(value)} s`;
    case 'bytes':
      return `${text(value / 2 ** 20)} MiB`;
    case 'percentunit':
      return `${text(value * 100)} %`;
    case 'cpm':
      return `${text(value)}/min`;
    case 'reqps':
    case 'ops':
      return `${text(value)}/s`;
    default:
      return text(value);
  }
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;');
}
