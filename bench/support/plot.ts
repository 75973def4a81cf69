import { scaleOf } from './plot-scale.ts';

/** The description of a line plot. */
export interface Plot {
  /** Name of the file in `docs/plots`, without its ending. */
  readonly file: string;
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface Axis {
  /** With the unit. */
  readonly label: string;
  /** `log`: each step is ten times the last; all values above 0. */
  readonly scale: 'linear' | 'log';
}

export interface Series {
  readonly name: string;
  /** In the order of x. */
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 70;
const RIGHT = 36;
const TOP = 76;
const BOTTOM = 56;
/** Of a name in the legend, which has room for four. */
const LEGEND_WIDTH = 155;

/**
 * Colours that differ in lightness too, and markers that differ in shape: the lines can be told apart without colours.
 * They keep 3:1 (WCAG 2.2, 1.4.11) to white and to the dark background that GitHub uses.
 */
const COLOURS = ['#1f77b4', '#c2571a', '#2b8a57', '#9a5fb4'];

/** Draws the plot as an SVG document that follows its reader's light or dark setting. Throws without any point. */
export function drawPlot({ title, x, y, series }: Plot): string {
  const points = series.flatMap(({ points }) => points);
  if (points.length === 0) throw new Error(`nothing to draw: ${title}`);
  const across = scaleOf(x.scale, points, 'x', [LEFT, WIDTH - RIGHT]);
  const up = scaleOf(y.scale, points, 'y', [HEIGHT - BOTTOM, TOP]);
  const bottom = HEIGHT - BOTTOM;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">
<style>
  svg { background: #fff; color: #1f2328; font: 13px system-ui, sans-serif; }
  text { fill: currentColor; }
  .grid { stroke: currentColor; stroke-opacity: 0.15; }
  .line { fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3; } }
</style>
<text x="${LEFT}" y="24" font-size="16" font-weight="600">${escaped(title)}</text>
${across.ticks
  .map(
    tick => `<line class="grid" x1="${across.at(tick)}" x2="${across.at(tick)}" y1="${TOP}" y2="${bottom}"/>
<text x="${across.at(tick)}" y="${bottom + 20}" text-anchor="middle">${numeral(tick)}</text>`,
  )
  .join('\n')}
${up.ticks
  .map(
    tick =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up.at(tick)}" y2="${up.at(tick)}"/>
<text x="${LEFT - 8}" y="${up.at(tick) + 4}" text-anchor="end">${numeral(tick)}</text>`,
  )
  .join('\n')}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escaped(x.label)}</text>
<text x="18" y="${(TOP + bottom) / 2}" text-anchor="middle" transform="rotate(-90 18 ${(TOP + bottom) / 2})">${escaped(y.label)}</text>
${series.map((one, n) => drawSeries(one, n, across.at, up.at)).join('\n')}
</svg>
`;
}

function drawSeries(
  { name, points }: Series,
  n: number,
  across: (value: number) => number,
  up: (value: number) => number,
): string {
  const colour = COLOURS[n % COLOURS.length] ?? 'currentColor';
  const placed = points.map(point => [across(point.x), up(point.y)] as const);
  const legendX = LEFT + n * LEGEND_WIDTH;
  return `<g stroke="${colour}" fill="${colour}">
<polyline class="line" points="${placed.map(([px, py]) => `${px},${py}`).join(' ')}"/>
${placed.map(([px, py]) => marker(n, px, py)).join('')}${marker(n, legendX + 5, 48)}
</g>
<text x="${legendX + 16}" y="52">${escaped(name)}</text>`;
}

function marker(n: number, x: number, y: number): string {
  switch (n % 4) {
    case 0:
      return `<circle cx="${x}" cy="${y}" r="4"/>`;
    case 1:
      return `<rect x="${x - 4}" y="${y - 4}" width="8" height="8"/>`;
    case 2:
      return `<path d="M${x} ${y - 5}l5 9h-10z"/>`;
    default:
      return `<path d="M${x} ${y - 5}l5 5-5 5-5-5z"/>`;
  }
}

function numeral(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 3 });
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;');
}
