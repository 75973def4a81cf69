import { computed, effect, type ReadonlySignal, type Signal, signal } from '@preact/signals';
import { draw, drawStroke, type Operation, type Point } from './operations.ts';
import { contextOf, coverage, type Size, toPng } from './pixels.ts';

export const TOOLS = ['paint', 'erase', 'rectangle'] as const;
export type Tool = (typeof TOOLS)[number];

/** The color of what is painted: far from most of what photographs show. */
export const TINT = '#f0297e';

/** A mask while it is painted. */
export interface Painting {
  readonly size: Size;
  readonly tool: Signal<Tool>;
  /** Width of a stroke, in pixels of the mask. */
  readonly brush: ReadonlySignal<number>;
  readonly maxBrush: number;
  /** How far soft edges reach, in pixels of the mask. */
  readonly feather: Signal<number>;
  /** What was done, the latest last. */
  readonly operations: ReadonlySignal<readonly Operation[]>;
  readonly undoable: ReadonlySignal<boolean>;
  readonly redoable: ReadonlySignal<boolean>;
  /** Whether closing would lose something. */
  readonly changed: ReadonlySignal<boolean>;
  /** How much of it is painted, 0 to 1. Null: it is not shown yet. */
  readonly coverage: ReadonlySignal<number | null>;
  /** Paints on this canvas from now on, which gets the size of the mask. Returns how to leave it. */
  attach(canvas: HTMLCanvasElement): () => void;
  setBrush(width: number): void;
  add(operation: Operation): void;
  undo(): void;
  redo(): void;
  /** Shows a part of a stroke that is not added yet. */
  sketch(points: readonly Point[], erase: boolean): void;
  /** Removes what was only sketched. */
  refresh(): void;
  /** Null: nothing is painted. */
  toPng(): Promise<Blob | null>;
}

/** What a painting starts from. */
export interface PaintingStart {
  readonly operations: readonly Operation[];
  readonly feather: number;
}

export function createPainting(size: Size, start: PaintingStart): Painting {
  const shorter = Math.min(size.width, size.height);
  const maxBrush = Math.max(8, Math.round(shorter / 2));
  const brush = signal(Math.max(4, Math.round(shorter / 12)));
  const feather = signal(start.feather);
  const operations = signal(start.operations);
  const undone = signal<readonly Operation[]>([]);
  const covered = signal<number | null>(null);
  let context: CanvasRenderingContext2D | null = null;

  function measure(): void {
    covered.value = context === null ? null : coverage(context.canvas);
  }

  function refresh(): void {
    if (context === null) return;
    context.clearRect(0, 0, size.width, size.height);
    for (const operation of operations.peek()) draw(context, operation);
    measure();
  }

  return {
    size,
    tool: signal<Tool>('paint'),
    brush,
    maxBrush,
    feather,
    operations,
    undoable: computed(() => operations.value.length > 0),
    redoable: computed(() => undone.value.length > 0),
    changed: computed(() => operations.value !== start.operations || feather.value !== start.feather),
    coverage: covered,
    attach(canvas) {
      canvas.width = size.width;
      canvas.height = size.height;
      context = contextOf(canvas);
      context.fillStyle = TINT;
      refresh();
      // Blurring by the style sheet shows during a stroke what `toPng` makes of it at the end.
      const stop = effect(() => {
        // A blur of a style is given by its deviation, about half of how far it reaches.
        canvas.style.setProperty('--feather', String(feather.value / 2 / size.width));
      });
      return () => {
        stop();
        context = null;
      };
    },
    setBrush(width) {
      brush.value = Math.round(Math.min(Math.max(width, 1), maxBrush));
    },
    add(operation) {
      operations.value = [...operations.value, operation];
      undone.value = [];
      if (context === null) return;
      // A stroke is there already, as a sketch of short lines, whose edges are a little harder than those of one line.
      if (operation.kind === 'stroke') refresh();
      else {
        draw(context, operation);
        measure();
      }
    },
    undo() {
      const last = operations.value.at(-1);
      if (last === undefined) return;
      operations.value = operations.value.slice(0, -1);
      undone.value = [...undone.value, last];
      refresh();
    },
    redo() {
      const last = undone.value.at(-1);
      if (last === undefined) return;
      undone.value = undone.value.slice(0, -1);
      operations.value = [...operations.value, last];
      refresh();
    },
    sketch(points, erase) {
      if (context !== null) drawStroke(context, points, { erase, width: brush.value });
    },
    refresh,
    async toPng() {
      return context === null ? null : toPng(context.canvas, feather.value);
    },
  };
}
